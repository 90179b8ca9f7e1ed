/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "agent/plan.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/secret.h"
#include "base/str.h"
#include "steps/database.h"
#include "worker/health.h"
#include "worker/verbs.h"

/*
 * For agentd's /health/database: one object on stdout, {"database": "connected"|"disconnected"|"none", …},
 * with the lists of what the database has and lacks of the deployed commit. It reads only, takes no lock, and
 * ends soon: agentd stops it after 8 s.
 */

static const int64_t connect_timeout_us = 4 * US_PER_S;

enum { RELAY_SEARCH = 50 };

struct health {
    struct health_look look;
    struct work work;
    struct snapshot snapshot;
    struct deployment deployed, relayed;
    struct step_ctx ctx;
    struct step_database database;
};

/* ---- lists ---- */

void health_lists_init(struct health_lists *lists)
{
    *lists = (struct health_lists){json_array(), json_array(), json_array(), json_array(), json_array(),
                                   json_array(), json_array(), json_array(), json_array(), NULL};
}

void health_lists_release(struct health_lists *l)
{
    json_t *const all[] = {l->applied, l->pending,         l->ahead,          l->missing_files, l->modified,
                           l->failed,  l->invalid_indexes, l->missing_tables, l->running};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        json_decref(all[i]);
}

void health_add(struct arena *arena, json_t *list, const char *prefix, const char *const *texts)
{
    for (; texts && *texts; texts++) {
        const char *text = arena_printf(arena, "%s%s", prefix, *texts);
        json_array_append_new(list, json_string(str_clean(arena, text, strlen(text), true, 300)));
    }
}

/* ---- where it is ---- */

/* Whose relay step was the last to succeed. */
static int find_relayed(struct health *h, struct error *err)
{
    const struct deployment_filter filter = {.stack = h->work.stack->name, .limit = RELAY_SEARCH};
    struct deployment *deployments;
    size_t n;
    if (journal_deployments(h->work.journal, &h->work.arena, &filter, &deployments, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct step *steps;
        size_t n_steps;
        if (journal_steps(h->work.journal, &h->work.arena, deployments[i].id, &steps, &n_steps, err) < 0)
            return -1;
        for (size_t k = 0; k < n_steps; k++)
            if (strcmp(steps[k].kind, STEP_RELAY) == 0 && steps[k].state == STEP_DONE) {
                h->relayed = deployments[i];
                return 0;
            }
    }
    return error_set(err, ERR_UNAVAILABLE, 0, "no deployment has made a way into the stack's networks yet");
}

/*
 * The relay that runs is taken as it is: to ask for other networks would take it away from a deployment. One
 * that has ended, with its engine, is started again as it was.
 */
static int find_relay(struct health *h, struct error *err)
{
    struct relay *relay;
    if (relay_find(h->work.docker, h->work.stack->name, h->work.config.run_dir, &h->ctx.relay, err) == 0)
        return 0;
    if (err->kind != ERR_NOT_FOUND || find_relayed(h, err) < 0)
        return -1;
    return step_relay(&h->ctx, &relay, err);
}

static int open_all(struct health *h, const char *config_path, const char *stack, struct error *err)
{
    struct work *w = &h->work;
    if (work_open(w, config_path, err) < 0 || work_select_stack(w, stack, err) < 0 ||
        work_open_journal(w, JOURNAL_READ, err) < 0 || work_open_docker(w, err) < 0 ||
        work_open_repo(w, err) < 0)
        return -1;
    if (journal_last(w->journal, &w->arena, w->stack->name, DEPLOYMENT_SUCCEEDED, &h->deployed, err) < 0)
        return -1;
    if (h->deployed.id == 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "nothing of this stack was deployed yet");
    return snapshot_load(w, h->deployed.commit, &h->snapshot, err);
}

static int find_server(struct health *h, struct error *err)
{
    const struct manifest *m = &h->snapshot.manifest;
    const char *key = m->release.database_service;
    h->ctx = (struct step_ctx){
        .arena = &h->work.arena,
        .config = &h->work.config,
        .stack = h->work.stack,
        .journal = h->work.journal,
        .docker = h->work.docker,
        .deployment = &h->relayed,
        .manifest = m,
        .host_id = h->work.host_id,
        .salt = h->work.salt,
        .repo = h->work.repo,
        .database_url = h->snapshot.database_url,
        .migrate_url = h->snapshot.migrate_url,
        .admin_url = h->snapshot.admin_url,
        .waiting = "",
    };
    if (key && find_relay(h, err) < 0)
        return -1;
    return step_database_open(&h->ctx, key ? stack_service(m->stack, key)->name : NULL,
                              release_direct_url(&m->release), &h->database, err);
}

/* ---- what it has ---- */

static int look(struct health *h, struct error *err)
{
    struct arena *arena = &h->work.arena;
    struct health_lists *lists = &h->look.lists;
    struct pg_health found;
    const char *folder;
    bool versions;
    h->look.work = &h->work;
    h->look.snapshot = &h->snapshot;
    h->look.commit = h->deployed.commit;
    h->look.ctx = &h->ctx;
    if (step_database_find(&h->database, arena, &folder, err) < 0 ||
        pg_health(arena, &h->database.url, folder,
                  arena_printf(arena, "deploy-agent/%s/health", h->work.stack->name), connect_timeout_us,
                  (const char *const *)release_expected_tables(arena, &h->snapshot.manifest.release), &found,
                  err) < 0 ||
        health_of_sql(&h->look, &versions, err) < 0 || health_of_runs(&h->look, err) < 0)
        return -1;
    health_add(arena, lists->invalid_indexes, "", found.invalid_indexes);
    health_add(arena, lists->missing_tables, "", found.missing_tables);
    if (!versions) {
        health_add(arena, lists->applied, "", found.framework);
        for (const char **last = found.framework; *last; last++)
            lists->latest = *last;
    }
    return 0;
}

/* ---- the verb ---- */

static json_t *connected(const struct health_lists *l)
{
    return json_pack("{s:s, s:{s:O, s:s?, s:O}, s:O, s:O, s:O, s:O, s:O, s:O, s:O}", "database", "connected",
                     "migrations", "applied", l->applied, "latest", l->latest, "pending", l->pending, "ahead",
                     l->ahead, "missing_files", l->missing_files, "modified", l->modified, "failed",
                     l->failed, "invalid_indexes", l->invalid_indexes, "missing_tables", l->missing_tables,
                     "running", l->running);
}

/* Why it cannot be asked is for the agent's log alone. */
static json_t *disconnected(const struct error *err)
{
    cleanup_arena struct arena arena = {0};
    fprintf(stderr, "%s\n", secret_redact(&arena, err->text));
    return json_pack("{s:s}", "database", "disconnected");
}

static json_t *answer(struct health *h, const char *config_path, const char *stack)
{
    struct error err = {0};
    if (open_all(h, config_path, stack, &err) < 0)
        return disconnected(&err);
    if (!h->snapshot.manifest.release.database_url_from)
        return json_pack("{s:s}", "database", "none");
    if (find_server(h, &err) < 0 || look(h, &err) < 0)
        return disconnected(&err);
    return connected(&h->look.lists);
}

int cmd_health(const struct verb_context *context, int argc, char **argv)
{
    struct health h = {0};
    if (argc > 2) {
        fprintf(stderr, "usage: agent-worker health [STACK]\n");
        return EXIT_BAD_USAGE;
    }
    proc_catch_stop();
    health_lists_init(&h.look.lists);
    cleanup_json json_t *found = answer(&h, context->config_path, argc == 2 ? argv[1] : NULL);
    if (found)
        json_dumpf(found, stdout, JSON_COMPACT);
    putchar('\n');
    relay_close(h.ctx.relay);
    snapshot_release(&h.snapshot);
    work_close(&h.work);
    health_lists_release(&h.look.lists);
    return found ? EXIT_GOOD : EXIT_FAILED;
}

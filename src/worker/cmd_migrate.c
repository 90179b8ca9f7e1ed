/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "worker/migrate.h"
#include "worker/verbs.h"

/*
 * agentctl migrate: what a database has of the sql steps of the branch's newest fetched commit, and a
 * person's word where the agent cannot know: a table that was there before it, a file that stopped half way.
 */

/* A statement of somebody else may hold the lock; a person waits, but not for long. */
static const int64_t patience_us = 120 * US_PER_S, lock_wait_us = 30 * US_PER_S;

static const char usage[] =
    "usage: agent-worker migrate status STACK [--step NAME] [--schema S] [--commit C] [--json]\n"
    "       agent-worker migrate adopt STACK [--step NAME] [--schema S] [--commit C]\n"
    "       agent-worker migrate resolve STACK VERSION done|again [--statement N] [--step NAME] [--schema S] "
    "[--commit C]\n";

/* ---- command line ---- */

static bool take_option(struct migrate_request *r, int argc, char **argv, int *i)
{
    const struct {
        const char *name, **value;
    } options[] = {{"--step", &r->step}, {"--schema", &r->schema}, {"--commit", &r->commit}};
    if (strcmp(argv[*i], "--json") == 0) {
        r->json = true;
        return true;
    }
    if (*i + 1 >= argc)
        return false;
    for (size_t k = 0; k < ARRAY_SIZE(options); k++)
        if (strcmp(argv[*i], options[k].name) == 0) {
            *options[k].value = argv[++*i];
            return true;
        }
    char *end;
    if (strcmp(argv[*i], "--statement") != 0)
        return false;
    unsigned long n = strtoul(argv[++*i], &end, 10);
    r->statement = (unsigned)n;
    return n > 0 && n <= SQL_STATEMENTS_MAX && !*end;
}

static bool parse(struct migrate_request *r, int argc, char **argv)
{
    const char *words[4] = {NULL};
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            if (!take_option(r, argc, argv, &i))
                return false;
        } else if (n < ARRAY_SIZE(words)) {
            words[n++] = argv[i];
        } else {
            return false;
        }
    }
    r->action = words[0];
    r->stack = words[1];
    r->version = words[2];
    r->done = str_eq(words[3], "done");
    if (str_eq(r->action, "resolve"))
        return n == 4 && (r->done || str_eq(words[3], "again")) && !r->json;
    if (r->statement || n > 2)
        return false;
    return str_eq(r->action, "status") || (str_eq(r->action, "adopt") && !r->json);
}

/* ---- opening ---- */

static int open_commit(struct migrating *m, struct error *err)
{
    struct work *w = &m->work;
    const char *commit = m->request.commit ? m->request.commit : w->stack->branch;
    char tip[COMMIT_HEX_SIZE];
    if (work_open_repo(w, err) < 0)
        return -1;
    if (!repo_has_commit(w->repo, commit) && repo_fetch(w->repo, tip, err) < 0)
        return -1;
    return snapshot_load(w, commit, &m->snapshot, err);
}

/* Looking does not make a relay; acting may. */
static int open_relay(struct migrating *m, struct error *err)
{
    struct work *w = &m->work;
    if (!m->snapshot.manifest.release.database_service ||
        relay_find(w->docker, w->stack->name, w->config.run_dir, &m->ctx.relay, err) == 0)
        return 0;
    return err->kind == ERR_NOT_FOUND && strcmp(m->request.action, "status") != 0 ? 0 : -1;
}

static int open_all(struct migrating *m, const char *config_path, struct error *err)
{
    struct work *w = &m->work;
    if (work_open(w, config_path, err) < 0 || work_select_stack(w, m->request.stack, err) < 0 ||
        work_open_journal(w, JOURNAL_WRITE, err) < 0 || work_open_docker(w, err) < 0 ||
        open_commit(m, err) < 0)
        return -1;
    m->ctx = (struct step_ctx){.arena = &w->arena,
                               .config = &w->config,
                               .stack = w->stack,
                               .journal = w->journal,
                               .docker = w->docker,
                               .manifest = &m->snapshot.manifest,
                               .host_id = w->host_id,
                               .salt = w->salt,
                               .repo = w->repo,
                               .database_url = m->snapshot.database_url,
                               .migrate_url = m->snapshot.migrate_url,
                               .admin_url = m->snapshot.admin_url,
                               .waiting = ""};
    return open_relay(m, err);
}

/* ---- which step, which schema ---- */

static bool is_meant(const struct migrating *m, const struct release_step *step)
{
    return step->kind == RELEASE_SQL && step->sql.versioned &&
           (!m->request.step || strcmp(m->request.step, step->name) == 0);
}

static int find_steps(struct migrating *m, struct error *err)
{
    const struct release *release = &m->snapshot.manifest.release;
    const char *action = m->request.action;
    size_t n = 0;
    m->steps = arena_array(&m->work.arena, release->n_steps + 1, sizeof(void *));
    for (size_t i = 0; i < release->n_steps; i++)
        if (is_meant(m, &release->steps[i]))
            m->steps[n++] = &release->steps[i];
    if (n == 0 && m->request.step)
        return error_set(err, ERR_NOT_FOUND, 0, "commit %.7s has no versioned sql step '%s'",
                         m->snapshot.commit.id, m->request.step);
    if (n == 0)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "commit %.7s has no versioned sql step: what run steps migrate, they keep books of "
                         "themselves",
                         m->snapshot.commit.id);
    if (n > 1 && strcmp(action, "resolve") == 0)
        return error_set(err, ERR_INVALID, 0, "which step? --step NAME; there are %s, %s%s",
                         m->steps[0]->name, m->steps[1]->name, n > 2 ? ", …" : "");
    if (m->steps[0]->sql.for_each_schema && strcmp(action, "resolve") == 0 && !m->request.schema)
        return error_set(err, ERR_INVALID, 0, "%s runs in many schemas: --schema NAME says which is meant",
                         m->steps[0]->name);
    return 0;
}

static int find_schemas(struct migrating *m, const struct sql_source *source, const char ***ret,
                        struct error *err)
{
    static const char *once[] = {"", NULL};
    const char *query = source->sql->for_each_schema, *wanted = m->request.schema;
    if (!query && wanted)
        return error_set(err, ERR_INVALID, 0, "%s does not run in many schemas", source->migrate.name);
    if (!query) {
        *ret = once;
        return 0;
    }
    if (!wanted)
        return migrate_schemas(&m->work.arena, &source->migrate.target, query, ret, err);
    const char **one = arena_array(&m->work.arena, 2, sizeof *one);
    one[0] = wanted;
    *ret = one;
    return 0;
}

/* ---- acting ---- */

static void waiting(void *userdata, const char *text)
{
    (void)userdata;
    if (text)
        fprintf(stderr, "waiting: %s\n", text);
}

static int adopt(struct migrating *m, const struct migrate_step *step, const char *where, struct error *err)
{
    unsigned n = 0;
    if (migrate_adopt(&m->work.arena, step, &n, err) < 0)
        return -1;
    printf("%s: %u version%s taken over\n", where, n, n == 1 ? "" : "s");
    return 0;
}

static int resolve(struct migrating *m, const struct migrate_step *step, const char *where, struct error *err)
{
    const struct migrate_request *r = &m->request;
    if (migrate_resolve(&m->work.arena, step, r->version, r->statement, r->done, err) < 0)
        return -1;
    if (r->statement)
        printf("%s: statement %u of %s %s\n", where, r->statement, r->version,
               r->done ? "counts as done" : "will run again");
    else
        printf("%s: %s %s\n", where, r->version, r->done ? "counts as applied" : "will run again");
    return 0;
}

static int one_schema(struct migrating *m, const struct sql_source *source, const char *schema,
                      struct error *err)
{
    struct migrate_step step = source->migrate;
    const char *where = *schema ? arena_printf(&m->work.arena, "%s in %s", step.name, schema) : step.name;
    step.schema = *schema ? schema : NULL;
    step.timeout_us = patience_us;
    step.lock_wait_us = lock_wait_us;
    step.run_id = arena_printf(&m->work.arena, "%s/migrate", m->work.host_id);
    step.should_stop = proc_heed_stop;
    step.waiting = waiting;
    if (strcmp(m->request.action, "status") == 0)
        return migrate_show(m, &step, where, err);
    int r =
        strcmp(m->request.action, "adopt") == 0 ? adopt(m, &step, where, err) : resolve(m, &step, where, err);
    return r < 0 ? error_wrap(err, "%s", where) : 0;
}

static int each_step(struct migrating *m, struct error *err)
{
    for (size_t i = 0; m->steps[i]; i++) {
        struct sql_source *source;
        const char **schemas;
        if (sql_source_open(&m->ctx, m->steps[i], m->snapshot.commit.id, &source, err) < 0 ||
            find_schemas(m, source, &schemas, err) < 0)
            return error_wrap(err, "%s", m->steps[i]->name);
        for (size_t k = 0; schemas[k]; k++)
            if (one_schema(m, source, schemas[k], err) < 0)
                return -1;
    }
    return 0;
}

static int answer(struct migrating *m, const char *config_path, struct error *err)
{
    if (open_all(m, config_path, err) < 0 || find_steps(m, err) < 0)
        return -1;
    m->shown = json_array();
    if (each_step(m, err) < 0)
        return -1;
    if (m->request.json) {
        json_dumpf(m->shown, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    return m->refused ? EXIT_FAILED : EXIT_GOOD;
}

int cmd_migrate(const struct verb_context *context, int argc, char **argv)
{
    struct migrating m = {.refused = false};
    struct error err = {0};
    if (!parse(&m.request, argc, argv)) {
        fputs(usage, stderr);
        return EXIT_BAD_USAGE;
    }
    proc_catch_stop();
    int r = answer(&m, context->config_path, &err);
    if (r < 0)
        fprintf(stderr, "%s\n", err.text);
    json_decref(m.shown);
    relay_close(m.ctx.relay);
    snapshot_release(&m.snapshot);
    work_close(&m.work);
    return r >= 0 ? r : err.kind == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup.h"

#include <inttypes.h>
#include <string.h>

#include "agent/log.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "stack/base64.h"
#include "steps/database.h"
#include "steps/job.h"
#include "steps/kinds.h"
#include "steps/persist.h"
#include "steps/send.h"

/*
 * The dump before migrations. It is the last that happens before something in the database changes, so that a
 * failure leaves everything as it was.
 *
 * progress: {"phase": "job"|"done"|"none"|"failed", "job": the service's spec, "file", "volume", "node",
 * "restore": the command, and what job_run() keeps}; none: there was nothing to back up.
 *
 * The password is in a Swarm secret that is made before the job and removed after it, whoever is alive by
 * then: its name tells the deployment.
 */

static const int64_t ask_timeout_us = 30 * US_PER_S, away_us = 120 * US_PER_S;
static const int64_t kept_for_us = 7 * 86400 * US_PER_S;

struct making {
    struct step_ctx *ctx;
    const struct step *step;
    const json_t *params;
    json_t *progress;
    struct arena *arena;
    const char *secret; /* its name, also when there is none */
    json_t *kept;       /* array: what struct backup borrows */
};

static const char *phase_of(const struct making *m)
{
    return json_path_string(m->progress, "phase", NULL);
}

static int tell(const struct making *m, const char *line, struct error *err)
{
    log_info("%s", line);
    const char *text = arena_printf(m->arena, "%s\n", line);
    return PERSIST(journal_step_append_output(m->ctx->journal, m->step->deployment, m->step->seq, text,
                                              strlen(text), err),
                   err);
}

/* ---- the secret ---- */

/* An older one of the name may hold another password. */
static int secret_once(const struct making *m, const json_t *body, struct error *err)
{
    cleanup_json json_t *live = NULL;
    cleanup_free char *id = NULL;
    if (docker_secret(m->ctx->docker, m->secret, &live, err) == 0) {
        if (!json_path_string(live, "Spec", "Labels", LABEL_DEPLOYMENT, NULL))
            return error_set(err, ERR_CONFLICT, 0, "a secret named %s exists and is not ours", m->secret);
        if (docker_secret_remove(m->ctx->docker, json_path_string(live, "ID", NULL), err) < 0 &&
            err->kind != ERR_NOT_FOUND)
            return -1;
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    return docker_secret_create(m->ctx->docker, body, &id, err);
}

static int make_secret(const struct making *m, const char *password, struct error *err)
{
    cleanup_json json_t *body = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "Name", m->secret, "Data",
        base64_encode(m->arena, password, strlen(password)), "Labels", LABEL_DEPLOYMENT, send_label(m->ctx),
        LABEL_COMMIT, m->ctx->deployment->commit, LABEL_STACK, m->ctx->stack->name, LABEL_STEP, STEP_BACKUP);
    for (int64_t since = 0; secret_once(m, body, err) < 0;)
        if (send_wait(m->ctx, &since, err) < 0)
            return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "the secret with the password");
    step_waiting(m->ctx, NULL);
    return 0;
}

static void remove_secret(const struct making *m)
{
    struct error err = {0};
    cleanup_json json_t *live = NULL;
    if (docker_secret(m->ctx->docker, m->secret, &live, &err) == 0 &&
        str_eq(json_path_string(live, "Spec", "Labels", LABEL_DEPLOYMENT, NULL), send_label(m->ctx)) &&
        docker_secret_remove(m->ctx->docker, json_path_string(live, "ID", NULL), &err) == 0)
        return;
    if (err.kind && err.kind != ERR_NOT_FOUND)
        log_warning("the secret %s stays until the next deployment: %s", m->secret, err.text);
}

/* ---- what is to be done ---- */

static int describe_server(const struct making *m, const struct step_database *db, struct backup *b,
                           struct error *err)
{
    cleanup_json json_t *service = NULL, *tasks = NULL;
    const json_t *task;
    if (docker_service(m->ctx->docker, db->service_name, &service, err) < 0 ||
        step_database_task(db, m->arena, &tasks, &task, err) < 0)
        return -1;
    b->node_id = arena_strdup(m->arena, json_path_string(task, "NodeID", NULL));
    b->image = arena_strdup(m->arena, json_path_string(task, "Spec", "ContainerSpec", "Image", NULL));
    json_array_append_new(m->kept, TAKE(service));
    const json_t *kept = json_array_get(m->kept, json_array_size(m->kept) - 1);
    b->networks = json_path(kept, "Spec", "TaskTemplate", "Networks", NULL);
    b->mounts = json_path(kept, "Spec", "TaskTemplate", "ContainerSpec", "Mounts", NULL);
    if (!b->node_id || !b->image)
        return error_set(err, ERR_UNAVAILABLE, 0, "the engine does not say where service %s runs",
                         db->service_name);
    return 0;
}

static int look_once(const struct making *m, struct step_database *db, struct backup *b,
                     struct pg_facts *facts, struct error *err)
{
    const char *folder;
    if (describe_server(m, db, b, err) < 0 || step_database_find(db, m->arena, &folder, err) < 0)
        return -1;
    return pg_facts(m->arena, &db->url, folder, b->application_name, ask_timeout_us, facts, err);
}

/* It was seen to be ready, but that may have been before a crash. */
static int ask_server(const struct making *m, struct step_database *db, struct backup *b,
                      struct pg_facts *facts, struct error *err)
{
    for (int64_t until = mono_us() + away_us; look_once(m, db, b, facts, err) < 0;) {
        if (!send_is_transient(err) || mono_us() > until)
            return -1;
        step_waiting(m->ctx, "database: %s", err->text);
        step_pause(m->ctx, US_PER_S);
        if (step_should_stop(m->ctx, err) < 0)
            return -1;
    }
    step_waiting(m->ctx, NULL);
    return 0;
}

static const char *node_name(const struct making *m, const char *id)
{
    cleanup_json json_t *nodes = NULL;
    struct error ignored = {0};
    size_t i;
    const json_t *node;
    if (docker_nodes(m->ctx->docker, &nodes, &ignored) == 0) {
        json_array_foreach (nodes, i, node) {
            const char *name = json_path_string(node, "Description", "Hostname", NULL);
            if (name && str_eq(json_path_string(node, "ID", NULL), id))
                return arena_strdup(m->arena, name);
        }
    }
    return id;
}

static bool is_text(const char *text)
{
    return !text || str_is_utf8(text, strlen(text));
}

static void describe(const struct making *m, const struct step_database *db, struct backup *b)
{
    const char *dbname = db->url.dbname ? db->url.dbname : db->url.user ? db->url.user : "postgres";
    int64_t now = wall_us();
    b->job = job_name(m->arena, m->ctx->stack->name, json_path_string(m->params, "service", NULL),
                      m->ctx->deployment->commit, JOB_BACKUP);
    b->secret = db->url.password ? m->secret : NULL;
    b->prefix = backup_prefix(m->arena, m->ctx->stack->name, dbname);
    b->file = backup_file(m->arena, b->prefix, backup_stamp(m->arena, now), m->ctx->deployment->commit);
    b->cutoff = backup_stamp(m->arena, now - kept_for_us);
    b->keep = (unsigned)json_path_integer(m->params, 5, "keep", NULL, NULL);
    b->user = db->url.user;
    b->dbname = db->url.dbname;
    b->port = db->url.port;
    b->application_name = arena_printf(m->arena, "deploy-agent/%s/backup/%.8s", m->ctx->stack->name,
                                       m->ctx->deployment->commit);
    b->service_name = db->service_name;
    b->mount = json_object_get(m->params, "mount");
}

static int note_plan(const struct making *m, const struct backup *b, struct error *err)
{
    json_object_set_new(m->progress, "job", backup_job(b));
    json_object_set_new(m->progress, "file", json_string(b->file));
    json_object_set(m->progress, "volume", json_object_get(b->mount, "Source"));
    json_object_set_new(m->progress, "node", json_string(node_name(m, b->node_id)));
    json_object_set_new(m->progress, "restore", json_string(backup_restore_command(m->arena, b)));
    if (!json_object_get(m->progress, "job"))
        return error_set(err, ERR_INTERNAL, 0, "the job of the backup cannot be written down");
    return job_save_phase(m->ctx, m->step, m->progress, "job", err);
}

/* A dump reads all that is there, also what `as: admin` steps made: as their role, where there is one. The
   database stays the application's: a superuser's URL may name another. */
static int take_admin_role(const struct making *m, struct step_database *db, struct error *err)
{
    const char *variable = m->ctx->manifest->release.admin_url_from;
    struct step_database admin;
    if (!variable)
        return 0;
    if (step_database_open(m->ctx, db->service_name, variable, &admin, err) < 0)
        return -1;
    if (!db->url.dbname)
        db->url.dbname = db->url.user;
    db->url.user = admin.url.user;
    db->url.password = admin.url.password;
    return 0;
}

/* Asks the database, and makes what the job needs. */
static int prepare(const struct making *m, struct error *err)
{
    struct step_database db;
    struct pg_facts facts;
    struct backup b = {0};
    if (step_database_open(m->ctx, json_path_string(m->params, "name", NULL),
                           json_path_string(m->params, "url_from", NULL), &db, err) < 0 ||
        take_admin_role(m, &db, err) < 0)
        return -1;
    if (!is_text(db.url.user) || !is_text(db.url.dbname))
        return error_set(err, ERR_INVALID, 0, "user or database of the URL is not UTF-8");
    describe(m, &db, &b);
    if (ask_server(m, &db, &b, &facts, err) < 0)
        return -1;
    if (facts.n_tables == 0)
        return job_save_phase(m->ctx, m->step, m->progress, "none", err) < 0
                   ? -1
                   : tell(m, "the database has no tables yet: nothing to back up", err);
    b.needed_kib = facts.size / 4 / 1024;
    if (note_plan(m, &b, err) < 0)
        return -1;
    return b.secret ? make_secret(m, db.url.password, err) : 0;
}

/* ---- the step ---- */

/* Does a job of a worker that died exist? Then it goes on as it was begun. */
static int find_job(const struct making *m, bool *ret_found, struct error *err)
{
    cleanup_json json_t *live = NULL;
    const char *name = json_path_string(m->progress, "job", "Name", NULL);
    *ret_found = json_object_get(m->progress, "id") != NULL;
    if (*ret_found || !name)
        return 0;
    if (send_read_service(m->ctx, name, &live, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    *ret_found = str_eq(spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT), send_label(m->ctx));
    return 0;
}

static int dump(const struct making *m, struct error *err)
{
    const struct job_request request = {
        .step = m->step,
        .progress = m->progress,
        .spec = json_object_get(m->progress, "job"),
        .timeout_us = (int64_t)json_path_integer(m->params, 1800 * US_PER_S, "timeout_us", NULL, NULL),
        .word = "backup",
        .title = "the dump",
        .look_at = "the volume of backups",
        .next_phase = "done",
    };
    if (job_run(m->ctx, &request, err) < 0)
        return -1;
    return tell(m,
                arena_printf(m->arena, "to restore it beside the database that is, on node %s: %s",
                             json_path_string(m->progress, "node", NULL),
                             json_path_string(m->progress, "restore", NULL)),
                err);
}

static int run_phases(const struct making *m, struct error *err)
{
    bool found = false;
    if (str_eq(phase_of(m), "job") && find_job(m, &found, err) < 0)
        return -1;
    if ((!phase_of(m) || (str_eq(phase_of(m), "job") && !found)) && prepare(m, err) < 0)
        return -1;
    if (str_eq(phase_of(m), "job"))
        return dump(m, err);
    if (str_eq(phase_of(m), "failed"))
        return error_set(err, ERR_FAILED, 0, "%s", json_path_string(m->progress, "error", NULL));
    return 0;
}

/* Job and secret of a worker that died after the outcome was on record, or of one that gave up. */
static int tidy_up(const struct making *m)
{
    struct error err = {0};
    if (job_remove_leftover(m->ctx, json_object_get(m->progress, "job"), &err) < 0) {
        if (err.kind == ERR_CANCELLED)
            return -1;
        log_warning("the job of the backup could not be removed: %s", err.text);
    }
    remove_secret(m);
    return 0;
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *progress = resumed && step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    cleanup_json json_t *kept = json_array();
    if (!progress)
        progress = json_object();
    const struct making m = {.ctx = ctx,
                             .step = step,
                             .params = params,
                             .progress = progress,
                             .arena = &arena,
                             .kept = kept,
                             .secret =
                                 arena_printf(&arena, "%s_bak_%" PRId64, ctx->stack->name, step->deployment)};
    int r = run_phases(&m, err);
    if (r < 0 && step_is_shutdown(err))
        return -1;
    bool tidy = tidy_up(&m) == 0;
    if (r < 0) {
        *ret_allowed = err->kind != ERR_CANCELLED && !json_is_true(json_object_get(params, "required"));
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "backup of %s", step->name);
    }
    return tidy ? 0 : step_should_stop(ctx, err);
}

static int64_t deadline(struct step_ctx *ctx, const json_t *params)
{
    (void)ctx;
    return (int64_t)json_path_integer(params, 0, "timeout_us", NULL, NULL) +
           JOB_STARTS_MAX * job_removal_patience_us + 2 * send_patience_us;
}

const struct step_kind step_kind_backup = {
    .name = "backup",
    .sentence = "backing up the database %s",
    .on_resume = RESUME_PROBE,
    .deadline_us = deadline,
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/log.h"
#include "agent/pg.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/kinds.h"
#include "steps/send.h"

/*
 * Is the database ready for migrations? Only logins tell: while an empty volume is initialised, a server that
 * is not the real one answers, and goes away again. So two logins, a second apart, must see the same server.
 */

static const int64_t login_timeout_us = 5 * US_PER_S, between_logins_us = US_PER_S,
                     longest_pause_us = 2 * US_PER_S;

struct database {
    struct step_ctx *ctx;
    struct pg_url url;
    const char *service_name; /* in Swarm; NULL: an outside server */
};

/* The folder of a socket that ends at the running task of the database service. */
static int find_socket(struct database *db, struct arena *arena, const char **ret_folder, struct error *err)
{
    cleanup_json json_t *service = NULL, *tasks = NULL;
    struct tasks_judgement t = {0};
    const char *socket;
    *ret_folder = NULL;
    if (!db->service_name)
        return 0;
    if (docker_service(db->ctx->docker, db->service_name, &service, err) < 0 ||
        docker_tasks(db->ctx->docker, json_path_string(service, "ID", NULL), true, &tasks, err) < 0)
        return -1;
    tasks_judge(arena, service, tasks, NULL, &t);
    if (t.n_active == 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "no task of service %s runs%s%s", db->service_name,
                         t.pending ? ": " : "", t.pending ? t.pending : "");
    if (step_task_socket(db->ctx, t.active[0].task, db->url.port, &socket, err) < 0)
        return -1;
    *ret_folder = arena_strndup(arena, socket, (size_t)(strrchr(socket, '/') - socket));
    return 0;
}

static int login(struct database *db, struct arena *arena, struct pg_login *ret, struct error *err)
{
    const char *folder;
    if (find_socket(db, arena, &folder, err) < 0)
        return -1;
    return pg_login(arena, &db->url, folder,
                    arena_printf(arena, "deploy-agent/%s/ready", db->ctx->stack->name), login_timeout_us, ret,
                    err);
}

static int two_logins(struct database *db, struct arena *arena, struct error *err)
{
    struct pg_login first, second;
    if (login(db, arena, &first, err) < 0)
        return -1;
    step_pause(db->ctx, between_logins_us);
    if (login(db, arena, &second, err) < 0)
        return -1;
    if (strcmp(first.server_start, second.server_start) != 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL was restarted a moment ago");
    return 0;
}

static bool may_pass(const struct error *err)
{
    return err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT || err->kind == ERR_FAILED;
}

static int wait_until_ready(struct database *db, int64_t timeout_us, struct error *err)
{
    int64_t deadline = mono_us() + timeout_us;
    for (int64_t pause = US_PER_S / 2;; pause = pause * 2 < longest_pause_us ? pause * 2 : longest_pause_us) {
        cleanup_arena struct arena arena = {0};
        if (two_logins(db, &arena, err) == 0) {
            step_waiting(db->ctx, NULL);
            return 0;
        }
        if (!may_pass(err))
            return error_wrap(err, "database");
        if (mono_us() >= deadline)
            return error_wrap(err, "database not ready within %s", duration_text(&arena, timeout_us));
        step_waiting(db->ctx, "database: %s", err->text);
        step_pause(db->ctx, pause);
        if (step_should_stop(db->ctx, err) < 0)
            return -1;
    }
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    const char *variable = json_path_string(params, "url_from", NULL);
    struct database db = {.ctx = ctx, .service_name = json_path_string(params, "name", NULL)};
    (void)step;
    (void)resumed;
    (void)ret_allowed;
    if (!ctx->database_url)
        return error_set(err, ERR_INVALID, 0, "database: url_from names %s, which env_file does not set",
                         variable);
    if (pg_url_parse(ctx->arena, ctx->database_url, &db.url, err) < 0)
        return error_wrap(err, "database: variable %s", variable);
    for (size_t i = 0; db.url.dropped[i]; i++)
        log_warning("database: parameter %s of the URL is not used", db.url.dropped[i]);
    return wait_until_ready(&db, (int64_t)json_path_integer(params, 120 * US_PER_S, "timeout_us", NULL, NULL),
                            err);
}

const struct step_kind step_kind_ready = {
    .name = "ready",
    .sentence = "waiting for the database %s",
    .on_resume = RESUME_RERUN,
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/database.h"

#include <string.h>

#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/str.h"

static const char *value_of(const struct step_ctx *ctx, const char *variable)
{
    const struct release *release = &ctx->manifest->release;
    if (str_eq(variable, release->admin_url_from))
        return ctx->admin_url;
    return str_eq(variable, release->migrate_url_from) ? ctx->migrate_url : ctx->database_url;
}

int step_database_open(struct step_ctx *ctx, const char *service_name, const char *variable,
                       struct step_database *ret, struct error *err)
{
    struct step_database db = {.ctx = ctx, .service_name = service_name};
    const char *url = value_of(ctx, variable);
    if (!url)
        return error_set(err, ERR_INVALID, 0, "database: x-release names %s, which env_file does not set",
                         variable);
    if (pg_url_parse(ctx->arena, url, &db.url, err) < 0)
        return error_wrap(err, "database: variable %s", variable);
    *ret = db;
    return 0;
}

int step_database_task(const struct step_database *db, struct arena *arena, json_t **ret_tasks,
                       const json_t **ret, struct error *err)
{
    cleanup_json json_t *service = NULL, *tasks = NULL;
    struct tasks_judgement t = {0};
    if (docker_service(db->ctx->docker, db->service_name, &service, err) < 0 ||
        docker_tasks(db->ctx->docker, json_path_string(service, "ID", NULL), true, &tasks, err) < 0)
        return -1;
    tasks_judge(arena, service, tasks, NULL, &t);
    if (t.n_active == 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "no task of service %s runs%s%s", db->service_name,
                         t.pending ? ": " : "", t.pending ? t.pending : "");
    *ret = t.active[0];
    *ret_tasks = TAKE(tasks);
    return 0;
}

static int find_socket(const struct step_database *db, struct arena *arena, const char **ret,
                       struct error *err)
{
    cleanup_json json_t *tasks = NULL;
    const json_t *task;
    if (step_database_task(db, arena, &tasks, &task, err) < 0)
        return -1;
    return step_task_socket(db->ctx, task, db->url.port, ret, err);
}

int step_database_find(void *userdata, struct arena *arena, const char **ret_folder, struct error *err)
{
    const struct step_database *db = userdata;
    const char *socket;
    *ret_folder = NULL;
    if (!db->service_name)
        return 0;
    if (find_socket(db, arena, &socket, err) < 0) {
        /* a service, a network: to src/pg what is not found would be the schema, which may go */
        if (err->kind == ERR_NOT_FOUND)
            err->kind = ERR_UNAVAILABLE;
        return -1;
    }
    *ret_folder = arena_strndup(arena, socket, (size_t)(strrchr(socket, '/') - socket));
    return 0;
}

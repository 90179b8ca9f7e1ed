/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/database.h"
#include "worker/check.h"

/* `check`: one login with each URL that x-release names. */

static const int64_t login_timeout_us = 5 * US_PER_S;

struct urls {
    struct check *check;
    struct step_ctx ctx;
    const char *service; /* in Swarm; NULL: an outside server */
};

static void check_login(struct urls *u, const char *key, const char *variable)
{
    struct check *check = u->check;
    struct arena *arena = &check->work.arena;
    const struct stack_config *stack = check->work.stack;
    struct error err = {0};
    struct step_database db;
    struct pg_login login;
    const char *folder;
    if (!variable)
        return;
    const char *file = stack->env_file ? stack->env_file : "ENV_FILE";
    if (step_database_open(&u->ctx, u->service, variable, &db, &err) < 0)
        check_fail(check, mend_edit(arena, file), "stack %s: %s", stack->name, err.text);
    else if (step_database_find(&db, arena, &folder, &err) < 0)
        check_note("it is tried again at each deployment", "stack %s: %s: not asked: %s", stack->name, key,
                   err.text);
    else if (pg_login(arena, &db.url, folder, arena_printf(arena, "deploy-agent/%s/check", stack->name),
                      login_timeout_us, &login, &err) < 0)
        check_fail(check,
                   u->service && err.kind != ERR_REFUSED
                       ? arena_printf(arena, "look with: docker service logs %s", u->service)
                       : mend_server(arena, &db.url, file, &err),
                   "stack %s: database, variable %s: %s", stack->name, variable, err.text);
    else
        check_good("stack %s: database, variable %s: PostgreSQL %d answers", stack->name, variable,
                   login.server_version / 10000);
}

/* A service of the stack is reached through the relay of the stack; before the first deployment there is
 * neither. */
static int find_relay(struct urls *u, struct error *err)
{
    struct work *work = &u->check->work;
    if (!u->service)
        return 0;
    if (!work->docker)
        return error_set(err, ERR_UNAVAILABLE, 0, "the engine does not answer");
    return relay_find(work->docker, work->stack->name, work->config.run_dir, &u->ctx.relay, err);
}

void check_database(struct check *check, const struct snapshot *snapshot)
{
    struct work *work = &check->work;
    const struct release *release = &snapshot->manifest.release;
    const char *key = release->database_service;
    struct error err = {0};
    struct urls u = {
        .check = check,
        .service = key ? stack_service(snapshot->manifest.stack, key)->name : NULL,
        .ctx = {.arena = &work->arena,
                .config = &work->config,
                .stack = work->stack,
                .docker = work->docker,
                .manifest = &snapshot->manifest,
                .repo = work->repo,
                .database_url = snapshot->database_url,
                .migrate_url = snapshot->migrate_url,
                .admin_url = snapshot->admin_url,
                .waiting = ""},
    };
    if (!release->database_url_from)
        return;
    if (find_relay(&u, &err) < 0) {
        check_note(NULL, "stack %s: database: not asked, the first deployment makes a way to service %s (%s)",
                   work->stack->name, key, err.text);
        return;
    }
    check_login(&u, "url_from", release->database_url_from);
    check_login(&u, "migrate_url_from", release->migrate_url_from);
    check_login(&u, "admin_url_from", release->admin_url_from);
    relay_close(u.ctx.relay);
}

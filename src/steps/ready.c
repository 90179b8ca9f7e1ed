/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/log.h"
#include "agent/pg.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/database.h"
#include "steps/kinds.h"

/*
 * Is the database ready for migrations? Only logins tell: while an empty volume is initialised, a server that
 * is not the real one answers, and goes away again. So two logins, a second apart, must see the same server.
 */

static const int64_t login_timeout_us = 5 * US_PER_S, between_logins_us = US_PER_S,
                     longest_pause_us = 2 * US_PER_S;

/* No answer: the relay knows better than the closed socket why. */
static void ask_relay_why(const struct step_database *db, struct arena *arena, const char *folder,
                          struct error *err)
{
    const char *socket = arena_printf(arena, "%s/.s.PGSQL.%u", folder, db->url.port);
    const char *why = db->ctx->relay ? relay_failure(db->ctx->relay, socket) : NULL;
    if (why)
        (void)error_set(err, err->kind, 0, "PostgreSQL is not ready: %s", why);
}

static int login(struct step_database *db, struct arena *arena, struct pg_login *ret, struct error *err)
{
    const char *folder;
    if (step_database_find(db, arena, &folder, err) < 0)
        return -1;
    if (pg_login(arena, &db->url, folder, arena_printf(arena, "deploy-agent/%s/ready", db->ctx->stack->name),
                 login_timeout_us, ret, err) == 0)
        return 0;
    if (folder && err->kind == ERR_UNAVAILABLE)
        ask_relay_why(db, arena, folder, err);
    return -1;
}

static int two_logins(struct step_database *db, struct arena *arena, struct error *err)
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

/* variable: who reads that a login was refused wants to know which URL to mend. */
static int wait_until_ready(struct step_database *db, const char *variable, int64_t timeout_us,
                            struct error *err)
{
    int64_t deadline = mono_us() + timeout_us;
    for (int64_t pause = US_PER_S / 2;; pause = pause * 2 < longest_pause_us ? pause * 2 : longest_pause_us) {
        cleanup_arena struct arena arena = {0};
        if (two_logins(db, &arena, err) == 0) {
            step_waiting(db->ctx, NULL);
            return 0;
        }
        if (!may_pass(err))
            return error_wrap(err, "database: variable %s", variable);
        if (mono_us() >= deadline)
            return error_wrap(err, "database not ready within %s", duration_text(&arena, timeout_us));
        step_waiting(db->ctx, "database: %s", err->text);
        step_live(db->ctx, &(struct progress){.deadline_us = deadline, .note = err->text});
        step_pause(db->ctx, pause);
        if (step_should_stop(db->ctx, err) < 0)
            return -1;
    }
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    const char *variable = json_path_string(params, "url_from", NULL);
    struct step_database db;
    (void)step;
    (void)resumed;
    (void)ret_allowed;
    if (step_database_open(ctx, json_path_string(params, "name", NULL), variable, &db, err) < 0)
        return -1;
    for (size_t i = 0; db.url.dropped[i]; i++)
        log_warning("database: parameter %s of the URL is not used", db.url.dropped[i]);
    return wait_until_ready(
        &db, variable, (int64_t)json_path_integer(params, 120 * US_PER_S, "timeout_us", NULL, NULL), err);
}

const struct step_kind step_kind_ready = {
    .name = "ready",
    .sentence = "waiting for the database %s",
    .on_resume = RESUME_RERUN,
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/guard.h"

#include "agent/log.h"
#include "agent/plan.h"
#include "base/clock.h"

const int64_t guard_lock_patience_us = 360 * US_PER_S;
static const int64_t lock_wait_us = 300 * US_PER_S;

struct waiter {
    struct step_ctx *ctx;
    const struct step *step;
};

static int should_stop(void *userdata, struct error *err)
{
    const struct waiter *w = userdata;
    return step_should_stop(w->ctx, err);
}

static void waiting(void *userdata, const char *text)
{
    const struct waiter *w = userdata;
    if (text)
        step_waiting(w->ctx, "%s: %s", w->step->name, text);
    else
        step_waiting(w->ctx, NULL);
}

int guard_lock_open(struct step_ctx *ctx, const struct step *step, struct guard_lock *ret, struct error *err)
{
    const struct release *release = ctx->manifest ? &ctx->manifest->release : NULL;
    struct waiter waiter = {ctx, step};
    struct migrate_step by = {.name = step->name,
                              .lock_wait_us = lock_wait_us,
                              .should_stop = should_stop,
                              .waiting = waiting,
                              .userdata = &waiter};
    if (!release || !release->database_url_from)
        return 0;
    int r = sql_target_open(ctx, step->name, release_direct_url(release), ctx->deployment->commit,
                            &ret->database, &by.target, err);
    if (r == 0)
        r = migrate_guard_open(ctx->arena, &by, &ret->held, err);
    step_waiting(ctx, NULL);
    if (r == 0 || err->kind == ERR_CONFLICT || err->kind == ERR_CANCELLED)
        return r;
    log_warning("%s runs without the lock that keeps other agents out: %s", step->name, err->text);
    *err = (struct error){0};
    return 0;
}

void guard_lock_end_sessions(struct step_ctx *ctx, const struct step *step, struct guard_lock *lock)
{
    const char *name = job_application_name(ctx->arena, ctx->stack->name, step->name);
    struct error err = {0};
    bool any = false;
    if (!lock->held)
        return;
    if (migrate_guard_end_sessions(lock->held, name, &any, &err) < 0)
        log_warning("%s: a session of it may go on in the database: %s", step->name, err.text);
    else if (any)
        log_notice("%s: what it had left running in the database was ended", step->name);
}

int guard_lock_close(struct guard_lock *lock, struct error *err)
{
    bool lost = lock->held && !migrate_guard_holds(lock->held);
    migrate_guard_close(lock->held);
    lock->held = NULL;
    if (!lost)
        return 0;
    return error_set(
        err, ERR_CONFLICT, 0,
        "it ended well, but the connection whose lock keeps other agents out of the database was lost "
        "meanwhile, and whether one migrated beside it is not known: look, then agentctl retry");
}

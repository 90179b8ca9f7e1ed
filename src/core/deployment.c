/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deployment.h"

#include <string.h>

#include "base/cleanup.h"

/* ---- name tables: position is the enum's value; names are stored, never rename ---- */

static const char *const deployment_states[] = {
    [DEPLOYMENT_REQUESTED] = "requested",
    [DEPLOYMENT_PLANNED] = "planned",
    [DEPLOYMENT_RUNNING] = "running",
    [DEPLOYMENT_INTERRUPTED] = "interrupted",
    [DEPLOYMENT_SUCCEEDED] = "succeeded",
    [DEPLOYMENT_FAILED] = "failed",
    [DEPLOYMENT_ROLLED_BACK] = "rolled_back",
    [DEPLOYMENT_HALTED] = "halted",
    [DEPLOYMENT_CANCELLED] = "cancelled",
    [DEPLOYMENT_SUPERSEDED] = "superseded",
    [DEPLOYMENT_STUCK] = "stuck",
};

static const char *const triggers[] = {
    [TRIGGER_POLL] = "poll",         [TRIGGER_WEBHOOK] = "webhook", [TRIGGER_SYNC] = "sync",
    [TRIGGER_IMAGE] = "image",       [TRIGGER_ENV] = "env",         [TRIGGER_DRIFT] = "drift",
    [TRIGGER_ROLLBACK] = "rollback", [TRIGGER_RETRY] = "retry",
};

static const char *const step_states[] = {
    [STEP_PENDING] = "pending",
    [STEP_RUNNING] = "running",
    [STEP_DONE] = "done",
    [STEP_FAILED] = "failed",
    [STEP_FAILED_ALLOWED] = "failed (allowed)",
    [STEP_SKIPPED] = "skipped",
    [STEP_UNDONE] = "undone",
};

static const char *name_of(const char *const *names, size_t n, unsigned value)
{
    return value < n ? names[value] : "unknown";
}

/* -1: no such name; an unset `name` is none either */
static int value_of(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; name && i < n; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

const char *deployment_state_name(enum deployment_state state)
{
    return name_of(deployment_states, ARRAY_SIZE(deployment_states), state);
}

int deployment_state_parse(const char *name, enum deployment_state *ret)
{
    int value = value_of(deployment_states, ARRAY_SIZE(deployment_states), name);
    if (value < 0)
        return -1;
    *ret = (enum deployment_state)value;
    return 0;
}

const char *trigger_name(enum trigger trigger)
{
    return name_of(triggers, ARRAY_SIZE(triggers), trigger);
}

int trigger_parse(const char *name, enum trigger *ret)
{
    int value = value_of(triggers, ARRAY_SIZE(triggers), name);
    if (value < 0)
        return -1;
    *ret = (enum trigger)value;
    return 0;
}

const char *step_state_name(enum step_state state)
{
    return name_of(step_states, ARRAY_SIZE(step_states), state);
}

int step_state_parse(const char *name, enum step_state *ret)
{
    int value = value_of(step_states, ARRAY_SIZE(step_states), name);
    if (value < 0)
        return -1;
    *ret = (enum step_state)value;
    return 0;
}

/* ---- how states follow each other ---- */

#define TO(state) (1U << DEPLOYMENT_##state)

/*
 * Ends lead nowhere: a retry is a deployment of its own. `running` follows itself when agentd and the worker
 * died together and nobody could write `interrupted`. Back to `planned` leads a plan that no longer fits the
 * world, as long as nothing was done yet (journal_save_plan() sees to that). One that has begun is superseded
 * only when the agent of another host has taken its stack over.
 */
static const unsigned may_become[] = {
    [DEPLOYMENT_REQUESTED] =
        TO(PLANNED) | TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED) | TO(SUPERSEDED) | TO(STUCK),
    [DEPLOYMENT_PLANNED] = TO(PLANNED) | TO(RUNNING) | TO(INTERRUPTED) | TO(SUCCEEDED) | TO(FAILED) |
                           TO(CANCELLED) | TO(SUPERSEDED) | TO(STUCK),
    [DEPLOYMENT_RUNNING] = TO(PLANNED) | TO(RUNNING) | TO(INTERRUPTED) | TO(SUCCEEDED) | TO(FAILED) |
                           TO(ROLLED_BACK) | TO(HALTED) | TO(CANCELLED) | TO(SUPERSEDED) | TO(STUCK),
    [DEPLOYMENT_INTERRUPTED] = TO(PLANNED) | TO(RUNNING) | TO(INTERRUPTED) | TO(FAILED) | TO(ROLLED_BACK) |
                               TO(HALTED) | TO(CANCELLED) | TO(SUPERSEDED) | TO(STUCK),
    [DEPLOYMENT_STUCK] = 0,
};

bool deployment_state_may_follow(enum deployment_state from, enum deployment_state to)
{
    return (unsigned)from < ARRAY_SIZE(may_become) && (unsigned)to < ARRAY_SIZE(deployment_states) &&
           (may_become[from] & 1U << to);
}

bool deployment_state_ended(enum deployment_state state)
{
    return (unsigned)state < ARRAY_SIZE(may_become) && may_become[state] == 0;
}

bool deployment_state_holds(enum deployment_state state)
{
    return deployment_state_ended(state) && state != DEPLOYMENT_SUCCEEDED && state != DEPLOYMENT_SUPERSEDED;
}

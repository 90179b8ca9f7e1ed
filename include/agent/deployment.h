/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The words of the record: states, triggers, outcomes. Names are stored in files and rows and shown
 * in JSON: never rename. How the states follow each other is a table in src/core/deployment.c; what each end
 * means for production is in docs/operations.md.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"

enum deployment_state {
    DEPLOYMENT_REQUESTED,
    DEPLOYMENT_PLANNED,
    DEPLOYMENT_RUNNING,
    DEPLOYMENT_INTERRUPTED, /* its worker ended without a verdict; the next one resumes */
    DEPLOYMENT_SUCCEEDED,
    DEPLOYMENT_FAILED,      /* stopped before any application service was touched */
    DEPLOYMENT_ROLLED_BACK, /* services were put back */
    DEPLOYMENT_HALTED,      /* stopped half way: needs a person */
    DEPLOYMENT_CANCELLED,
    DEPLOYMENT_SUPERSEDED,
    DEPLOYMENT_STUCK, /* resumed three times without progress */
};
const char *deployment_state_name(enum deployment_state state);
int deployment_state_parse(const char *name, enum deployment_state *ret);
bool deployment_state_ended(enum deployment_state state);
/* Does this end hold the commit until a new one or `agentctl retry`? Every end but succeeded and superseded.
 */
bool deployment_state_holds(enum deployment_state state);
/* May `from` become `to`? One table, deployment.c; the journal refuses other changes. */
bool deployment_state_may_follow(enum deployment_state from, enum deployment_state to);

enum trigger {
    TRIGGER_POLL,
    TRIGGER_WEBHOOK,
    TRIGGER_SYNC,
    TRIGGER_IMAGE,
    TRIGGER_ENV,
    TRIGGER_DRIFT,
    TRIGGER_ROLLBACK,
    TRIGGER_RETRY
};
const char *trigger_name(enum trigger trigger);
int trigger_parse(const char *name, enum trigger *ret);

enum step_state {
    STEP_PENDING,
    STEP_RUNNING,
    STEP_DONE,
    STEP_FAILED,
    STEP_FAILED_ALLOWED,
    STEP_SKIPPED,
    STEP_UNDONE
};
const char *step_state_name(
    enum step_state state); /* pending running done failed "failed (allowed)" skipped undone */
int step_state_parse(const char *name, enum step_state *ret);

/* What a deployment did with one service: action is create, update, remove, none; state is pending, updating,
   healthy, degraded, unverified, failed, rolled_back, removed, unchanged, untouched, halted. Text in the
   journal. */

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between gate.c, which gives the verdict over time, and gate_look.c, which looks once. */

#include "steps/gate.h"
#include "steps/probe.h"

/* Tasks that end within this after the engine came back were ended by its absence, not by the new version. */
extern const int64_t gate_outage_grace_us;

struct gate {
    struct step_ctx *ctx;
    struct arena arena;
    const char *service, *id, *sent;
    bool going_back;
    json_t *excused;
    json_t *looks;       /* in how many looks a task was seen running, by its ID: gate_overlooked.c */
    const char *node_id; /* of this node; NULL: not asked for yet */
    struct prober *prober;
    unsigned failures_before;
    const struct gate_settings *settings;
    int64_t deadline_us;
    int64_t stable_since_us; /* all desired tasks run without a break since; 0: they do not */
    int64_t next_probe_us;
    int64_t unreachable_since_us; /* the engine did not answer; 0: it does */
    int64_t away_us;              /* so long, before that */
    int64_t slow_us;              /* of it, so long it answered, but too late */
    int64_t away_taken_us;        /* of both, what was asked for already */
    int64_t excuse_until_us;
    int64_t recovering_until_us; /* what the engine's absence ended may take so long to be well again */
    bool late;                   /* healthy_deadline is over: the last look */
    bool was_away;               /* nobody watched for a while: the next look excuses what it finds */
    int64_t bad_since_us;        /* enough tasks failed since then for a verdict; 0: they did not */
    unsigned failures_seen;
    unsigned good, desired; /* tasks, as of the last look */
    bool counted;           /* the last look could count them */
    bool is_job;
    bool seen_to_run;       /* those of this node whose containers can be asked for, by them */
    bool well;              /* as of the last look nothing is missing but time */
    const char *unverified; /* as of the last look: why nothing but "it runs" was seen; NULL: more was */
    char state[512];        /* what is still missing, for the deadline's message */
    char note[256];         /* the same beside the counts, for whoever looks on */
};

/*
 * Asks the engine, and the checks when it is their time. *ret_well: everything asked for was seen, for as
 * long as asked for. An engine that does not answer is no error: unreachable_since_us says so. ERR_FAILED:
 * the new version is at fault; ERR_CONFLICT: somebody else has changed or removed the service.
 */
int gate_look(struct gate *gate, bool *ret_well, struct error *err) MUST_CHECK;

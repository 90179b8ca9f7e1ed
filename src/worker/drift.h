/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looks whether others changed what the last deployment left, and says so in the stack's row. */

#include "worker/work.h"

struct drift_look {
    struct deployment success, newest; /* newest has ended */
    struct stack_state state;
};

struct drift_answer {
    const char *news;  /* what is on record now, in words, "" when nothing is any more; NULL: as before */
    int64_t requested; /* the deployment that puts it right; 0: none */
};

/* An engine that cannot be asked now says nothing about the services: what is on record stays. */
bool drift_is_unknown(const struct error *err);
/* The journal and the engine are open. */
int drift_look(struct work *work, const struct drift_look *look, struct drift_answer *ret,
               struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A journal that cannot be written (disk full), or read, stops everything: no effect without its intent on
 * record, no outcome that only the process knows, no verdict because of our own disk. Such a call is repeated
 * until it works; a stop ends that (ERR_CANCELLED).
 *
 *     if (PERSIST(journal_step_progress(…, err), err) < 0)
 *         return -1;
 */

#include <stdbool.h>
#include <string.h>

#include "agent/error.h"
#include "agent/fault.h"

struct persist {
    bool told; /* it was logged */
};

/* Is the failed call to be repeated? Waits a while before it says yes. */
bool persist_again(struct persist *state, struct error *err);

/* As if the disk had been full, once for each kind of call: "persist journal_set_state". */
static inline int persist_inject(const char *call, struct error *err)
{
    int code = fault_errnof("persist %.*s", (int)strcspn(call, "("), call);
    return code ? error_set(err, ERR_UNAVAILABLE, code, "the journal: %s", strerror(code)) : 0;
}

#define PERSIST(call, err)                                                                                   \
    ({                                                                                                       \
        int persist_result;                                                                                  \
        struct persist persist_state = {0};                                                                  \
        while ((persist_result = persist_inject(#call, (err)) < 0 ? -1 : (call)) < 0 &&                      \
               persist_again(&persist_state, (err)))                                                         \
            ;                                                                                                \
        persist_result;                                                                                      \
    })

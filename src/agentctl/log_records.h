/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* agentctl log --records: the history of all hosts that write to one PostgreSQL. agent-worker asks it: ours
 * where this user may read the configuration, else agentd's. */

#include "agentctl/ctl.h"

struct log_records {
    const char *stack, *state; /* NULL: all; of any host, so they need not be known here */
    int64_t since_us;          /* 0: from the beginning */
    unsigned limit;            /* 0: all */
    bool json, wide;
};
int log_records(struct ctl *ctl, const struct log_records *options); /* exit code */

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is told of deployments, and who cannot be: records, messages, commit statuses. */

#include <jansson.h>

#include "agent/outbox.h"

struct receiver_view {
    struct receiver row;
    int64_t events; /* that wait for it */
    int64_t oldest_us;
};

/* journal NULL: none. Events are counted one by one, up to `most`; 0: all. */
int receivers_read(struct journal *journal, struct arena *arena, int64_t most, struct receiver_view **ret,
                   size_t *ret_count, struct error *err) MUST_CHECK;
/* [{name, waiting, oldest, attempts, failing_since, next_try, error, dropped}] */
json_t *receivers_json(const struct receiver_view *all, size_t n);

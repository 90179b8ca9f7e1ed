/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How long the answers of a check took, and whether it answers slower than before. Pure. Only a warning is
 * made of it: a ratio of times changes with the load, too, and nothing goes back because of it.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

enum { LATENCY_KEPT = 64 };

/* Of answers that passed, one a sample; the newest LATENCY_KEPT. */
struct latencies {
    unsigned ms[LATENCY_KEPT];
    unsigned seen; /* in all; the newest is at (seen - 1) % LATENCY_KEPT */
};

void latency_note(struct latencies *latencies, unsigned ms);
/* The samples of `more` behind those of `to`. */
void latency_add(struct latencies *to, const struct latencies *more);
unsigned latency_samples(const struct latencies *latencies);
/* 0 where there is no sample. */
unsigned latency_median_ms(const struct latencies *latencies);

/*
 * Is the median more than twice that of before, and more than 300 ms above it? False with less than 20
 * samples on either side. just_before: how it was right before anything was touched, however few; where it
 * was as slow then, it is not this deployment's doing.
 */
bool latency_slower(const struct latencies *before, const struct latencies *just_before,
                    const struct latencies *now);
/* "web /health answers slower: median 420 ms, was 80 ms (23 and 41 samples)" */
const char *latency_words(struct arena *arena, const char *check, const struct latencies *before,
                          const struct latencies *now);

/* The samples, oldest first; what is no list of numbers has none. New reference. */
json_t *latency_json(const struct latencies *latencies);
void latency_from_json(const json_t *list, struct latencies *ret);

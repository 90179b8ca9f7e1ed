/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How long answers of the checks took, from one success to the next. The few samples of a baseline are none
 * to compare with, so the soak keeps those that it saw in its step's progress, and the next deployment reads
 * them from the newest success that rolled something: what it left is what runs.
 *
 *     {"speed": {"check 0": {"check": "web /health", "service": "web", "ms": [80, …], "median_ms": 81,
 *                            "samples": 34, "before_ms": 80, "before_samples": 39, "slower": false,
 *                            "words": "web /health answers slower: …"}, …}}
 *
 * A check that the last success did not have is compared with nothing.
 */

#include "steps/watch.h"

/* Lists of samples by this deployment's keys of checks. own_prints: of its baseline step. New reference. */
json_t *speed_earlier(struct step_ctx *ctx, const char *own_prints);
/* At the end of the soak: all that was asked in it goes on record; what answers slower is logged, too. */
int speed_keep(struct step_ctx *ctx, const struct step *step, const struct watches *others,
               struct error *err) MUST_CHECK;
/* What answers slower, in words: the continuation of a reason; "" when nothing does. */
const char *speed_words(struct step_ctx *ctx);

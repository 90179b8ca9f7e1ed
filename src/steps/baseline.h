/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the probes of the stack's services said before anything was touched (step `baseline`), and after the
 * migrations, old code on the new schema (step `compare`). Kept in these steps' progress, so that whoever
 * takes the deployment up compares with the same:
 *
 *     {"check 0": {"check": "web /health", "service": "web", "passed": 5, "asked": 5, "last": "200",
 *                  "ms": [80, …]}, …}
 */

#include "steps/probe.h"

/* Fills was, before, last_before and the latencies of before of the probe from the record. */
void baseline_find(struct step_ctx *ctx, struct probe *probe);
/* What passed before the migrations and fails after them, with its numbers: old code on the new schema. NULL:
 * nothing. */
const char *baseline_broken(struct step_ctx *ctx);
/* Did it pass just before the rollout began, with the old code on the schema of now? *ret_known: it was asked
 * then. */
bool baseline_passed_last(struct step_ctx *ctx, const struct probe *probe, bool *ret_known);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Swarm job of ours, from its tasks to its end.
 *
 * Swarm has two traps here (seen on engines 20.10 and 26.1). A failed job that is kept is run again when the
 * engine or its leader restarts: so it is removed, once its outcome and output are on record. And removing a
 * job does not stop its task: so it is emptied first, by an update that asks for no completions.
 */

#include "agent/step.h"

extern const int64_t job_look_interval_us, job_removal_patience_us;

enum job_end { JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED };

/* As long as one of them runs, or waits to, there is no end; then one success is enough. */
enum job_end job_state(const json_t *tasks, const json_t **ret_task);
bool job_any_runs(const json_t *tasks);
bool job_is_emptied(const json_t *spec);

/* Stops what runs, waits until it has stopped, removes the job: nothing may run on behind a verdict. */
int job_remove(struct step_ctx *ctx, const char *id, struct error *err) MUST_CHECK;

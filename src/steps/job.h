/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Swarm job of ours, from its tasks to its end.
 *
 * Swarm has two traps here (seen on engines 20.10 and 26.1). A failed job that is kept is run again when the
 * engine or its leader restarts: so it is removed, once its outcome and output are on record. And removing a
 * job does not stop its task on 20.10, and only begins to on 26.1: so it is emptied first, by an update that
 * asks for no completions. Who removes a job by hand leaves a task that may still run; the engine lists it by
 * the labels of the service it had.
 */

#include "agent/step.h"

extern const int64_t job_look_interval_us, job_removal_patience_us;

enum job_end { JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED };

/* As long as one of them runs, or waits to, there is no end; then one success is enough. */
enum job_end job_state(const json_t *tasks, const json_t **ret_task);
bool job_any_runs(const json_t *tasks);
bool job_is_emptied(const json_t *spec);

/*
 * The tasks of a job, its service having been removed or not; an empty array when the engine knows none any
 * more. *ret_removed: the service is gone.
 */
int job_tasks(struct step_ctx *ctx, const char *id, json_t **ret, bool *ret_removed,
              struct error *err) MUST_CHECK;

/* ERR_CONFLICT when a task of any migration of this stack still runs: two never run at once. */
int job_none_runs(struct step_ctx *ctx, struct error *err) MUST_CHECK;

/* Stops what runs, waits until it has stopped, removes the job: nothing may run on behind a verdict. */
int job_remove(struct step_ctx *ctx, const char *id, struct error *err) MUST_CHECK;

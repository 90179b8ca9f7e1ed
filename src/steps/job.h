/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A job of ours, from its tasks to its end: a service of one replica that is never restarted
 * (docs/decisions/0005).
 *
 * It is removed once its outcome and output are on record. Removing a service does not wait for its task: so
 * it is emptied first, by an update to no replicas, and removed when Swarm has forgotten its tasks. Who
 * removes it by hand has its task stopped, and the engine forgets the task when it has; until then it lists
 * it by the labels of the service that it had.
 */

#include "agent/step.h"

extern const int64_t job_look_interval_us, job_removal_patience_us;

/* How often one is made at most, when the engine fails to start its container; each is removed. */
enum { JOB_STARTS_MAX = 3 };

enum job_end { JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED };

/* As long as one of them runs, or waits to, there is no end; then one success is enough. */
enum job_end job_state(const json_t *tasks, const json_t **ret_task);
bool job_any_runs(const json_t *tasks);

/*
 * The tasks of a job, its service having been removed or not; an empty array when the engine knows none any
 * more. *ret_removed: the service is gone.
 */
int job_tasks(struct step_ctx *ctx, const char *id, json_t **ret, bool *ret_removed,
              struct error *err) MUST_CHECK;

/* ERR_CONFLICT when a task of any job of this stack still runs: two never run at once. One of a deployment
   that was taken over is waited for, as long as jobs usually take. */
int job_none_runs(struct step_ctx *ctx, struct error *err) MUST_CHECK;

/* Stops what runs, waits until it has stopped, removes the job: nothing may run on behind a verdict. */
int job_remove(struct step_ctx *ctx, const char *id, struct error *err) MUST_CHECK;

/*
 * A job from its start to its verdict and its removal. It is started once: after a crash it is found by its
 * name and our label, and waited for; one that is gone without a verdict is not started again. Only one whose
 * container never ran (tasks_never_ran()) is removed and made anew, three in all.
 *
 * Kept in the step's progress, beside what the step itself keeps: "id" of the job, once the engine has
 * confirmed it; "starts", how many there were, from the second on; "discard", the id of one that never ran,
 * until it is removed, or followed all the same since somebody had it run; "spent_us" of its timeout;
 * "log_ns" and "log_err_ns", the position in its log; "last", its last line; "phase", which is `next_phase`
 * once it succeeded and "failed" when it did not, with the reason in "error" and the phase that failed in
 * "failed_in".
 */
struct job_request {
    const struct step *step;
    json_t *progress;
    const json_t *spec;
    int64_t timeout_us;
    const char *word;    /* "migration": what it is, in messages */
    const char *title;   /* begins the reason of a failure */
    const char *look_at; /* where a person finds out what became of a job that is gone */
    const char *next_phase;
    /* Not again when it has ended well in a deployment that was taken over, and not beside one of those: that
       one's outcome is taken. */
    bool inherited;
    bool last_cancel; /* the caller ignores cancels: one is looked for just before the job is made */
};
int job_run(struct step_ctx *ctx, const struct job_request *request, struct error *err) MUST_CHECK;

int job_save_phase(struct step_ctx *ctx, const struct step *step, json_t *progress, const char *phase,
                   struct error *err) MUST_CHECK;
/* Removes this deployment's job of that name, whose outcome is on record and that a dead worker left. */
int job_remove_leftover(struct step_ctx *ctx, const json_t *spec, struct error *err) MUST_CHECK;

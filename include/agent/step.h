/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A step kind: one file in src/steps, one row in src/steps/kinds.c, whose order is deployment order. The
 * pipeline (src/worker/pipeline.c) commits intent to the journal, runs the step, commits the outcome.
 */

#include <jansson.h>
#include <stdbool.h>

#include "agent/config.h"
#include "agent/docker.h"
#include "agent/error.h"
#include "agent/journal.h"
#include "agent/manifest.h"
#include "agent/progress.h"
#include "agent/repo.h"
#include "base/arena.h"

/* What happens to a step that a crash interrupted. */
enum resume_policy {
    RESUME_RERUN, /* it runs again as if for the first time: harmless */
    RESUME_PROBE, /* run() is told, finds out from the world what has happened and goes on from there */
};

/* How the error of a step ends that a cancel stopped; a worker that takes it up again knows it by this. */
#define STEP_CANCELLED_TEXT "cancelled on request"

/* How the error of a step ends after which nothing is put back: it says nothing against the new version, or
 * going back would not help. A person decides. */
#define STEP_HALT_TEXT "services were left as they are"

/* STOP_LEASE: another agent has taken the stack over. As at a shutdown nothing is put back, and the next
 * worker sees. */
enum stop_reason { STOP_NONE, STOP_SHUTDOWN, STOP_CANCEL, STOP_LEASE };

/* What was told last of the step that is at work; see step_live(). */
struct step_live {
    unsigned seq; /* 0: none is */
    int64_t next_us, deadline_us;
    char said[1024], pending[1024]; /* written; to be, when its time has come */
};

struct step_ctx {
    struct arena *arena; /* of the deployment */
    const struct config *config;
    const struct stack_config *stack;
    struct journal *journal;
    struct docker *docker;
    const struct deployment *deployment;
    const struct manifest *manifest; /* of the deployment's commit; NULL in a rollback whose commit is gone */
    const char *host_id, *salt;
    struct repo *repo; /* has the deployment's commit; NULL as the manifest */
    /* values of x-release.database.url_from, migrate_url_from, admin_url_from; NULL: not set. Secrets */
    const char *database_url, *migrate_url, *admin_url;
    struct relay *relay;   /* opened by the relay step, or on demand; owned by the pipeline */
    int64_t deadline_us;   /* monotonic; gate.total_deadline of the whole rollout; 0: none */
    int64_t away_until_us; /* monotonic; up to then the engine's absences have moved it */
    struct gate **gates;   /* of rolled services, for the soak; see steps/gate.h */
    size_t n_gates;
    json_t *baselines;   /* see steps/baseline.h; owned by the run. NULL: not read yet */
    json_t *regressed;   /* what a check said that got worse: steps/probe.h; owned by the run */
    struct lease *lease; /* see steps/lease.h; NULL: no deployment */
    const char *waiting; /* as last told; NULL: for nothing */
    struct step_live live;
    bool ignore_cancel; /* while services are put back, and while a migration may be running */
};

struct step_kind {
    const char *name;     /* stored in the journal: never rename */
    const char *sentence; /* "rolling service %s", logged when it runs; %s is the step's name */
    enum resume_policy on_resume;
    bool touches_service; /* after a crash step_watch() takes up the watch over what it rolled */
    /* How long it can take at most; a worker that takes longer hangs, and agentd ends it. NULL: not known. */
    int64_t (*deadline_us)(struct step_ctx *ctx, const json_t *params);
    /*
     * resumed: the step was begun by a worker that died (RESUME_PROBE only). Failure of the deployed thing:
     * ERR_FAILED and others, *err the reason. ERR_CANCELLED: asked to stop; the step stays `running` and is
     * resumed. *ret_allowed: it failed, and the plan allows that.
     */
    int (*run)(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err);
};

extern const struct step_kind *const step_kinds[]; /* NULL-terminated */
const struct step_kind *step_kind_find(const char *name);

/* Did it end because the process was asked to stop? Then the step is resumed. Calls below us say that without
 * a code. */
static inline bool step_is_shutdown(const struct error *err)
{
    return err->kind == ERR_CANCELLED && err->code != STOP_CANCEL;
}

/* Looked at in every wait. Sets err (ERR_CANCELLED) and returns -1 when the work has to stop. */
int step_should_stop(struct step_ctx *ctx, struct error *err) MUST_CHECK;
/* What the step has to know when it is taken up again, in its row of the journal. */
int step_save_progress(struct step_ctx *ctx, const struct step *step, const json_t *progress,
                       struct error *err) MUST_CHECK;
enum stop_reason step_stop_reason(struct step_ctx *ctx);
/* Shows in `status` what is waited for; NULL clears. Failing to write it is not worth failing for. */
void step_waiting(struct step_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * What the step is at, for whoever looks on. May be called as often as one likes: a change is written down,
 * once a second at most; what came too soon is written by the next call, or the next sign of life. Failing to
 * write it is not worth failing for. progress->deadline_us is monotonic here.
 */
void step_live(struct step_ctx *ctx, const struct progress *progress);
/* For signs of life: what waits is written once its time has come. */
void step_live_flush(struct step_ctx *ctx);
/* Around a step, and around putting its service back; before, between and after them step_live() is silent.
 */
void step_live_begin(struct step_ctx *ctx, unsigned seq);
void step_live_end(struct step_ctx *ctx); /* forgets what was told */
/* Sleeps up to us, in pieces, until a stop is requested. */
void step_pause(struct step_ctx *ctx, int64_t us);
/* The same for waits that a cancel does not end: until a shutdown is requested. */
void step_sleep(int64_t us);
/* The relay with at least the manifest's networks, made when there is none yet. */
int step_relay(struct step_ctx *ctx, struct relay **ret, struct error *err) MUST_CHECK;

/* After a crash: takes up the watch over a service that was rolled before it, for the soak. */
int step_watch(struct step_ctx *ctx, const struct step *step, const json_t *params,
               struct error *err) MUST_CHECK;

/*
 * Removes finished jobs, and secrets made for one, that a worker which died left behind: a job's outcome and
 * output are on record before it goes. Those that still run stay; the step of their name refuses to start
 * beside them.
 */
void step_sweep_jobs(struct step_ctx *ctx);

/*
 * For a deployment that is given up where it stands: its own jobs that have ended are removed, since
 * nobody comes back for them. What became of each, in words that continue a
 * reason; "" when there is none. Nothing is waited for.
 */
const char *step_settle_jobs(struct step_ctx *ctx);

/* A socket whose connections end at this task's port, by its own address. Owned by the relay. */
int step_task_socket(struct step_ctx *ctx, const json_t *task, unsigned port, const char **ret,
                     struct error *err) MUST_CHECK;

/* Did anything that a roll which failed was to send reach its service? By the record, or else by the engine.
 */
int step_had_effect(struct step_ctx *ctx, const struct step *step, const json_t *params, bool *ret,
                    struct error *err) MUST_CHECK;
/*
 * Putting one service of this deployment back to the spec recorded before it: update back, or remove
 * what the deployment created (its last log lines go to the step's output). Repeatable. *ret_touched
 * false: the step had no effect yet.
 */
int step_put_back(struct step_ctx *ctx, const struct step *step, const json_t *params, bool *ret_touched,
                  struct error *err) MUST_CHECK;

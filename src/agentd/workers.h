/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One agent-worker process per job. Its stdout is a pipe: lines of JSON are hints (poll, run), or text for
 * whoever asked (plan, check, health). Hints may be lost; what counts is in the journal.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "agent/error.h"
#include "base/str.h"

struct manager;
struct watch;

enum worker_kind {
    WORKER_POLL,
    WORKER_OBSERVE,
    WORKER_RUN,
    WORKER_PLAN,
    WORKER_CHECK,
    WORKER_HEALTH,
    WORKER_NOTIFY
};

struct worker_pipe {
    struct worker *worker;
    int fd;
    sd_event_source *source;
    struct str text; /* a line that is not complete yet; of those who answer everything */
    bool skipping;   /* in a line that is too long */
};

struct worker {
    struct manager *manager;
    struct worker *next;
    enum worker_kind kind;
    struct watch *watch; /* NULL: check of all stacks */
    pid_t pid;
    sd_event_source *child, *deadline, *silence;
    int64_t silence_us; /* 0: no limit */
    struct worker_pipe out, err;
    bool term_sent, timed_out;
    bool silent;  /* timed_out because no hint came */
    json_t *hint; /* the last one; NULL: none */

    /* a new hint; may be NULL */
    void (*hinted)(struct worker *worker);
    /* exit code and signal are set; the worker is freed when it returns */
    void (*ended)(struct worker *worker);
    /* its deadline has passed; false: leave it alone. NULL: it is stopped */
    bool (*overdue)(struct worker *worker);
    void *userdata;
    int exit_code; /* -1: ended by `signal` */
    int signal;
};

struct worker_options {
    enum worker_kind kind;
    struct watch *watch;
    const char *const *arguments; /* NULL-terminated, what follows --config FILE */
    int64_t timeout_us;           /* 0: none. Then SIGTERM, later SIGKILL */
    int64_t silence_us;           /* the same when no hint comes for so long */
    void (*hinted)(struct worker *worker);
    void (*ended)(struct worker *worker);
    bool (*overdue)(struct worker *worker);
    void *userdata;
};

int worker_start(struct manager *manager, const struct worker_options *options, struct worker **ret,
                 struct error *err) MUST_CHECK;
void worker_signal(const struct worker *worker, int sig);
/* SIGTERM now, SIGKILL after `grace_us` (0: never). */
void worker_stop(struct worker *worker, int64_t grace_us);
/* A deadline from now on, 0: none. */
void worker_set_timeout(struct worker *worker, int64_t timeout_us);
/* How long it may be without a hint from now on. */
void worker_set_silence(struct worker *worker, int64_t silence_us);
unsigned workers_count(const struct manager *manager, enum worker_kind kind);
/* "ended by signal 9 (Killed)", "ended with code 1", "took too long and was stopped" */
const char *worker_end_text(struct arena *arena, const struct worker *worker);
/* Frees all without waiting for their processes. */
void workers_free(struct manager *manager);

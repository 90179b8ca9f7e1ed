/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * agentd: one sd-event loop that polls the stacks, starts one agent-worker process per job, answers the
 * control socket and feeds the watchdog. It never waits for anything but the loop; what may block is a
 * worker's business.
 *
 *     manager.c   the state of it all, start and stop, the journal and what happens while it cannot be opened
 *     schedule.c  when each stack is polled, and what a poll said
 *     runs.c      which deployment runs when, and what follows from a worker's end
 *     freeze.c    what keeps a requested deployment from starting: pause and freeze
 *     workers.c   processes: start, hint lines, deadline, end
 *     control.c   the control socket; methods.c its verbs, actions.c those that change something
 *     http.c      HTTP; health.c what /health/database says, metrics.c /metrics, live.c what happens just now
 *     receivers.c who is told of deployments: messages, commit statuses, records
 *     reload.c    SIGHUP
 *     disk.c      a disk that is nearly full
 *     status.c    the line in `systemctl status`
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/config.h"
#include "agent/error.h"
#include "agent/journal.h"

struct control;
struct health;
struct http;
struct live;
struct manager;
struct metrics;
struct watch_metrics;
struct worker;

/* A configured stack as agentd sees it. */
struct watch {
    struct manager *manager;
    struct watch *next;
    char *name;
    const struct stack_config *config; /* NULL: its section was removed, and the last worker still runs */

    /* schedule.c */
    struct worker *poll; /* poll or observe; NULL: none */
    sd_event_source *poll_timer;
    int64_t last_poll_us;     /* wall time; 0: not yet */
    int64_t next_poll_us;     /* monotonic, as its timer; 0: none is planned */
    int64_t good_poll_us;     /* the last that ended well; wall time */
    unsigned failures;        /* polls that failed, in a row */
    bool lease_seen;          /* none of an ended deployment is left, since the last one */
    bool failing;             /* the journal says that polls fail */
    int64_t failing_since_us; /* monotonic: when the first of them did */
    bool alarmed;             /* and it was logged that they have done so for long */
    bool stalled;             /* and told: as the stack's row says */
    char *poll_error;         /* NULL: the last poll went well */
    char tip[41];             /* what the next poll may take as known; "": it looks closely */
    char *alarm;              /* the last one logged; NULL: none */
    bool poll_overtaken;      /* a deployment ended while it ran: what it saw was judged before that */
    bool polling_for_sync, sync_wanted;
    bool again;                 /* once more after the poll that runs: something changed meanwhile */
    bool webhook_wanted;        /* one has come since the last poll began */
    int64_t webhook_us;         /* monotonic, of the last poll for one; 0: none yet */
    int64_t webhook_refused_us; /* when that was last said; 0: never */
    unsigned syncs_started;     /* polls started for `agentctl sync`; see struct client */

    /* runs.c */
    struct worker *run;
    sd_event_source *restart_timer; /* armed: the next start waits for it */
    sd_event_source *pause_timer;   /* end of a pause with an end */
    int64_t runnable;           /* deployment to run next; 0: none. A copy of what the journal said last */
    bool runnable_is_new;       /* it is `requested`: not while paused or frozen */
    bool runnable_is_asked_for; /* by a person, by name: also while frozen */
    int64_t running;            /* deployment of `run` */
    char commit[41];
    char *step;            /* "roll web"; NULL: between two steps */
    int64_t step_limit_us; /* and what it may take, while it waits for nothing; 0: not known */
    char *waiting;         /* what it waits for, in words; NULL: nothing */
    unsigned deaths;       /* of workers of the same deployment, without its end */
    int64_t died;          /* that deployment */
    bool paused;           /* copies of the stack's row: agentd is its only writer */
    int64_t paused_until_us;

    struct health *health;         /* health.c; NULL: nobody has asked */
    char *told;                    /* live.c's: its last progress */
    struct watch_metrics *metrics; /* metrics.c; NULL: nothing to count yet */

    /* freeze.c */
    int64_t frozen_until_us; /* wall time; 0: not frozen */
    sd_event_source *freeze_timer;
    bool thawing;  /* a freeze is over, and the branch was not looked at since */
    char *blocked; /* why the requested deployment does not start, as the journal says; NULL: it may */
};

struct manager {
    const char *config_path;
    struct config config;
    char *config_text; /* what `config` was read from */
    char *worker_config;
    char *worker_program;

    sd_event *event;
    struct journal *journal; /* NULL: cannot be opened at the moment, and no deployment starts */
    struct error journal_error;
    bool journal_checked; /* it was open once */
    sd_event_source *storage_timer;
    bool disk_is_low; /* and that was said */
    int lock_fd;      /* STATE_DIR/agentd.lock; -1: not yet */

    struct watch *watches;
    struct worker *workers;
    struct control *control;
    struct http *http;  /* NULL: nothing to listen on */
    size_t n_receivers; /* receivers.c */
    sd_event_source *receivers_timer;
    int64_t receivers_wake_us; /* when it ends (monotonic); 0: it is not armed */
    struct live *live;         /* live.c; NULL: nobody has asked */
    struct metrics *metrics;
    char *status;
    int64_t started_us; /* wall time */
    bool stopping;
    sd_event_source *stop_timer;
};

/* Reads the configuration, takes the lock, opens the control socket. ERR_INVALID and ERR_NOT_FOUND: the
 * configuration. */
int manager_new(const char *config_path, struct manager **ret, struct error *err) MUST_CHECK;
/* Serves until SIGTERM or SIGINT; returns when the workers have ended, or the time for that has. */
int manager_run(struct manager *manager, struct error *err) MUST_CHECK;
void manager_free(struct manager *manager);

struct watch *manager_watch(struct manager *manager,
                            const char *stack); /* NULL: none, or its section is gone */
struct watch *watch_new(struct manager *manager, const struct stack_config *config);
/* Takes over what the journal says of the stack. */
void watch_load(struct watch *watch);
/* Frees the watches whose section is gone and whose workers have ended. */
void manager_collect(struct manager *manager);

/*
 * After a failed call into the journal: logs "DOING: ERROR"; when the file itself is the trouble, closes it
 * and tries to open it again every ten seconds.
 */
void manager_journal_failed(struct manager *manager, const struct error *error, const char *doing);
/* Is there room for the records of another deployment? */
int manager_check_room(struct manager *manager, struct error *err) MUST_CHECK;

/* Context of the log lines until the next call; NULL: none. */
void log_watch(const struct watch *watch);

/* Arms *source (made when NULL) to call `handler` once, in `us` from now. */
void timer_set(sd_event *event, sd_event_source **source, int64_t us, sd_event_time_handler_t handler,
               void *userdata);
/* The same, at a wall time, which stays right when the clock is set. */
void timer_set_at(sd_event *event, sd_event_source **source, int64_t wall_us, sd_event_time_handler_t handler,
                  void *userdata);
void timer_stop(sd_event_source *source);      /* NULL is fine */
void set_text(char **place, const char *text); /* copies; NULL clears */

/* ---- schedule.c ---- */

/* Time to the next poll: interval_us, doubled with each failure in a row, less up to a tenth of it at random.
 */
int64_t schedule_delay(int64_t interval_us, unsigned failures, uint64_t random);
/* What a worker's last hint line says; strings live in the line. */
enum poll_verdict { POLL_UNCHANGED, POLL_REQUESTED, POLL_HELD, POLL_ALARM, POLL_NOTHING, POLL_ERROR };
const char *poll_verdict_name(enum poll_verdict verdict);
struct poll_result {
    enum poll_verdict verdict;
    const char *tip; /* 40 hex digits, or "" */
    const char *message;
    const char *drift; /* news of it: in words, "" when it is gone; NULL: none */
    int64_t deployment;
    bool lease_seen; /* of an observe that was asked to */
};
struct json_t;
int poll_result_parse(const struct json_t *hint, struct poll_result *ret, struct error *err) MUST_CHECK;

void schedule_poll(struct watch *watch, int64_t delay_us); /* the next poll, instead of the one planned */
void schedule_look_closely(struct watch *watch); /* the same, soon, and without relying on the tip known */
void schedule_sync(struct watch *watch);         /* a poll --sync now, or after the one that runs */
void schedule_webhook(struct watch *watch);      /* a poll soon; however many come, one in ten seconds */
void schedule_stop(struct watch *watch);

/* ---- runs.c ---- */

/* Says what became of the deployment that ran last, when its end could not be read at the time: an earlier
 * agentd's worker brought it there, or the journal was closed. */
void runs_conclude(struct watch *watch);
void runs_refresh(struct watch *watch);      /* asks the journal what is to be run */
void runs_dispatch(struct manager *manager); /* starts what may start */
bool runs_paused(struct watch *watch);
void runs_set_paused(struct watch *watch, bool paused,
                     int64_t until_us); /* as the journal says; until_us 0: no end */
int64_t runs_restart_delay(unsigned deaths);

/* ---- receivers.c ---- */

void receivers_configure(struct manager *manager); /* the configuration or the journal is a new one */
void receivers_wake(struct manager *manager);      /* something may have happened; cheap */
/* That polls of the stack stall, or succeed again. -1: it is not on record, and that was said: tell it again.
 */
int receivers_tell_polls(struct watch *watch, bool stalled, const char *reason);
void receivers_free(struct manager *manager);
/* ---- freeze.c ---- */

/* Evaluates the stack's freeze anew: its clock, its settings or its time zone may have changed. Of one that
 * is over the branch is looked at before anything starts: only its newest tip is to be deployed. */
void freeze_refresh(struct watch *watch);
void freeze_looked(struct watch *watch); /* a poll ended, however it did */
/* Whether the stack's requested deployment may start, into watch->blocked; and what it waits for into the
 * record, for `status`. */
void freeze_block(struct watch *watch);
void freeze_load(struct watch *watch, const struct stack_state *state);

/* ---- disk.c ---- */

/* Says once that the disk of state_dir is nearly full, and once that it is not any more. */
void disk_look(struct manager *manager);

/* ---- reload.c, status.c ---- */
/* Reads and checks the file; *ret_text is what it was read from, malloc'ed. */
int manager_read_config(const char *path, struct config *ret, char **ret_text, struct error *err) MUST_CHECK;
void manager_reload(struct manager *manager);
/* Text of the configuration for workers; they must not read a file that was edited and refused. */
void manager_publish_config(struct manager *manager);
void manager_show_status(struct manager *manager);
/* What only agentd knows: the answer to the verb `status`, see view/status.h. The caller's. */
struct json_t *manager_status(struct manager *manager);

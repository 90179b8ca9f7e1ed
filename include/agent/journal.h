/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The record of every deployment: STATE_DIR/journal.db, SQLite. src/journal is the only user of sqlite3.h.
 * WAL, synchronous=FULL, SQLITE_FCNTL_PERSIST_WAL in each writer so that group members who may only read can
 * read after a clean close. Intent is committed before each effect: journal_step_begin() returns only when it
 * is on disk.
 *
 * Writers: the worker of a deployment (its rows), agentd (requests, states of dead workers, stack rows). Each
 * call is one transaction. Busy: waits up to 5 s. Disk full or an I/O error: ERR_UNAVAILABLE, and the caller
 * must not go on with any effect.
 *
 * Strings returned live in the given arena. Times are wall µs, 0 when not yet. JSON columns are text.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/deployment.h"
#include "agent/error.h"
#include "base/arena.h"

struct journal;

enum journal_mode {
    JOURNAL_READ,
    JOURNAL_WRITE,
    JOURNAL_CHECK, /* as JOURNAL_WRITE, and the whole file is checked when nobody else writes: agentd at its
                      start */
    JOURNAL_AGAIN, /* as JOURNAL_WRITE, by agentd, which had it open before and whose loop must not stand
                      still: of an end that was its own or a worker's nothing is checked, unless damage was
                      met */
};
/* JOURNAL_WRITE creates and migrates the file (mode 0640, owner of its folder). A newer schema: ERR_REFUSED.
   JOURNAL_READ of a missing file: ERR_NOT_FOUND; one that this user may not read: ERR_REFUSED. Damage found
   at open (always looked for after an unclean end, JOURNAL_AGAIN aside): a writer moves the file to
   journal.db.broken-TIME and starts a new one; readers return an error. While another process checks the
   file, JOURNAL_WRITE waits for up to a minute; agentd's two modes end after a second with ERR_UNAVAILABLE:
   its own timer tries again. */
int journal_open(const char *path, enum journal_mode mode, struct journal **ret,
                 struct error *err) MUST_CHECK;
/* A writer found damage (which one may be long ago), and what the old file knew of holds and pauses is lost:
   true for each writer until agentd, which pauses all stacks, has said that this is noted. */
bool journal_recovered(const struct journal *journal);
int journal_recovery_noted(struct journal *journal, struct error *err) MUST_CHECK;
void journal_close(struct journal *journal);
/* Changes when another process has committed something since the last call (PRAGMA data_version); -1:
 * unreadable now. */
int64_t journal_data_version(struct journal *journal);

/* ---- deployments ---- */

struct deployment {
    int64_t id;
    const char *stack;
    enum deployment_state state;
    const char *commit, *branch, *subject, *author; /* commit: 40 hex digits */
    enum trigger trigger;
    const char *requested_by; /* "uid 1000" for control verbs, NULL otherwise */
    const char *reason;       /* one line: why it ended as it did; NULL while under way */
    int64_t requested_us, started_us, finished_us;
    int64_t base_id;   /* the last success when it was planned; 0: none */
    int64_t target_id; /* trigger rollback or retry: the deployment meant; else 0 */
    unsigned resumes;  /* times a worker had to take it up again without progress since */
    bool cancel_requested;
    const char
        *plan; /* JSON as `agentctl plan --json`; NULL before planned, and in rows of journal_deployments() */
    const char *env_hash; /* salted hash of the env_file it used */
    const char *warnings; /* JSON array of strings; NULL: none */
};

struct deployment_request {
    const char *stack, *commit, *branch, *subject, *author, *requested_by;
    enum trigger trigger;
    int64_t target_id;
    int64_t newest_id; /* decided from a record whose newest deployment this was: ERR_CONFLICT when there is a
                          newer one by now; 0: whatever there is */
    bool hold_absolute; /* the stack is held from then on, see struct stack_state; false: as it is */
};
/* Inserts it as `requested`; other deployments of the stack still `requested` end `superseded` ("by #ID") in
 * the same transaction, and the hold is set in it. */
int journal_request(struct journal *journal, const struct deployment_request *request, int64_t *ret_id,
                    struct error *err) MUST_CHECK;
/* *ret_found false: no such row. */
int journal_deployment(struct journal *journal, struct arena *arena, int64_t id, struct deployment *ret,
                       bool *ret_found, struct error *err) MUST_CHECK;

struct deployment_filter {
    const char *stack;                  /* NULL: all */
    const enum deployment_state *state; /* NULL: all */
    int64_t since_us;                   /* requested at or after */
    int64_t after_id;                   /* only larger ids, oldest first when set (for --follow) */
    int64_t before_id;                  /* only smaller ids; 0: all. Where the last page ended */
    unsigned limit;                     /* 0: all */
};
/* Newest first. */
int journal_deployments(struct journal *journal, struct arena *arena, const struct deployment_filter *filter,
                        struct deployment **ret, size_t *ret_count, struct error *err) MUST_CHECK;
/* The newest of the stack with that state; id 0 in *ret when there is none. */
int journal_last(struct journal *journal, struct arena *arena, const char *stack, enum deployment_state state,
                 struct deployment *ret, struct error *err) MUST_CHECK;
/* Of one that has not ended: why it stands where it does. */
int journal_set_reason(struct journal *journal, int64_t id, const char *reason, struct error *err) MUST_CHECK;
/* What a worker should run next for the stack: an unfinished one (planned, running, interrupted) first, else
   the newest requested; 0: nothing. */
int journal_runnable(struct journal *journal, const char *stack, int64_t *ret_id,
                     struct error *err) MUST_CHECK;

/* Changes the state (checked against deployment_state_may_follow: ERR_CONFLICT); the state it has already:
   nothing is written. Started is the first time it is planned or running, finished its end. reason NULL:
   kept. */
int journal_set_state(struct journal *journal, int64_t id, enum deployment_state state, const char *reason,
                      struct error *err) MUST_CHECK;
int journal_request_cancel(struct journal *journal, int64_t id, struct error *err) MUST_CHECK;
/* Adds one to resumes and returns the new value; journal_step_end() sets it back to 0, and so
   does a migration that journal_put_migrations() shows as applied: progress. */
int journal_count_resume(struct journal *journal, int64_t id, unsigned *ret_resumes,
                         struct error *err) MUST_CHECK;

/* ---- the plan: saved whole, in one transaction, before the first effect ---- */

struct step {
    int64_t deployment;
    unsigned seq;     /* from 1; the order they run in */
    const char *kind; /* name in steps/kinds.c */
    const char *name; /* "django", "web": what the user calls it */
    enum step_state state;
    const char *params;   /* JSON from the plan: everything the step needs */
    const char *progress; /* JSON the step keeps for its own resume; NULL: none yet */
    const char *live;     /* JSON of agent/progress.h: what it is at, for whoever looks on; NULL: not told */
    const char *fingerprint; /* of migrations: definition, digest, environment, secrets */
    const char *error;       /* text; NULL: none */
    const char *output; /* job output or a task's last log lines, at most 1 MiB; NULL: none. Not filled by
                           journal_steps(), see journal_step_output() */
    int64_t started_us, finished_us;
};

struct service_record {
    const char *service; /* key in the stack file: "web" */
    const char *name;    /* "shop_web" */
    const char *action;  /* create update remove none */
    const char *state;   /* see deployment.h */
    const char *note;    /* "unverified: no healthcheck and no check"; NULL */
    const char *before;  /* the exact live spec before, JSON; NULL: did not exist */
    const char *after;   /* the spec that ran at the end, JSON; NULL until then */
};

struct image_record {
    const char *service, *reference, *digest;
};

struct migration_record {
    const char *step, *version, *name; /* run steps: version is the commit's 12 digits, name the command */
    const char *state;     /* pending running applied failed "failed (allowed)" skipped "not run" */
    const char *schema;    /* of sql steps with for_each_schema; else NULL */
    int64_t took_us, rows; /* of files of sql steps: rows inserted, updated, deleted, copied; -1: not known */
};

struct schema_record { /* what an sql step found in a database, and left there */
    const char *step;
    const char *schema;         /* for_each_schema; else NULL */
    const char *before, *after; /* newest version of its table; "" none */
};

struct plan_rows {
    const char *plan, *env_hash, *warnings;
    int64_t base_id;
    const struct step *steps;
    size_t n_steps;
    const struct service_record *services;
    size_t n_services;
    const struct image_record *images;
    size_t n_images;
    const struct migration_record *migrations;
    size_t n_migrations;
};
/* requested → planned. Specs are stored once by content (table spec). A deployment that is planned, running
   or interrupted may be planned again, which replaces its rows, as long as none of its steps has begun:
   ERR_CONFLICT. */
int journal_save_plan(struct journal *journal, int64_t id, const struct plan_rows *rows,
                      struct error *err) MUST_CHECK;

int journal_steps(struct journal *journal, struct arena *arena, int64_t id, struct step **ret,
                  size_t *ret_count, struct error *err) MUST_CHECK;
int journal_step_output(struct journal *journal, struct arena *arena, int64_t id, unsigned seq,
                        const char **ret, struct error *err) MUST_CHECK;
/* Its newest bytes, from a character's start. */
int journal_step_output_newest(struct journal *journal, struct arena *arena, int64_t id, unsigned seq,
                               size_t max, const char **ret, struct error *err) MUST_CHECK;
/* pending or running → running; progress (may be NULL: kept) is on disk when it returns. */
int journal_step_begin(struct journal *journal, int64_t id, unsigned seq, const char *progress,
                       struct error *err) MUST_CHECK;
int journal_step_progress(struct journal *journal, int64_t id, unsigned seq, const char *progress,
                          struct error *err) MUST_CHECK;
/* What it is at (agent/progress.h); NULL forgets it, and so do journal_step_begin() and journal_step_end().
   Nothing is decided by it: who cannot write it goes on. */
int journal_step_live(struct journal *journal, int64_t id, unsigned seq, const char *live,
                      struct error *err) MUST_CHECK;
int journal_step_end(struct journal *journal, int64_t id, unsigned seq, enum step_state state,
                     const char *error, struct error *err) MUST_CHECK;
/* Appends to the step's output; beyond 1 MiB the middle is dropped: the first 256 KiB and the newest rest are
   kept, with a line that says how much is missing. Secrets are redacted piece by piece: hand over whole lines
   where possible. Any bytes may come; what is read back is clean text. */
int journal_step_append_output(struct journal *journal, int64_t id, unsigned seq, const char *text,
                               size_t len, struct error *err) MUST_CHECK;

int journal_services(struct journal *journal, struct arena *arena, int64_t id, struct service_record **ret,
                     size_t *ret_count, struct error *err) MUST_CHECK;
/* The same without the specs: before and after stay NULL. For lists. */
int journal_service_states(struct journal *journal, struct arena *arena, int64_t id,
                           struct service_record **ret, size_t *ret_count, struct error *err) MUST_CHECK;
/* Specs of all services, as they were left by the last success and by the last five that changed something,
   which `rollback` goes back to; each once. */
int journal_rollback_specs(struct journal *journal, struct arena *arena, const char *stack, const char ***ret,
                           size_t *ret_count, struct error *err) MUST_CHECK;
/* state, note, before, after NULL: kept as they are */
int journal_set_service(struct journal *journal, int64_t id, const char *service, const char *state,
                        const char *note, const char *before, const char *after,
                        struct error *err) MUST_CHECK;
int journal_images(struct journal *journal, struct arena *arena, int64_t id, struct image_record **ret,
                   size_t *ret_count, struct error *err) MUST_CHECK;
/* Images of the stack that nothing needs any more: of no deployment of any stack that is unfinished, the
   newest, or among the last five successes that changed something (which `rollback` goes back to). With
   digests, each once. */
int journal_old_images(struct journal *journal, struct arena *arena, const char *stack,
                       struct image_record **ret, size_t *ret_count, struct error *err) MUST_CHECK;
int journal_migrations(struct journal *journal, struct arena *arena, int64_t id,
                       struct migration_record **ret, size_t *ret_count, struct error *err) MUST_CHECK;
int journal_set_migration(struct journal *journal, int64_t id, const char *step, const char *version,
                          const char *state, struct error *err) MUST_CHECK;
/* Files of sql steps: known by step, schema, version and name; one that was not planned is added. */
int journal_put_migrations(struct journal *journal, int64_t id, const struct migration_record *records,
                           size_t n, struct error *err) MUST_CHECK;
/* What is still pending (step NULL: of all steps) becomes `state`. */
int journal_settle_migrations(struct journal *journal, int64_t id, const char *step, const char *state,
                              struct error *err) MUST_CHECK;
/* Known by step and schema; before stays as it was written first. */
int journal_put_schema(struct journal *journal, int64_t id, const struct schema_record *record,
                       struct error *err) MUST_CHECK;
int journal_schemas(struct journal *journal, struct arena *arena, int64_t id, struct schema_record **ret,
                    size_t *ret_count, struct error *err) MUST_CHECK;

/* ---- one row per stack: what is true now ---- */

struct stack_state {
    const char *stack;
    const char *tip; /* newest commit seen on the branch */
    int64_t tip_seen_us;
    const char *poll_error; /* NULL: the last poll went well */
    int64_t poll_failing_since_us;
    unsigned poll_failures;
    bool polls_stalled;  /* receivers were told that, see outbox_tell_polls() */
    const char *waiting; /* what the running deployment waits for, in words; NULL: nothing */
    int64_t waiting_since_us;
    const char *alarm; /* needs a person: "main no longer contains …; agentctl approve STACK"; NULL: none */
    const char *alarm_commit;
    const char *approved; /* commit that `agentctl approve` lets through, until it has succeeded */
    bool paused;
    const char *pause_reason;
    int64_t paused_since_us, paused_until_us;
    int64_t held_id;    /* deployment whose end holds its commit; 0: none. Derived: newest ended deployment,
                           unless retried */
    bool hold_absolute; /* after `rollback`: until a new commit or `resume` */
    const char *drift;  /* JSON, see agent/drift.h; NULL: none seen */
    int64_t drift_since_us;
};
int journal_stack(struct journal *journal, struct arena *arena, const char *stack, struct stack_state *ret,
                  struct error *err) MUST_CHECK; /* missing row: zeroed, with the name */
/* Has a person asked for this deployment, by its number or by approving its commit? What follows a tag or
 * mends drift is nobody's word. A freeze keeps only the others from starting. */
bool deployment_is_asked_for(const struct deployment *deployment, const struct stack_state *state);
int journal_set_tip(struct journal *journal, const char *stack, const char *tip,
                    struct error *err) MUST_CHECK; /* also clears poll_error */
/* First failure of a row of them, another text, and recovery are written; repetitions are not (a poll without
   news writes nothing). *ret_first: the first failure, or the recovery. error NULL: recovered. poll_failures
   counts written texts. */
int journal_set_poll_error(struct journal *journal, const char *stack, const char *error, bool *ret_first,
                           struct error *err) MUST_CHECK;
int journal_set_waiting(struct journal *journal, const char *stack, const char *waiting,
                        struct error *err) MUST_CHECK; /* unchanged text: nothing is written; NULL clears.
                                                   waiting_since_us is when it became other than NULL */
int journal_set_alarm(struct journal *journal, const char *stack, const char *alarm, const char *commit,
                      struct error *err) MUST_CHECK; /* a new text is an event, approval_needed */
int journal_approve(struct journal *journal, const char *stack, const char *commit,
                    struct error *err) MUST_CHECK; /* clears the alarm */
int journal_pause(struct journal *journal, const char *stack, bool paused, const char *reason,
                  int64_t until_us, struct error *err) MUST_CHECK;
int journal_set_hold_absolute(struct journal *journal, const char *stack, bool absolute,
                              struct error *err) MUST_CHECK;
/* Unchanged text: nothing is written, *ret_news false; NULL clears. drift_since_us is when it became other
   than NULL. */
int journal_set_drift(struct journal *journal, const char *stack, const char *drift, bool *ret_news,
                      struct error *err) MUST_CHECK;

/* Names of all stacks that have a row or a deployment, sorted; NULL-terminated. */
int journal_stacks(struct journal *journal, struct arena *arena, char ***ret, size_t *ret_count,
                   struct error *err) MUST_CHECK;

/* Random per installation, made at creation: salt of content labels and the host part of ids. Never changes.
 */
int journal_identity(struct journal *journal, struct arena *arena, const char **ret_host_id,
                     const char **ret_salt, struct error *err) MUST_CHECK;
/* Every write verb of the control socket: who, what. */
int journal_audit(struct journal *journal, unsigned uid, int pid, const char *verb, const char *arguments,
                  struct error *err) MUST_CHECK;
/* Who approved that commit last, as an audit row "approved" with the arguments "STACK COMMIT" says: "uid
   1000"; NULL: nobody that is still on record. */
int journal_approver(struct journal *journal, struct arena *arena, const char *stack, const char *commit,
                     const char **ret, struct error *err) MUST_CHECK;
/* Deletes ended deployments beyond the newest `keep` of each stack (never the last success, nor the last five
   that changed something, nor what an event of agent/outbox.h names), at most 200 in one call; specs nobody
   needs; and all but the newest 10,000 audit rows. */
int journal_trim(struct journal *journal, unsigned keep, struct error *err) MUST_CHECK;

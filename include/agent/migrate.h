/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Running SQL steps (src/pg): one connection that holds an advisory lock and does the work, one statement per
 * message, the file's record in the transaction of its last statement. ../docs/database.md has the rules for
 * users; PostgreSQL's manual is the source (https://www.postgresql.org/docs/15/).
 *
 * Failures: ERR_INVALID (the plan is refused: nothing was sent), ERR_FAILED (a file failed; the text begins
 * "FILE:LINE:COLUMN: "), ERR_UNAVAILABLE, ERR_REFUSED, ERR_CONFLICT (lock, standby), ERR_TIMEOUT,
 * ERR_CANCELLED. After ERR_FAILED the text says whether the file was rolled back or where it stopped.
 * ERR_NOT_FOUND: `schema` does not exist (any more): skip it; without one: no schema of the login's
 * search_path does, and an earlier step may have to make it.
 */

#include "agent/migration.h"
#include "agent/pg.h"

/* Where the server is: asked before each connection, since a task may have moved. *ret_folder: of a socket
   named .s.PGSQL.PORT, NULL: TCP to the URL's host. Never ERR_NOT_FOUND, which is the schema's. */
typedef int migrate_find(void *userdata, struct arena *arena, const char **ret_folder, struct error *err);

struct migrate_target {
    const struct pg_url *url;
    migrate_find *find;           /* NULL: TCP to the URL's host */
    void *userdata;               /* of find */
    const char *application_name; /* "deploy-agent/shop/schema/9f3c1ab0" */
    bool session_pooler;          /* x-release.database.pooler: session */
    bool reads;                   /* for migrate_plan() and migrate_schemas(): what takes no writes will do */
};

struct migrate_file {
    const struct migration *migration;
    enum migrate_event { MIGRATE_BEGINS, MIGRATE_APPLIED, MIGRATE_FAILED } event;
    int64_t took_us;
    int64_t rows;      /* that its statements inserted, updated, deleted, copied */
    unsigned done;     /* statements */
    unsigned attempts; /* 1, more after lock timeouts and deadlocks */
    const char *error;
    bool unknown; /* MIGRATE_FAILED: the link broke at a COMMIT, which may have happened */
};

struct migrate_step {
    struct migrate_target target;
    const char *name;   /* of the step */
    const char *folder; /* for texts */
    const char *table;  /* as configured: schema_migrations, or schema.table */
    const char *schema; /* for_each_schema: the one of this run; NULL: the login's own search_path */
    bool versioned;
    struct migration_rules rules;
    int64_t timeout_us, lock_wait_us;
    int64_t lock_timeout_us; /* of one statement; 0: 5 s */
    int64_t quiet_wait_us;   /* how long to wait for a dump or an idle transaction before the first file; 0:
                                only warn */
    const char *commit, *run_id; /* 40 digits; HOST/ID */
    const struct migration_entry *entries;
    size_t n_entries;
    migration_read *read;
    /* Looked at while waiting and between statements; sets err (ERR_CANCELLED) and returns -1 to stop. NULL,
     * as where there is no step: proc_heed_stop(). */
    int (*should_stop)(void *userdata, struct error *err);
    /* What it waits for ("the lock: held by … for 3 s"); NULL: for nothing. */
    void (*waiting)(void *userdata, const char *text);
    /* A file begins, or ended: to be written down before the next. */
    int (*progress)(void *userdata, const struct migrate_file *file, struct error *err);
    void *userdata;
};

struct migrate_result {
    unsigned applied;
    const char *before, *after; /* newest version in the table; "" none */
    const char **warnings;      /* NULL-terminated; in the caller's arena */
};

/* What would be done: no lock, nothing is written. ERR_INVALID: the plan is refused; *ret_history says all
   the same what the database has (table NULL: it was not asked). */
int migrate_plan(struct arena *arena, const struct migrate_step *step, struct migration_set *ret_set,
                 struct migration_history *ret_history, struct migration_diff *ret_diff,
                 struct error *err) MUST_CHECK;
/* Does it: lock, plan again, file after file. *ret is filled as far as it came also on failure. */
int migrate_run(struct arena *arena, const struct migrate_step *step, struct migrate_result *ret,
                struct error *err) MUST_CHECK;
/* Takes an existing table over: rows `adopted` for each applied version that has a file. */
int migrate_adopt(struct arena *arena, const struct migrate_step *step, unsigned *ret_adopted,
                  struct error *err) MUST_CHECK;
/* A person's word about a version (or its statement k, 0: all of it): done, or again. */
int migrate_resolve(struct arena *arena, const struct migrate_step *step, const char *version,
                    unsigned statement, bool done, struct error *err) MUST_CHECK;
/* Schemas that a query yields, sorted. */
int migrate_schemas(struct arena *arena, const struct migrate_target *target, const char *query,
                    const char ***ret, struct error *err) MUST_CHECK;

/* ---- beside a container that migrates ---- */

/* One in a database at a time, for as long as it is open. Lives in the arena, and needs the step's target. */
struct migrate_guard;
/* step: target, lock_wait_us, should_stop, waiting; only looked at until it returns. */
int migrate_guard_open(struct arena *arena, const struct migrate_step *step, struct migrate_guard **ret,
                       struct error *err) MUST_CHECK;
bool migrate_guard_holds(
    struct migrate_guard *guard); /* false: the connection, and the lock with it, is gone */
/* Sessions of that application_name in the database are ended: their client is gone, and the server does not
 * know yet. */
int migrate_guard_end_sessions(struct migrate_guard *guard, const char *name, bool *ret_any,
                               struct error *err) MUST_CHECK;
void migrate_guard_close(struct migrate_guard *guard); /* NULL: nothing */

/* ---- expectations ---- */

struct migrate_expectation {
    const char *const *tables;      /* "tracker_user", "public.tracker_user" */
    const char *const *columns;     /* "table.column" */
    const char *const *constraints; /* "table.constraint", "table.constraint contains 'text'" */
    const char *const *indexes;
    const char *query; /* must return one row with true */
};
/* ERR_FAILED, all that is missing in one text. */
int migrate_expect(struct arena *arena, const struct migrate_target *target,
                   const struct migrate_expectation *e, int64_t timeout_us, struct error *err) MUST_CHECK;

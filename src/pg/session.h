/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The login that works through the files of a step: its settings, its advisory lock, the tables in which it
 * records. One connection does all of it, so that lock and worker die together.
 *
 *     session_open ▶ books_open, history_read ▶ lock_acquire ▶ history_read again ▶ apply.h ▶ session_close
 */

#include "agent/migrate.h"
#include "base/cleanup.h"
#include "pg/conn.h"

struct observer { /* observe.c: a second connection, only while a statement takes long */
    struct pg_conn conn;
    int64_t retry_at_us; /* no attempt to log in before */
    char said[512];
};

/* Where versions and attempts are recorded. Names ending in _sql are quoted and qualified. */
struct books {
    const char *schema, *name;       /* of the user's table, as the catalogue has them */
    const char *table_sql, *log_sql; /* log_sql: also when it has to be made first */
    bool exists, log_exists;
    bool has_name;
    const char *stamp;     /* a column for the time without a default; NULL: none */
    const char *found_sql; /* golang-migrate's, Flyway's … table: ours stands beside it; NULL */
    struct migration_history history;
};

struct session {
    const struct migrate_target *target;
    const struct migrate_step *step; /* NULL: of expectations, schemas */
    struct arena *arena;
    struct pg_conn conn;
    int64_t deadline_us;
    bool options_kept; /* by the login, so that RESET ALL returns to them */
    int backend_pid, stale_pid;
    int version;
    const char *user, *schema; /* who we are; the first existing schema of the search_path, NULL: none */
    int64_t key;
    bool locked;
    const char *advisory_file; /* that ran last, and speaks of advisory locks; NULL */
    bool relogged;             /* after a lost connection: what was planned before may not hold any more */
    struct books books;
    struct observer observer;
    const char **warnings;
    size_t n_warnings;
};

/* ---- session.c ---- */

/*
 * Logs in, tries again for `patience_us` while the server may be starting, refuses poolers and, unless
 * the target is only to be read, standbys. The caller filled in target, step, arena and deadline_us.
 */
int session_open(struct session *s, int64_t patience_us, struct error *err) MUST_CHECK;
/* After a lost connection: the login and the lock; the old process is ended when it still holds it. */
int session_again(struct session *s, struct error *err) MUST_CHECK;
void session_close(struct session *s);
#define cleanup_session CLEANUP(session_close)
/* Back to the state after the login, but for the lock; ERR_CONFLICT when a file gave the lock away. */
int session_reset(struct session *s, struct error *err) MUST_CHECK;
int session_rollback(struct session *s, struct error *err) MUST_CHECK;
void session_warn(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void session_waiting(struct session *s, const char *text); /* NULL: for nothing */
/* Inside of a file's transaction, before what is ours: until its COMMIT only, so that a file's own SET holds
 * on. The login's search_path is for the triggers of others; ours names the schema of all that others might
 * have made a better match of. */
#define SESSION_OURS                                                                                         \
    "SET LOCAL session_authorization TO DEFAULT; SET LOCAL role TO DEFAULT; SET LOCAL search_path TO "       \
    "DEFAULT; SET LOCAL quote_all_identifiers TO off; "
/* A transaction of ours between those of a file, which may have made READ ONLY the default. */
#define SESSION_BEGIN "BEGIN READ WRITE; "

/* In one message with a COMMIT nobody looks at counts: a statement that has to find one row fails (22012)
 * when it finds none. Around UPDATE … RETURNING, or a SELECT. */
#define ONE_ROW(sql)    "WITH one AS (" sql ") SELECT 1 / pg_catalog.count(*) FROM one; "
#define ONE_ROW_MISSING "22012"

/* ---- lock.c ---- */

/* Of a table of versions: whoever writes to it, from whatever stack, is one at a time. Or "containers". */
int lock_key(struct session *s, const char *subject, struct error *err) MUST_CHECK;
int lock_acquire(struct session *s, struct error *err) MUST_CHECK;
int lock_is_ours(struct session *s, struct error *err) MUST_CHECK;       /* 1: yes; 0: no */
const char *lock_ours_sql(const struct session *s, struct arena *arena); /* is it still ours? */
/* Advisory locks that a file took and did not give back end with it, as they would with its session in psql.
 */
int lock_release_others(struct session *s, struct error *err) MUST_CHECK;

/* ---- books.c, history.c ---- */

int books_open(struct session *s, struct error *err) MUST_CHECK;
/* Has the user's table come (or changed) since? Called in a file's transaction. */
int books_look(struct session *s, struct error *err) MUST_CHECK;
int books_make_log(struct session *s, struct error *err) MUST_CHECK;
int history_read(struct session *s, struct error *err) MUST_CHECK;
int history_read_names(struct session *s, struct error *err) MUST_CHECK;
bool books_has_version(const struct books *books, int64_t number);
void books_add_version(struct session *s, const char *version, int64_t number);
const struct migration_log *books_log(const struct books *books, int64_t number);
int64_t version_number(const char *version); /* -1: no number */

/* ---- record.c: what is written ---- */

/* CREATE TABLE of the user's table; "" when it exists. */
const char *record_table_sql(const struct session *s, struct arena *arena);
/* INSERT into the user's table. */
const char *record_version_sql(const struct session *s, struct arena *arena, const struct migration *m);

struct log_entry {
    const struct migration *migration;
    const char *mode, *state;
    unsigned total, done;
    const char *prefix_hash; /* NULL */
    const char *settings;    /* of settings.c; NULL */
    unsigned settings_at;
    int64_t started_us; /* wall */
    bool finished;
    const struct error *error;      /* NULL: none */
    const char *sqlstate;           /* NULL */
    unsigned error_line, statement; /* 0: none */
};
const char *record_log_sql(const struct session *s, struct arena *arena, const struct log_entry *e);

/* ---- plan.c ---- */

/* Reads the folder, the files that it takes, and compares; a second time only the history is new. */
int plan_read(struct session *s, struct migration_set *set, struct migration_diff *diff,
              struct error *err) MUST_CHECK;
/* The same without the lock: when it is refused, the history is read again, for it is not of one moment.
 * Another agent's COMMIT between two queries makes its file look as if its row had been taken away. */
int plan_look(struct session *s, struct migration_set *set, struct migration_diff *diff,
              struct error *err) MUST_CHECK;
int plan_read_file(const struct migrate_step *step, struct arena *arena, const struct migration *m,
                   const char **ret, size_t *ret_len, struct error *err) MUST_CHECK;

/* Of a file that is applied, as somebody says: its hash tells a cosmetic edit later. Files that we would
 * refuse today can be of a version that was applied: they have none. */
void plan_summarise(struct session *s, struct migration *m);

/* ---- adopt.c ---- */

/* Rows `adopted` for the versions of the table that have a file and no row yet. */
int adopt_versions(struct session *s, struct migration_set *set, unsigned *ret_n,
                   struct error *err) MUST_CHECK;

/* ---- observe.c ---- */

bool session_observe(struct session *s, int64_t elapsed_us);
void observer_close(struct session *s);
/* Waits up to quiet_wait_us for dumps and idle transactions that hold locks; warns. */
int observe_quiet(struct session *s, struct error *err) MUST_CHECK;

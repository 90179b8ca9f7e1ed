/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which files of a folder are migrations, which of them a database has, and what is to be done about the
 * difference. Pure (src/sql): the folder comes from a commit's tree, the history from src/pg.
 *
 * A file NNN_name.sql has the version NNN; versions compare as integers ("016" is 16) and are written as the
 * file has them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "agent/sql.h"
#include "base/arena.h"

/* ---- a folder ---- */

enum migration_entry_kind { MIGRATION_FILE, MIGRATION_FOLDER, MIGRATION_LINK /* symlink or submodule */ };

struct migration_entry { /* of a commit's tree */
    const char *name;
    enum migration_entry_kind kind;
    const char *blob; /* 40 hex digits */
    uint64_t size;
};

struct migration {
    const char *file, *version, *name; /* "016_add_x.sql", "016", "add_x"; not versioned: "", "add_x" */
    int64_t number;
    const char *blob;
    uint64_t size;
    struct sql_summary summary; /* of files that were read; n_statements 0 of others */
    bool read;
};

struct migration_set {
    struct migration *items; /* by number, then by file name */
    size_t n;
    const char **ignored; /* TEMPLATE.sql, README.md, rollback/, …; NULL-terminated */
};

enum { MIGRATION_FILES_MAX = 10000 };

/*
 * Refuses, all in one text, a line each: near misses ("17-x.sql", "018 x.sql", ".SQL"), links, files beyond
 * SQL_FILE_MAX, too many. Not versioned: every *.sql by name. Two files of one version are for
 * migration_diff().
 */
int migration_set_read(struct arena *arena, const char *folder, const struct migration_entry *entries,
                       size_t n_entries, bool versioned, struct migration_set *ret,
                       struct error *err) MUST_CHECK;

/* Text of one file, NUL-terminated in the arena, which is the file's alone. */
typedef int migration_read(void *userdata, struct arena *arena, const struct migration *file,
                           const char **ret, size_t *ret_len, struct error *err);
/*
 * Reads what is wanted (want NULL: all) and was not read yet: fills in `summary` and `read`. ERR_INVALID: all
 * that is wrong with the files, in one text.
 */
int migration_set_summarise(struct arena *arena, struct migration_set *set, const bool *want,
                            migration_read *read, void *userdata, struct error *err) MUST_CHECK;

/* ---- what a database has ---- */

struct migration_version { /* a row of the user's table */
    const char *version;
    int64_t number;
    const char *name; /* NULL: the table has none */
};

enum migration_log_state { MIGRATION_RUNNING, MIGRATION_APPLIED, MIGRATION_FAILED, MIGRATION_RESOLVED };

struct migration_log { /* the newest row of a version in deploy_agent.migration_log */
    int64_t id;
    const char *version, *file, *blob, *hash;
    int64_t number;
    const char *mode; /* tx multi_tx no_tx adopted baseline resolved */
    enum migration_log_state state;
    unsigned done, total;    /* statements */
    const char *prefix_hash; /* of the done ones */
    int64_t started_us, finished_us;
    const char *error; /* NULL: none */
};

/* May the attempt, which did not end well, have left something in the database? */
bool migration_left_something(const struct migration_log *log);
/* Has an earlier run committed a part of the file, or may it have? Then its row in the table of versions,
   which the file itself may have written, does not make it applied. */
bool migration_is_begun(const struct migration_log *log);

/* The user's table, as it was found. */
enum migration_shape {
    MIGRATION_NO_TABLE,
    MIGRATION_ROWS,    /* version (text or number), one row each: plain, Rails, dbmate, Ecto */
    MIGRATION_ONE_ROW, /* golang-migrate: version, dirty */
    MIGRATION_FOREIGN, /* Flyway, goose, Atlas */
};

struct migration_history {
    enum migration_shape shape;
    const char *table; /* qualified and quoted */
    bool dirty;        /* MIGRATION_ONE_ROW */
    int64_t up_to;     /* MIGRATION_ONE_ROW: this version and those below are applied; -1: none. versions
                          then holds the rows of the table of our own that is used in its place */
    unsigned version_length; /* characters that its column takes; 0: any */
    bool version_is_number;
    int64_t version_max;  /* of a column of numbers; 0: any */
    const char *required; /* a NOT NULL column without default that we do not know; NULL: none */
    struct migration_version *versions;
    size_t n_versions;
    struct migration_log *logs;
    size_t n_logs;
    const char **invalid_indexes; /* NULL-terminated */
    /* that exist, for the lints; NULL-terminated, sorted; NULL: not asked */
    const char **tables; /* "t" of the search path, "s.t" of other schemas */
    const char **roles;
};

/* ---- the difference ---- */

enum on_edited { EDITED_ERROR, EDITED_WARN, EDITED_IGNORE };

struct migration_rules {
    enum on_edited on_edited;
    const char *const *accept_duplicates; /* versions, NULL-terminated; NULL: none */
    const char *const *lint_errors;       /* rules that refuse; NULL: none */
    bool roles_may_come; /* an earlier step has yet to run: that there is no such role is only a warning */
};

struct migration_diff {
    struct migration **pending; /* in the order they run */
    size_t n_pending;
    struct migration *partial; /* the first of pending: begun by an earlier run; NULL: none */
    struct migration_log *partial_log;
    const char **adopted;  /* versions that the table has and our log has not, with a file; NULL-terminated */
    const char **ahead;    /* versions of the database without a file; NULL-terminated */
    const char **modified; /* versions whose file's tokens are others than those applied */
    const char **failed;   /* versions whose newest row is failed or running */
    const char **warnings;
    const char *before, *after; /* the newest version now and when all pending are applied; "" none */
};

/* Which files have to be read (their summary filled in) before migration_diff(): those that may be pending,
   and applied ones whose blob is another now. The caller reads them and sets `read`. */
void migration_wants(const struct migration_set *set, const struct migration_history *history,
                     bool *ret_want);

/*
 * ERR_INVALID, all in one text: duplicate versions that are pending, out of order, edited, a duplicate of an
 * applied version that never ran, a version that the column does not take, an unknown column, a dirty table.
 */
int migration_diff(struct arena *arena, const struct migration_set *set,
                   const struct migration_history *history, const struct migration_rules *rules,
                   struct migration_diff *ret, struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How each file of a folder stands towards what a database has; migration_wants() and migration_diff() draw
   their conclusions from it. */

#include "agent/migration.h"

enum standing {
    STANDS_PENDING,
    STANDS_APPLIED,
    STANDS_BEGUN,     /* an earlier run committed a part of it, or may have */
    STANDS_LOST,      /* our log says applied, the table of versions does not */
    STANDS_NEVER_RAN, /* its version is applied, by another file */
    STANDS_UNKNOWN,   /* its version is applied, by which of its files nobody can say */
};

struct history_index { /* sorted by number; the log's newest row of each */
    const struct migration_history *history;
    const struct migration_version **versions;
    struct migration_log **logs;
    size_t n_versions, n_logs;
};

void history_index_init(struct history_index *ret, const struct migration_history *history);
void history_index_release(struct history_index *index);
#define cleanup_history_index __attribute__((cleanup(history_index_release)))

/* NULL: none. */
const struct migration_version *history_version(const struct history_index *index, int64_t number);
struct migration_log *history_log(const struct history_index *index, int64_t number);
/* Does the table of versions say that it was applied? */
bool history_has(const struct history_index *index, int64_t number);

/* Does the name that the table keeps mean this file? */
bool migration_is_called(const struct migration *migration, const char *name);
/* How many files have the version of the file at i; *ret_first: where they begin. */
size_t migration_group(const struct migration_set *set, size_t i, size_t *ret_first);
enum standing migration_standing(const struct migration_set *set, size_t i,
                                 const struct history_index *index);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the rooms of migration_diff() share. */

#include "agent/migration.h"
#include "sql/complaints.h"
#include "sql/standing.h"

struct text_list {
    const char **items;
    size_t n;
};

struct diff {
    struct arena *arena;
    const struct migration_set *set;
    const struct migration_history *history;
    const struct migration_rules *rules;
    struct history_index index;
    struct complaints complaints;
    struct text_list adopted, ahead, modified, failed, warnings;
    int64_t newest; /* of the database; -1: none */
    struct migration_diff ret;
};

void diff_warn(struct diff *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* diff_pending.c: can the table of versions be used? what stands against the pending files? */
void diff_check_table(struct diff *d);
void diff_check_pending(struct diff *d);

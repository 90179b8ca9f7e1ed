/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text for a terminal: columns, cutting, colours, times. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "view/view.h" /* text_safe() */

enum { TABLE_WIDTH = 100 };

/* Columns that clean UTF-8 text takes: wide characters two, combining ones none. */
size_t text_columns(const char *text);
/* Cut to that many columns, the last being "…". */
char *text_cut(struct arena *arena, const char *text, size_t columns);
/* The last `lines` lines of a text, each after `indent`, ended by a newline. */
void text_tail(struct str *to, const char *text, size_t lines, const char *indent);

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_CAREFUL, COLOUR_FAINT, COLOUR_BOLD };
/* Colour is on when stdout is a terminal that shows it and NO_COLOR (https://no-color.org) is unset. */
const char *colour_on(enum colour colour); /* escape sequence or "" */
const char *colour_off(void);

char *time_local(struct arena *arena, int64_t us); /* 2026-08-23 14:02:11; 0 gives "-" */

/* ---- tables: cells are texts of the caller that must live until table_print() ---- */
enum { TABLE_COLUMNS_MAX = 10 };
struct cell {
    const char *text;
    enum colour colour;
};
struct table {
    struct arena *arena;
    size_t n_columns;
    const char *titles[TABLE_COLUMNS_MAX];
    size_t widths[TABLE_COLUMNS_MAX]; /* of the widest cell so far, at least the title's */
    size_t caps[TABLE_COLUMNS_MAX];   /* the widest a column may be; 0: no limit */
    struct cell (*rows)[TABLE_COLUMNS_MAX];
    size_t n_rows;
    size_t gives_way; /* the column that is narrowed when the last one gets too little */
    bool wide;        /* the last column is printed whole */
};
void table_add(struct table *table, const struct cell *cells); /* n_columns of them */
/* Titles, then rows. The last column is cut so that no line exceeds TABLE_WIDTH, or a wider terminal,
 * unless wide. */
void table_print(struct table *table, bool titles);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text for a terminal: columns, cutting, colours, times. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/str.h"
#include "view/view.h" /* text_safe() */

enum { TABLE_WIDTH = 100 };

/* Columns that clean UTF-8 text takes: wide characters two, combining ones none. */
size_t text_columns(const char *text);
/* Cut to that many columns, the last being "…". */
char *text_cut(struct arena *arena, const char *text, size_t columns);
/* Columns of the terminal that the stream is; 0: it is none. */
size_t text_terminal(FILE *stream);
/* The last `lines` lines of a text, each after `indent`, ended by a newline. */
void text_tail(struct str *to, const char *text, size_t lines, const char *indent);

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_CAREFUL, COLOUR_FAINT, COLOUR_BOLD };
/* Colour is on when stdout is a terminal that shows it and NO_COLOR (https://no-color.org) is unset. */
const char *colour_on(enum colour colour); /* escape sequence or "" */
const char *colour_off(void);
/* `first`, then the text in that colour; on a terminal (stdout) it is wrapped at blanks, and each line after
 * the first begins with `rest`. */
void text_wrap(const char *first, const char *rest, enum colour colour, const char *text);

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
    size_t gives_way;                      /* the column that is narrowed when the last one gets too little */
    unsigned char goes[TABLE_COLUMNS_MAX]; /* on a narrow terminal the highest goes first; 0: it stays */
    bool hidden[TABLE_COLUMNS_MAX];
    bool beneath; /* the last column has a line of its own */
    bool wide;    /* the last column is printed whole */
};
/* One more column before the others, which stays on a narrow terminal. Before the first row. */
void table_put_first(struct table *table, const char *title, size_t cap);
void table_add(struct table *table, const struct cell *cells); /* n_columns of them */
/* Titles, then rows. The last column is cut so that no line exceeds the terminal, or TABLE_WIDTH where stdout
 * is none, unless wide. */
void table_print(struct table *table, bool titles);

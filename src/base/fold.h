/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Log lines that come again and again. Of one kind (the same format, about the same stack) the first ten
 * within an hour are written; those behind them are counted, and told once the hour is over. A kind that was
 * counted gets one line in its next hour. Pure: the caller has the clock.
 */

#include <stdbool.h>
#include <stdint.h>

enum { FOLD_KINDS = 64, FOLD_FIRST = 10, FOLD_LATER = 1 };
#define FOLD_WINDOW_US ((int64_t)3600 * 1000000)

struct fold_kind {
    const void *what; /* the format; NULL: free */
    char stack[64];   /* "": none */
    int level;        /* of the last line */
    int64_t since_us; /* when its hour began */
    unsigned written, hidden, allowed;
    char last[400]; /* text of the last line that was hidden */
};

struct fold {
    struct fold_kind kinds[FOLD_KINDS];
};

/* Is this line one of those that are only counted? */
bool fold_hides(struct fold *fold, const void *what, const char *stack, int level, const char *text,
                int64_t now_us);
/* A kind whose hour is over and of which lines were hidden: to be told. `hidden` is how many; NULL: none (any
 * more). Stays as it is until the next call. */
const struct fold_kind *fold_due(struct fold *fold, int64_t now_us);

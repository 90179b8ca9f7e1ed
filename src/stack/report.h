/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is wrong with a stack file. Independent mistakes are collected while the stages go on, sorted into
 * file order at the end and printed one per line, so that one look at the text mends them all.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/error.h"
#include "agent/node.h"
#include "base/arena.h"

/* Where in the tree a stage is: a chain on the C stack, printed only when something is wrong. */
struct path {
    const struct path *up;
    const char *key; /* NULL: a list element */
    size_t index;
};

#define PATH_KEY(parent, name) (&(struct path){.up = (parent), .key = (name)})
#define PATH_INDEX(parent, i)  (&(struct path){.up = (parent), .index = (i)})

/* "services.web.ports.0"; elements as "[]" when `brackets`; "(root)" for NULL */
const char *path_text(struct arena *arena, const struct path *path, bool brackets);

struct refusal {
    size_t file;
    unsigned line, column;
    size_t sequence;
    const char *path, *text;
};

struct report {
    struct arena *arena;
    const char *const *files; /* in the order given */
    size_t n_files;
    struct refusal *refusals;
    size_t n_refusals, n_dropped;
    const char **warnings;
    size_t n_warnings;
};

struct place {
    const char *file;
    unsigned line, column;
};

/* A second refusal of one place with the same path or text says nothing new and is dropped. */
void report_place(struct report *report, struct place place, const struct path *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void report_node(struct report *report, const struct node *at, const struct path *path, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
/* False once so many are kept that more would not be shown: work for the wording can be saved. */
bool report_has_room(const struct report *report);
void report_warning(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "a string", "an integer", "null": what a value is, for a sentence */
const char *node_article(const struct node *node);

/* 0 when nothing was refused; else -1 with all refusals in file order in err->text (ERR_INVALID) */
int report_result(struct report *report, struct error *err) MUST_CHECK;

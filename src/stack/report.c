/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum {
    MAX_KEPT = 500, /* a hostile file can hold tens of thousands */
    MAX_SHOWN = 50,
    MAX_WARNINGS = 200,
    MAX_PATH_TEXT = 300,
    MAX_TEXT = 600, /* of one refusal: quoted values may be 64 KiB */
};

/* ---- paths ---- */

static void append_path(struct str *s, const struct path *path, bool brackets)
{
    if (path->up) {
        append_path(s, path->up, brackets);
        str_append_char(s, '.');
    }
    if (path->key)
        str_append(s, path->key);
    else if (brackets)
        str_append(s, "[]");
    else
        str_printf(s, "%zu", path->index);
}

const char *path_text(struct arena *arena, const struct path *path, bool brackets)
{
    if (!path)
        return "(root)";
    cleanup_str struct str s = {0};
    append_path(&s, path, brackets);
    return arena_strdup(arena, str_text(&s));
}

/* ---- collecting ---- */

static size_t file_index(const struct report *report, const char *file)
{
    size_t i = 0;
    while (i < report->n_files && report->files[i] != file)
        i++;
    return i;
}

/* Keys are foreign text as well. */
static const char *clean_path(struct arena *arena, const struct path *path)
{
    const char *text = path_text(arena, path, false);
    return str_clean(arena, text, strlen(text), true, MAX_PATH_TEXT);
}

bool report_has_room(const struct report *report)
{
    return report->n_refusals < MAX_KEPT;
}

static bool is_known(const struct report *report, const struct refusal *new)
{
    for (size_t i = 0; i < report->n_refusals; i++) {
        const struct refusal *old = &report->refusals[i];
        if (old->file == new->file && old->line == new->line && old->column == new->column &&
            (str_eq(old->path, new->path) || str_eq(old->text, new->text)))
            return true;
    }
    return false;
}

__attribute__((format(printf, 4, 0))) static void add(struct report *report, struct place place,
                                                      const struct path *path, const char *format, va_list ap)
{
    if (!report_has_room(report)) {
        report->n_dropped++;
        return;
    }
    const char *text = arena_vprintf(report->arena, format, ap);
    struct refusal new = {
        .file = file_index(report, place.file),
        .line = place.line,
        .column = place.column,
        .sequence = report->n_refusals,
        .path = path ? clean_path(report->arena, path) : NULL,
        .text = str_clean(report->arena, text, strlen(text), true, MAX_TEXT),
    };
    if (is_known(report, &new))
        return;
    report->refusals = arena_grow(report->arena, report->refusals, report->n_refusals, sizeof new);
    report->refusals[report->n_refusals++] = new;
}

void report_place(struct report *report, struct place place, const struct path *path, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add(report, place, path, format, ap);
    va_end(ap);
}

void report_node(struct report *report, const struct node *at, const struct path *path, const char *format,
                 ...)
{
    va_list ap;
    va_start(ap, format);
    add(report, (struct place){at->file, at->line, at->column}, path, format, ap);
    va_end(ap);
}

void report_warning(struct report *report, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(report->arena, format, ap);
    va_end(ap);
    text = str_clean(report->arena, text, strlen(text), true, MAX_TEXT);
    for (size_t i = 0; i < report->n_warnings; i++)
        if (str_eq(report->warnings[i], text))
            return;
    if (report->n_warnings >= MAX_WARNINGS)
        return;
    report->warnings = arena_grow(report->arena, report->warnings, report->n_warnings, sizeof text);
    report->warnings[report->n_warnings++] = text;
}

const char *node_article(const struct node *node)
{
    switch (node->type) {
    case NODE_NULL:
        return "null";
    case NODE_BOOL:
        return "a boolean";
    case NODE_INT:
    case NODE_UINT:
        return "an integer";
    case NODE_FLOAT:
        return "a number";
    case NODE_TIME:
        return "a timestamp";
    case NODE_STRING:
        return "a string";
    case NODE_LIST:
        return "a list";
    case NODE_MAP:
        return "a mapping";
    }
    return "something else";
}

/* ---- printing ---- */

static int in_file_order(const void *x, const void *y)
{
    const struct refusal *a = x, *b = y;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

static void append_line(struct str *s, const struct report *report, const struct refusal *r)
{
    if (s->len)
        str_append_char(s, '\n');
    str_printf(s, "%s:%u:%u: ", r->file < report->n_files ? report->files[r->file] : "?", r->line, r->column);
    if (r->path)
        str_printf(s, "%s: ", r->path);
    str_append(s, r->text);
}

int report_result(struct report *report, struct error *err)
{
    enum { ROOM_FOR_REST = 40 };
    if (!report->n_refusals)
        return 0;
    qsort(report->refusals, report->n_refusals, sizeof *report->refusals, in_file_order);
    cleanup_str struct str s = {0};
    size_t shown = 0;
    for (; shown < report->n_refusals && shown < MAX_SHOWN; shown++) {
        cleanup_str struct str longer = {0};
        append_line(&longer, report, &report->refusals[shown]);
        if (shown && s.len + 1 + longer.len + ROOM_FOR_REST > sizeof err->text)
            break; /* whole lines only */
        append_line(&s, report, &report->refusals[shown]);
    }
    size_t more = report->n_refusals - shown + report->n_dropped;
    if (more)
        str_printf(&s, "\n… and %zu more", more);
    return error_set(err, ERR_INVALID, 0, "%s", str_text(&s));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/plan.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/str.h"

enum { COLUMNS = 100, FILES = 30 /* of a step */ };

static const char *const action_words[][2] = {
    {"create", "create"}, {"update", "update"}, {"remove", "remove, after success"}, {"none", "unchanged"}};

static const char *action_word(const char *action)
{
    for (size_t i = 0; i < sizeof action_words / sizeof *action_words; i++)
        if (str_eq(action, action_words[i][0]))
            return action_words[i][1];
    return action ? action : "";
}

/* Terminals have columns, not bytes: "→" is one. */
static size_t width(const char *text, size_t n)
{
    size_t columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* Words in as many lines as are needed; the lines after the first are indented. A word is never cut. */
static void flowed(struct str *out, const char *first, const char *text, const char *indent)
{
    size_t column = width(first, strlen(first));
    str_append(out, first);
    for (bool begun = false; *text; begun = true) {
        size_t len = strcspn(text, " "), columns = width(text, len);
        if (begun && column + 1 + columns > COLUMNS) {
            str_printf(out, "\n%s", indent);
            column = strlen(indent);
        } else if (begun) {
            str_append_char(out, ' ');
            column++;
        }
        str_append_n(out, text, len);
        column += columns;
        text += len + (text[len] == ' ');
    }
    str_append_char(out, '\n');
}

/* "image, env DEBUG, replicas 2 → 3" */
static void changes(struct str *out, const json_t *items)
{
    cleanup_str struct str text = {0};
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        str_printf(&text, "%s%s", i ? ", " : "", json_string_value(item));
    }
    if (text.len)
        flowed(out, "      ", str_text(&text), "      ");
}

/* What does not run well before anything was touched. */
static void unstable(struct str *out, const json_t *plan)
{
    size_t i;
    const json_t *service;
    json_array_foreach (json_object_get(plan, "services"), i, service) {
        cleanup_arena struct arena arena = {0};
        json_int_t n = json_path_integer(service, 0, "failures_before", NULL, NULL);
        if (n > 0)
            str_printf(out, "  %s: %s\n", json_path_string(service, "service", NULL),
                       tasks_failed_words(&arena, (unsigned)n));
    }
}

static void services(struct str *out, const json_t *plan)
{
    size_t i, unchanged = 0;
    const json_t *service;
    json_array_foreach (json_object_get(plan, "services"), i, service) {
        const char *action = json_path_string(service, "action", NULL);
        if (str_eq(action, "none")) {
            unchanged++;
            continue;
        }
        bool restarts = json_is_true(json_object_get(service, "restarts"));
        str_printf(out, "  service %s: %s%s\n", json_path_string(service, "service", NULL),
                   action_word(action), str_eq(action, "update") && !restarts ? " (restarts no task)" : "");
        changes(out, json_object_get(service, "changes"));
    }
    if (unchanged)
        str_printf(out, "  %zu service%s unchanged\n", unchanged, unchanged == 1 ? "" : "s");
    unstable(out, plan);
}

/* One step in one schema, and its files: */
static void sql_step(struct str *out, const json_t *plan, const json_t *sql)
{
    const char *step = json_path_string(sql, "step", NULL), *schema = json_path_string(sql, "schema", NULL);
    const char *before = json_path_string(sql, "before", NULL), *after = json_path_string(sql, "after", NULL);
    json_int_t pending = json_path_integer(sql, 0, "pending", NULL, NULL);
    size_t i, shown = 0;
    const json_t *file;
    str_printf(out, "  migrations %s%s%s, %s: ", step, schema ? " in " : "", schema ? schema : "",
               json_path_string(sql, "dir", NULL));
    if (pending == 0)
        str_printf(out, "nothing pending%s%s\n", *before ? ", at " : "", before);
    else
        str_printf(out, "%lld pending%s%s%s%s\n", (long long)pending, *before ? ", " : "", before,
                   *after && *before ? " → "
                   : *after          ? ", → "
                                     : "",
                   after);
    json_array_foreach (json_object_get(plan, "migrations"), i, file) {
        if (!str_eq(json_path_string(file, "step", NULL), step) ||
            !str_eq(json_path_string(file, "schema", NULL), schema))
            continue;
        if (shown++ < FILES)
            str_printf(out, "      %s\n", json_path_string(file, "file", NULL));
    }
    if (shown > FILES)
        str_printf(out, "      … and %zu more\n", shown - FILES);
}

char *plan_text(struct arena *arena, const json_t *plan)
{
    cleanup_str struct str out = {0};
    size_t i;
    const json_t *item;
    const char *commit = json_path_string(plan, "commit", NULL);
    bool of_commit = commit && *commit; /* files on disk are of none */
    str_printf(&out, "Stack %s%s%.7s: %s\n", json_path_string(plan, "stack", NULL), of_commit ? " at " : "",
               of_commit ? commit : "",
               json_is_true(json_object_get(plan, "empty")) ? "nothing to do" : "would change");
    json_array_foreach (json_object_get(plan, "objects"), i, item) {
        str_printf(&out, "  %s %s: %s\n", json_path_string(item, "kind", NULL),
                   json_path_string(item, "name", NULL), json_path_string(item, "action", NULL));
    }
    json_array_foreach (json_object_get(plan, "steps"), i, item) {
        if (str_eq(json_path_string(item, "kind", NULL), STEP_BACKUP))
            str_printf(&out, "  backup of %s, before the migrations\n", json_path_string(item, "name", NULL));
    }
    json_array_foreach (json_object_get(plan, "migrations"), i, item) {
        const char *skipped = json_path_string(item, "skipped", NULL);
        if (!json_object_get(item, "command"))
            continue; /* a file: below its step */
        const char *text = arena_printf(arena, "migration %s: %s%s%s", json_path_string(item, "step", NULL),
                                        json_path_string(item, "command", NULL), skipped ? ", skipped: " : "",
                                        skipped ? skipped : "");
        flowed(&out, "  ", text, "      ");
    }
    json_array_foreach (json_object_get(plan, "sql"), i, item) {
        sql_step(&out, plan, item);
    }
    services(&out, plan);
    json_array_foreach (json_object_get(plan, "warnings"), i, item) {
        const char *text = json_string_value(item);
        flowed(&out, "warning: ", str_clean(arena, text, strlen(text), true, 0), "         ");
    }
    return arena_strdup(arena, str_text(&out));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/progress.h"

#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "base/str.h"

static const char *clean(struct arena *arena, const char *text)
{
    size_t blanks = text ? strspn(text, " \t\r\n") : 0;
    return text && text[blanks]
               ? str_clean(arena, text + blanks, strlen(text + blanks), true, PROGRESS_NOTE_MAX)
               : NULL;
}

char *progress_text(struct arena *arena, const struct progress *p)
{
    /* redacted before it is cut: half a secret is one, too */
    const char *note = p->note ? clean(arena, secret_redact(arena, p->note)) : NULL;
    cleanup_json json_t *o = json_pack("{s:s*, s:s*}", "doing", clean(arena, p->doing), "note", note);
    if (p->of) {
        json_object_set_new(o, "of", json_string(p->of));
        json_object_set_new(o, "done", json_integer(p->done));
        json_object_set_new(o, "total", json_integer(p->total));
    }
    if (p->bytes > 0)
        json_object_set_new(o, "bytes", json_integer(p->bytes));
    if (p->bytes_total > 0)
        json_object_set_new(o, "bytes_total", json_integer(p->bytes_total));
    if (p->deadline_us > 0)
        json_object_set_new(o, "deadline_us", json_integer(p->deadline_us));
    cleanup_free char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    return arena_strdup(arena, text);
}

static const char *member(struct arena *arena, const json_t *o, const char *key)
{
    return clean(arena, json_string_value(json_object_get(o, key)));
}

static int64_t number(const json_t *o, const char *key, int64_t max)
{
    json_int_t value = json_integer_value(json_object_get(o, key));
    return value < 0 ? 0 : value > max ? max : value;
}

bool progress_parse(struct arena *arena, const char *json, struct progress *ret)
{
    cleanup_json json_t *o = json ? json_loads(json, 0, NULL) : NULL;
    if (!json_is_object(o))
        return false;
    *ret = (struct progress){
        .doing = member(arena, o, "doing"),
        .of = member(arena, o, "of"),
        .done = (unsigned)number(o, "done", UINT32_MAX),
        .total = (unsigned)number(o, "total", UINT32_MAX),
        .bytes = number(o, "bytes", INT64_MAX),
        .bytes_total = number(o, "bytes_total", INT64_MAX),
        .deadline_us = number(o, "deadline_us", INT64_MAX),
        .note = member(arena, o, "note"),
    };
    return true;
}

/* ---- words ---- */

char *bytes_text(struct arena *arena, int64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    size_t unit = 0;
    double value = (double)bytes / 1000;
    for (; value >= 999.5 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1000;
    if (bytes < 1000)
        return arena_printf(arena, "%lld B", (long long)bytes);
    return arena_printf(arena, value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* "1 of 2 replicas up", "3 layers pulled" */
static void add_count(struct str *text, const struct progress *p)
{
    static const struct {
        const char *of, *one, *verb;
    } words[] = {{"replicas", "replica", "up"}, {"tasks", "task", "completed"},
                 {"layers", "layer", "pulled"}, {"files", "file", "applied"},
                 {"schemas", "schema", "done"}, {"samples", "sample", "taken"}};
    const char *what = p->of, *verb = "done";
    bool may_be_none = str_eq(p->of, "replicas") || str_eq(p->of, "tasks");
    unsigned counted = p->total || may_be_none ? p->total : p->done;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (str_eq(p->of, words[i].of)) {
            what = counted == 1 ? words[i].one : words[i].of;
            verb = words[i].verb;
        }
    if (text->len)
        str_append(text, ", ");
    if (p->total || may_be_none)
        str_printf(text, "%u of %u %s %s", p->done, p->total, what, verb);
    else
        str_printf(text, "%u %s %s", p->done, what, verb);
}

char *progress_words(struct arena *arena, const struct progress *p)
{
    cleanup_str struct str text = {0};
    str_append(&text, p->doing ? p->doing : "");
    if (p->of)
        add_count(&text, p);
    if (p->bytes && p->bytes_total)
        str_printf(&text, "%s%s of %s", text.len ? ", " : "", bytes_text(arena, p->bytes),
                   bytes_text(arena, p->bytes_total));
    else if (p->bytes)
        str_printf(&text, "%s%s", text.len ? ", " : "", bytes_text(arena, p->bytes));
    if (p->note)
        str_printf(&text, "%s%s", text.len ? ": " : "", p->note);
    return arena_strdup(arena, str_text(&text));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "scalar.h"
#include "suggest.h"
#include "syntax.h"
#include "unique.h"

struct validator {
    struct report *report;
    unsigned minor;
};

/* ---- types ---- */

static bool is_integral(double value)
{
    if (isnan(value) || isinf(value))
        return false;
    return value >= 0x1p53 || value <= -0x1p53 || (double)(int64_t)value == value;
}

static unsigned types_of(const struct node *node)
{
    switch (node->type) {
    case NODE_NULL:
        return T_NULL;
    case NODE_BOOL:
        return T_BOOLEAN;
    case NODE_INT:
    case NODE_UINT:
        return T_INTEGER | T_NUMBER;
    case NODE_FLOAT:
        return is_integral(node->real) ? T_INTEGER | T_NUMBER : T_NUMBER;
    case NODE_TIME:
    case NODE_STRING:
        return T_STRING;
    case NODE_LIST:
        return T_LIST;
    case NODE_MAP:
        return T_MAP;
    }
    return 0;
}

static void check(struct validator *v, const struct node *node, const struct rule *rule,
                  const struct path *path);

/* ---- scalars ---- */

static void check_text(struct validator *v, const struct node *node, const struct rule *rule,
                       const struct path *path)
{
    int64_t ns;
    const char *text = node->string.text;
    if (node->type == NODE_TIME && !rule->timestamps) {
        report_node(v->report, node, path, "must be a string (this is a timestamp: put it in quotes)");
        return;
    }
    if (rule->duration && !go_duration_parse(text, &ns))
        report_node(v->report, node, path,
                    "Does not match format 'duration' (such as 30s or 1m30s; units ns, us, ms, s, m, h)");
    if (!rule->words)
        return;
    cleanup_str struct str words = {0};
    for (size_t i = 0; i < rule->n_words; i++) {
        if (str_eq(text, rule->words[i]))
            return;
        str_printf(&words, "%s\"%s\"", i ? ", " : "", rule->words[i]);
    }
    report_node(v->report, node, path, "must be one of the following: %s", str_text(&words));
}

static bool is_negative(const struct node *node)
{
    return (node->type == NODE_INT && node->integer < 0) || (node->type == NODE_FLOAT && node->real < 0);
}

/* ---- lists ---- */

static void check_list(struct validator *v, const struct node *node, const struct rule *rule,
                       const struct path *path)
{
    if (rule->unique)
        unique_check(v->report, node, path);
    for (size_t i = 0; i < node->list.n; i++)
        check(v, node->list.items[i], rule->item, PATH_INDEX(path, i));
}

/* ---- mappings ---- */

static bool name_matches(enum names names, const char *name)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
    static const char object[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    switch (names) {
    case NAMES_NONE:
        return false;
    case NAMES_ANY:
        return *name;
    case NAMES_OBJECT:
        return *name && !name[strspn(name, object)];
    case NAMES_LOWER:
        return *name && !name[strspn(name, lower)];
    }
    return false;
}

static void refuse_key(struct validator *v, const struct node *map, const struct node_pair *pair,
                       const struct rule *rule, const struct path *path)
{
    const char *hint = "";
    if (str_starts(pair->key, "x-") && rule->x_since)
        hint = arena_printf(v->report->arena, " (it needs version \"3.%u\")", rule->x_since);
    else if (report_has_room(v->report))
        hint = suggest_key(v->report->arena, rule, pair->key, v->minor);
    struct place place = {map->file, pair->line, pair->column};
    report_place(v->report, place, path ? path : PATH_KEY(NULL, "(root)"),
                 "Additional property %s is not allowed%s", pair->key, hint);
}

static void check_pair(struct validator *v, const struct node *map, const struct node_pair *pair,
                       const struct rule *rule, const struct path *path)
{
    for (size_t i = 0; i < rule->n_fields; i++) {
        const struct field *field = &rule->fields[i];
        if (str_eq(field->name, pair->key) && v->minor >= field->since &&
            (!field->until || v->minor <= field->until)) {
            check(v, pair->value, field->rule, PATH_KEY(path, pair->key));
            return;
        }
    }
    if (name_matches(rule->names, pair->key)) {
        check(v, pair->value, rule->other, PATH_KEY(path, pair->key));
        return;
    }
    if (rule->rest) {
        check(v, pair->value, rule->rest, PATH_KEY(path, pair->key));
        return;
    }
    if (rule->open || (rule->x_since && v->minor >= rule->x_since && str_starts(pair->key, "x-")))
        return;
    refuse_key(v, map, pair, rule, path);
}

static void check_mapping(struct validator *v, const struct node *node, const struct rule *rule,
                          const struct path *path)
{
    for (size_t i = 0; i < node->map.n; i++)
        check_pair(v, node, &node->map.pairs[i], rule, path);
    for (size_t i = 0; i < sizeof rule->required / sizeof *rule->required; i++)
        if (rule->required[i] && !node_get(node, rule->required[i]))
            report_node(v->report, node, path, "%s is required", rule->required[i]);
}

/* ---- any value ---- */

static void check(struct validator *v, const struct node *node, const struct rule *rule,
                  const struct path *path)
{
    if (!(types_of(node) & rule->types)) {
        bool quote = node->type != NODE_NULL && node->type != NODE_LIST && node->type != NODE_MAP &&
                     (rule->types & T_STRING) && !rule->duration;
        report_node(v->report, node, path, "must be %s (this is %s%s)", rule->must, node_article(node),
                    quote ? ": put it in quotes" : "");
        return;
    }
    if (rule->types == T_ANY)
        return;
    if (rule->not_negative && is_negative(node))
        report_node(v->report, node, path, "Must be greater than or equal to 0");
    if (node->type == NODE_STRING || node->type == NODE_TIME)
        check_text(v, node, rule, path);
    else if (node->type == NODE_LIST)
        check_list(v, node, rule, path);
    else if (node->type == NODE_MAP)
        check_mapping(v, node, rule, path);
}

/* The oracle turns the whole file into JSON before it looks: what JSON has no text for fails wherever it
 * stands. */
static void check_json(struct validator *v, const struct node *node, const struct path *path)
{
    if (node->type == NODE_FLOAT && (isnan(node->real) || isinf(node->real)))
        report_node(v->report, node, path, "json: unsupported value: %s (not in a stack file)",
                    isnan(node->real) ? "NaN"
                    : node->real > 0  ? "+Inf"
                                      : "-Inf");
    if (node->type == NODE_TIME && !timestamp_fits_json(node))
        report_node(v->report, node, path, "timezone hour outside of range [0,23]");
    if (node->type == NODE_LIST)
        for (size_t i = 0; i < node->list.n; i++)
            check_json(v, node->list.items[i], PATH_INDEX(path, i));
    if (node->type == NODE_MAP)
        for (size_t i = 0; i < node->map.n; i++)
            check_json(v, node->map.pairs[i].value, PATH_KEY(path, node->map.pairs[i].key));
}

void schema_check(struct report *report, const struct node *root, int minor)
{
    struct validator v = {report, (unsigned)minor};
    check(&v, root, &schema_root, NULL);
    check_json(&v, root, NULL);
}

int schema_version(struct report *report, const struct node *root)
{
    const struct path path = {.key = "version"};
    const struct node *version = node_get(root, "version");
    if (!version)
        return SCHEMA_NEWEST;
    if (version->type == NODE_NULL) {
        report_node(report, version, &path,
                    "unsupported Compose file version: <nil> (leave the key out, or give it a value)");
        return -1;
    }
    if (version->type != NODE_STRING) {
        report_node(report, version, &path, "must be a string (this is %s: put it in quotes)",
                    node_article(version));
        return -1;
    }
    const char *text = version->string.text;
    if (str_eq(text, "") || str_eq(text, "3"))
        return SCHEMA_NEWEST;
    for (int minor = 0; minor <= SCHEMA_NEWEST; minor++) {
        char name[8];
        snprintf(name, sizeof name, "3.%d", minor);
        if (str_eq(text, name))
            return minor;
    }
    report_node(report, version, &path,
                "unsupported Compose file version: %s (\"3\" and \"3.0\" to \"3.13\"; it may be left out)",
                text);
    return -1;
}

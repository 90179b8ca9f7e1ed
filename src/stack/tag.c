/* SPDX-License-Identifier: Apache-2.0 */
#include "tag.h"

#include <string.h>

#include "base/str.h"
#include "base64.h"
#include "scalar.h"

static const char core[] = "tag:yaml.org,2002:";

/* "int" of a core tag, NULL for any other */
static const char *core_name(const char *tag)
{
    return str_starts(tag, core) ? tag + sizeof core - 1 : NULL;
}

static bool is_unset(const char *tag)
{
    return !tag || !*tag || strcmp(tag, "!") == 0;
}

bool tag_is_string(const char *tag)
{
    return is_unset(tag) || str_eq(core_name(tag), "str");
}

bool tag_allows_merge(const char *tag)
{
    return is_unset(tag) || str_eq(core_name(tag), "merge");
}

static const char *tag_of(enum node_type type)
{
    switch (type) {
    case NODE_NULL:
        return "null";
    case NODE_BOOL:
        return "bool";
    case NODE_INT:
    case NODE_UINT:
        return "int";
    case NODE_FLOAT:
        return "float";
    case NODE_TIME:
        return "timestamp";
    default:
        return "str";
    }
}

static void set_string(struct node *node, const char *text)
{
    node->type = NODE_STRING;
    node->string.text = text;
    node->string.len = strlen(text);
}

static void resolve_binary(struct report *report, const struct path *path, const char *text, struct node *ret)
{
    size_t len;
    const char *data = base64_decode(report->arena, text, &len);
    set_string(ret, "");
    if (!data)
        report_node(report, ret, path, "yaml: !!binary value contains invalid base64 data");
    else if (!str_is_utf8(data, len))
        report_node(report, ret, path, "!!binary value is not UTF-8 text");
    else
        set_string(ret, data);
}

/* !!int, !!float, !!bool, !!null, !!timestamp: quoted text counts like plain text */
static void resolve_forced(struct report *report, const struct path *path, const char *name, const char *text,
                           struct node *ret)
{
    struct node value = *ret;
    scalar_resolve(report->arena, text, strlen(text), str_eq(name, "timestamp"), &value);
    if (str_eq(name, "float") && value.type == NODE_INT) {
        value.type = NODE_FLOAT;
        value.real = (double)value.integer;
    }
    if (!str_eq(name, tag_of(value.type))) {
        report_node(report, ret, path, "yaml: cannot decode !!%s `%s` as a !!%s", tag_of(value.type), text,
                    name);
        set_string(ret, text);
        return;
    }
    *ret = value;
}

void tag_resolve(struct report *report, const struct path *path, const char *tag, bool quoted,
                 const char *text, struct node *ret)
{
    if (is_unset(tag)) {
        if (quoted)
            set_string(ret, text);
        else
            scalar_resolve(report->arena, text, strlen(text), true, ret);
        return;
    }
    static const char *const forced[] = {"int", "float", "bool", "null", "timestamp"};
    const char *name = core_name(tag);
    for (size_t i = 0; i < sizeof forced / sizeof *forced; i++)
        if (str_eq(name, forced[i])) {
            resolve_forced(report, path, name, text, ret);
            return;
        }
    if (str_eq(name, "binary")) {
        resolve_binary(report, path, text, ret);
        return;
    }
    set_string(ret, text);
    if (!name)
        report_warning(report, "%s:%u:%u: the tag %s is ignored, its value is a string", ret->file, ret->line,
                       ret->column, tag);
}

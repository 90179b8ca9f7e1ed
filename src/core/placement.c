/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/placement.h"

#include <string.h>
#include <strings.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"

static char *trimmed(struct arena *arena, const char *text, size_t len)
{
    while (len > 0 && strchr(" \t", *text)) {
        text++;
        len--;
    }
    while (len > 0 && strchr(" \t", text[len - 1]))
        len--;
    return arena_strndup(arena, text, len);
}

/* A label's name counts as it is written, the words before it in any case. */
static const char *label_of(const json_t *labels, const char *key, const char *prefix)
{
    size_t len = strlen(prefix);
    if (strncasecmp(key, prefix, len) != 0)
        return NULL;
    const char *value = json_string_value(json_object_get(labels, key + len));
    return value ? value : "";
}

/* What the node has for a key; NULL: not known. */
static const char *value_of(const json_t *node, const char *key)
{
    static const struct {
        const char *key, *path[3];
    } keys[] = {
        {"node.id", {"ID"}},
        {"node.hostname", {"Description", "Hostname"}},
        {"node.platform.os", {"Description", "Platform", "OS"}},
        {"node.platform.arch", {"Description", "Platform", "Architecture"}},
        {"node.role", {"Spec", "Role"}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (strcasecmp(key, keys[i].key) == 0)
            return json_path_string(node, keys[i].path[0], keys[i].path[1], keys[i].path[2], NULL);
    const char *value = label_of(json_path(node, "Spec", "Labels", NULL), key, "node.labels.");
    return value ? value
                 : label_of(json_path(node, "Description", "Engine", "Labels", NULL), key, "engine.labels.");
}

/* A node that was promoted or demoted just now is both for a moment. */
static bool is_changing_role(const json_t *node, const char *key)
{
    bool manager = json_object_get(node, "ManagerStatus"),
         wanted = str_eq(json_path_string(node, "Spec", "Role", NULL), "manager");
    return strcasecmp(key, "node.role") == 0 && manager != wanted;
}

static bool is_met(const json_t *node, const char *constraint)
{
    cleanup_arena struct arena arena = {0};
    const char *sign = strstr(constraint, "==");
    bool equal = sign != NULL;
    if (!equal)
        sign = strstr(constraint, "!=");
    if (!sign)
        return true;
    const char *key = trimmed(&arena, constraint, (size_t)(sign - constraint));
    const char *wanted = trimmed(&arena, sign + 2, strlen(sign + 2));
    const char *value = value_of(node, key);
    if (!value || is_changing_role(node, key))
        return true;
    return (strcasecmp(value, wanted) == 0) == equal;
}

static bool meets_all(const json_t *node, const json_t *constraints)
{
    size_t i;
    const json_t *constraint;
    json_array_foreach (constraints, i, constraint) {
        const char *text = json_string_value(constraint);
        if (text && !is_met(node, text))
            return false;
    }
    return true;
}

bool placement_is_possible(const json_t *constraints, const json_t *nodes)
{
    size_t i;
    const json_t *node;
    if (json_array_size(nodes) == 0) /* not known */
        return true;
    json_array_foreach (nodes, i, node) {
        if (meets_all(node, constraints))
            return true;
    }
    return false;
}

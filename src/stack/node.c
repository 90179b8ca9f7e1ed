/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node.h"

#include <stdarg.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

const struct node *node_get(const struct node *map, const char *key)
{
    if (!map || map->type != NODE_MAP)
        return NULL;
    for (size_t i = 0; i < map->map.n; i++)
        if (strcmp(map->map.pairs[i].key, key) == 0)
            return map->map.pairs[i].value;
    return NULL;
}

const char *node_type_name(enum node_type type)
{
    switch (type) {
    case NODE_NULL:
        return "null";
    case NODE_BOOL:
        return "boolean";
    case NODE_INT:
    case NODE_UINT:
        return "integer";
    case NODE_FLOAT:
        return "number";
    case NODE_TIME:
        return "timestamp";
    case NODE_STRING:
        return "string";
    case NODE_LIST:
        return "list";
    case NODE_MAP:
        return "mapping";
    }
    return "value";
}

int node_error(struct error *err, const struct node *at, const char *path, const char *format, ...)
{
    cleanup_arena struct arena arena = {0};
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(&arena, format, ap);
    va_end(ap);
    text = str_clean(&arena, text, strlen(text), true, 2048);
    return error_set(err, ERR_INVALID, 0, "%s:%u:%u: %s%s%s", at->file, at->line, at->column,
                     path ? path : "", path ? ": " : "", text);
}

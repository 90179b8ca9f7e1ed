/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "decode.h"
#include "env_file.h"

enum {
    MAX_VARIABLES = 200000,
    MAX_VARIABLE_BYTES = 16 << 20,
};

/*
 * Environment of a service: its env files, then `environment` on top. In both a
 * value that is empty, or not given at all, is replaced by the variable of that name if there is one.
 */
static void resolve(struct decoder *d, const struct node *at, const struct path *path,
                    const struct pairs *from, struct pairs *to)
{
    for (size_t i = 0; i < from->n; i++) {
        const char *value = from->items[i].value;
        if (!value || !*value) {
            const char *outer = variables_get(d->variables, from->items[i].key);
            value = outer ? outer : value;
        }
        d->variable_bytes += strlen(from->items[i].key) + (value ? strlen(value) : 0);
        if (d->n_variables >= MAX_VARIABLES || d->variable_bytes > MAX_VARIABLE_BYTES) {
            report_node(d->report, at, path, "too many variables (all services together: %d, %d MiB)",
                        MAX_VARIABLES, MAX_VARIABLE_BYTES >> 20);
            return;
        }
        d->n_variables++;
        pairs_add(d->arena, to, from->items[i].key, value);
    }
}

static void read_env_file(struct decoder *d, const struct node *at, const struct path *path,
                          struct pairs *values)
{
    const char *inside;
    size_t len, n;
    struct pair *lines;
    struct error err = {0};
    if (at->type != NODE_STRING)
        return;
    const char *text = read_file(d, at, path, at->string.text, &inside, &len);
    if (!text)
        return;
    if (env_file_lines(d->arena, inside, text, len, d->variables, &lines, &n, &err) < 0) {
        report_node(d->report, at, path, "%s", err.text);
        return;
    }
    for (size_t i = 0; i < n; i++)
        pairs_add(d->arena, values, lines[i].key, lines[i].value);
}

void decode_environment(struct decoder *d, const struct node *service, const struct path *path,
                        struct pairs *ret)
{
    const struct node *files = node_get(service, "env_file");
    const struct path files_path = {path, "env_file", 0};
    struct pairs from_files = {0}, environment = get_pairs(d, service, "environment", true);
    *ret = (struct pairs){.given = files || environment.given};
    if (files && files->type == NODE_STRING)
        read_env_file(d, files, &files_path, &from_files);
    for (size_t i = 0; files && files->type == NODE_LIST && i < files->list.n; i++)
        read_env_file(d, files->list.items[i], PATH_INDEX(&files_path, i), &from_files);
    pairs_sort(d->arena, &from_files);
    resolve(d, service, path, &from_files, ret);
    resolve(d, service, path, &environment, ret);
    pairs_sort(d->arena, ret);
}

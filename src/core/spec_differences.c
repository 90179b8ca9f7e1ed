/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "core/spec_compare.h"

/* What differs, in the words of a stack file. Names are shown, values of variables and labels never are. */

struct differences {
    struct arena *arena;
    const char **items;
    size_t n;
};

static void differ(struct differences *d, const char *text)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->items[i], text) == 0)
            return;
    d->items = arena_grow(d->arena, d->items, d->n, sizeof *d->items);
    d->items[d->n++] = text;
}

/* "KEY" of "KEY=VALUE" */
static const char *variable_name(struct arena *arena, const char *assignment)
{
    return str_clean(arena, assignment, strcspn(assignment, "="), true, 200);
}

static const json_t *find_variable(const json_t *env, const char *assignment)
{
    size_t len = strcspn(assignment, "="), i;
    const json_t *item;
    json_array_foreach (env, i, item) {
        const char *text = json_string_value(item);
        if (text && strncmp(text, assignment, len) == 0 && (text[len] == '=' || text[len] == '\0'))
            return item;
    }
    return NULL;
}

static void compare_environment(struct differences *d, const json_t *a, const json_t *b)
{
    const json_t *item;
    size_t i, n = d->n;
    json_array_foreach (a, i, item) {
        const char *text = json_string_value(item);
        const json_t *other = text ? find_variable(b, text) : NULL;
        if (text && (!other || !json_equal(item, other)))
            differ(d, arena_printf(d->arena, "env %s", variable_name(d->arena, text)));
    }
    json_array_foreach (b, i, item) {
        const char *text = json_string_value(item);
        if (text && !find_variable(a, text))
            differ(d, arena_printf(d->arena, "env %s removed", variable_name(d->arena, text)));
    }
    if (d->n == n) /* one that is there twice */
        differ(d, "env");
}

/* Places in the spec by the names they have in a stack file. What ends in a dot is followed by the user's
 * key. */
static const struct {
    const char *path, *words;
} places[] = {
    {"Labels.", "label "},
    {"Mode", "mode"},
    {"UpdateConfig", "update_config"},
    {"RollbackConfig", "rollback_config"},
    {"EndpointSpec.Ports", "ports"},
    {"EndpointSpec", "endpoint_mode"},
    {"TaskTemplate.Networks", "networks"},
    {"TaskTemplate.Resources", "resources"},
    {"TaskTemplate.RestartPolicy", "restart_policy"},
    {"TaskTemplate.Placement", "placement"},
    {"TaskTemplate.LogDriver", "logging"},
    {"TaskTemplate.ContainerSpec.Labels.", "container label "},
    {"TaskTemplate.ContainerSpec.Command", "entrypoint"},
    {"TaskTemplate.ContainerSpec.Args", "command"},
    {"TaskTemplate.ContainerSpec.Mounts", "volumes"},
    {"TaskTemplate.ContainerSpec.Secrets", "secrets"},
    {"TaskTemplate.ContainerSpec.Configs", "configs"},
    {"TaskTemplate.ContainerSpec.Healthcheck", "healthcheck"},
    {"TaskTemplate.ContainerSpec.", ""},
};

static const char *place_words(struct arena *arena, const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        size_t len = strlen(places[i].path);
        bool with_key = places[i].path[len - 1] == '.';
        if (strncmp(path, places[i].path, len) != 0)
            continue;
        if (with_key)
            return arena_printf(arena, "%s%s", places[i].words,
                                str_clean(arena, path + len, strlen(path + len), true, 200));
        if (path[len] == '\0' || path[len] == '.')
            return places[i].words;
    }
    return str_clean(arena, path, strlen(path), true, 200);
}

static void compare(struct differences *d, const char *path, const json_t *a, const json_t *b);

static void compare_members(struct differences *d, const char *path, const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)a, key, value) {
        compare(d, *path ? arena_printf(d->arena, "%s.%s", path, key) : key, value, json_object_get(b, key));
    }
    json_object_foreach ((json_t *)(uintptr_t)b, key, value) {
        if (!json_object_get(a, key))
            compare(d, *path ? arena_printf(d->arena, "%s.%s", path, key) : key, NULL, value);
    }
}

static void compare(struct differences *d, const char *path, const json_t *a, const json_t *b)
{
    if (a == b || (a && b && json_equal(a, b)))
        return;
    bool objects = (json_is_object(a) || !a) && (json_is_object(b) || !b);
    if (str_eq(path, "TaskTemplate.ContainerSpec.Env"))
        compare_environment(d, a, b);
    else if (str_eq(path, "TaskTemplate.ContainerSpec.Image") || str_eq(path, "Labels." LABEL_IMAGE))
        differ(d, "image");
    else if (str_eq(path, "Mode.Replicated.Replicas") && json_is_integer(a) && json_is_integer(b))
        differ(d, arena_printf(d->arena, "replicas %lld → %lld", (long long)json_integer_value(b),
                               (long long)json_integer_value(a)));
    else if (objects && (json_object_size(a) || json_object_size(b)))
        compare_members(d, path, a, b);
    else
        differ(d, place_words(d->arena, path));
}

const char **spec_words(struct arena *arena, const json_t *desired, const json_t *live)
{
    struct differences d = {.arena = arena};
    compare(&d, "", desired, live);
    d.items = arena_grow(arena, d.items, d.n, sizeof *d.items);
    d.items[d.n] = NULL;
    return d.items;
}

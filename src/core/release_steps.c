/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/release_internal.h"

/* x-release.steps: a list of kinds, and the kind `run`. */

static const int64_t run_timeout_us = 900 * US_PER_S;

/* Far beyond any use, and few enough for comparing each with each. */
enum { STEPS_MAX = 1000 };

bool release_is_path(const char *path)
{
    if (*path == '\0' || *path == '/')
        return false;
    for (const char *part = path; *part; part += strspn(part, "/")) {
        size_t len = strcspn(part, "/");
        if (len == 2 && memcmp(part, "..", 2) == 0)
            return false;
        part += len;
    }
    return true;
}

static int read_changed(const struct decode *d, const struct node *node, const char ***ret, struct error *err)
{
    if (decode_strings(d, node, ret, err) < 0)
        return -1;
    if (node->list.n == 0)
        return node_error(err, node, d->path, "must name at least one path");
    for (size_t i = 0; i < node->list.n; i++)
        if (!release_is_path((*ret)[i]))
            return node_error(err, node->list.items[i], d->path,
                              "'%s' is no path from the repository's root (deploy/seed, without ..)",
                              (*ret)[i]);
    return 0;
}

/* `when`: always, first_deploy, or {changed: [paths]} */
static int read_when(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    struct run_step *step = (struct run_step *)((char *)target - offsetof(struct run_step, when));
    const struct node *changed = node_get(node, "changed");
    if (node->type == NODE_STRING && strcmp(node->string.text, "always") == 0) {
        step->when = RUN_ALWAYS;
        return 0;
    }
    if (node->type == NODE_STRING && strcmp(node->string.text, "first_deploy") == 0) {
        step->when = RUN_FIRST_DEPLOY;
        return 0;
    }
    if (node->type != NODE_MAP || node->map.n != 1 || !changed)
        return node_error(err, node, d->path, "must be always, first_deploy, or changed: [paths]");
    step->when = RUN_CHANGED;
    struct decode below = decode_below(d, "changed");
    return read_changed(&below, changed, &step->paths, err);
}

static int read_run(const struct decode *d, const struct node *node, const struct release_context *c,
                    const char **ret_name, struct run_step *ret, struct error *err)
{
    struct raw {
        const char *name;
        struct run_step run;
    } raw = {.run.timeout_us = run_timeout_us};
    static const struct decode_key keys[] = {
        {"name", decode_string, offsetof(struct raw, name)},
        {"service", decode_string, offsetof(struct raw, run.service)},
        {"command", decode_strings, offsetof(struct raw, run.command)},
        {"check", decode_strings, offsetof(struct raw, run.check)},
        {"timeout", decode_duration, offsetof(struct raw, run.timeout_us)},
        {"when", read_when, offsetof(struct raw, run.when)},
        {"allow_failure", decode_bool, offsetof(struct raw, run.allow_failure)},
    };
    struct run_step *step = &raw.run;
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &raw, err) < 0)
        return -1;
    if (!raw.name || !step->service || !step->command || !step->command[0])
        return node_error(err, node, d->path, "needs name, service and command");
    struct decode below = decode_below(d, "service");
    if (release_service(&below, node_get(node, "service"), c->stack, &step->service, err) < 0)
        return -1;
    if (step->check && !step->check[0]) /* it would run whatever the image runs by itself */
        return node_error(err, node_get(node, "check"), d->path,
                          "check must not be empty; leave it out for none");
    if (step->timeout_us <= 0)
        return node_error(err, node_get(node, "timeout"), d->path, "timeout must be more than 0");
    *ret_name = raw.name;
    *ret = *step;
    return 0;
}

/* ---- the list ---- */

static bool is_step_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len &&
           name[0] != '-';
}

static int check_name(const struct decode *d, const struct node *node, const char *name,
                      const struct release *release, struct error *err)
{
    const struct node *at = node_get(node, "name");
    if (!is_step_name(name))
        return node_error(
            err, at, d->path,
            "the name '%s' must be 1 to 32 of a-z, 0-9, _ and -: it becomes part of a Swarm service's name",
            name);
    for (size_t i = 0; i < release->n_steps; i++)
        if (strcmp(release->steps[i].name, name) == 0)
            return node_error(err, at ? at : node, d->path, "two steps are called '%s'%s", name,
                              at ? "" : ": give this one a name");
    return 0;
}

static const char *const kind_names[] = {
    [RELEASE_RUN] = "run", [RELEASE_SQL] = "sql", [RELEASE_EXPECT] = "expect"};

static int read_kind(const struct decode *d, const struct node *node, const struct release_context *c,
                     struct release_step *step, struct error *err)
{
    switch (step->kind) {
    case RELEASE_RUN:
        return read_run(d, node, c, &step->name, &step->run, err);
    case RELEASE_SQL:
        return release_read_sql(d, node, &step->name, &step->sql, err);
    case RELEASE_EXPECT:
        break;
    }
    return release_read_expect(d, node, &step->name, &step->expect, err);
}

static int read_step(const struct decode *d, const struct node *node, const struct release_context *c,
                     struct error *err)
{
    struct release *release = c->release;
    if (node->type != NODE_MAP || node->map.n != 1)
        return node_error(err, node, d->path,
                          "must be a mapping with one key, the kind of step: run, sql or expect");
    const struct node_pair *pair = &node->map.pairs[0];
    size_t k = 0;
    while (k < ARRAY_SIZE(kind_names) && strcmp(pair->key, kind_names[k]) != 0)
        k++;
    if (k == ARRAY_SIZE(kind_names))
        return node_error(err, node, d->path, "no step kind '%s' (known: run, sql, expect)", pair->key);
    struct release_step step = {.kind = (enum release_step_kind)k};
    struct decode below = decode_below(d, pair->key);
    if (read_kind(&below, pair->value, c, &step, err) < 0 ||
        check_name(&below, pair->value, step.name, release, err) < 0)
        return -1;
    release->steps = arena_grow(d->arena, release->steps, release->n_steps, sizeof step);
    release->steps[release->n_steps++] = step;
    return 0;
}

int release_read_steps(const struct decode *d, const struct node *node, const struct release_context *c,
                       struct error *err)
{
    if (node->type != NODE_LIST)
        return node_error(err, node, d->path, "must be a list of steps");
    if (node->list.n > STEPS_MAX)
        return node_error(err, node, d->path, "more than %d steps", STEPS_MAX);
    for (size_t i = 0; i < node->list.n; i++) {
        struct decode below = decode_item(d, i);
        if (read_step(&below, node->list.items[i], c, err) < 0)
            return -1;
    }
    return 0;
}

int release_check_steps(const struct decode *d, const struct node *node, const struct release *release,
                        struct error *err)
{
    struct decode steps = decode_below(d, "steps");
    for (size_t i = 0; i < release->n_steps; i++) {
        const struct release_step *step = &release->steps[i];
        const struct node *item = node->list.items[i];
        struct decode at = decode_item(&steps, i);
        if (step->kind == RELEASE_SQL && step->sql.admin && !release->admin_url_from)
            return node_error(err, item, at.path, "a step as: admin needs database.admin_url_from");
        if (step->kind != RELEASE_RUN && !release->database_url_from)
            return node_error(err, item, at.path, "%s steps need database.url_from", kind_names[step->kind]);
    }
    return 0;
}

bool release_step_is_early(const struct release *release, size_t index)
{
    for (size_t i = 0; i <= index; i++)
        if (release->steps[i].kind != RELEASE_SQL || !release->steps[i].sql.admin)
            return false;
    return true;
}

const char **release_expected_tables(struct arena *arena, const struct release *release)
{
    const char **all = arena_array(arena, 1, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < release->n_steps; i++) {
        const char **tables =
            release->steps[i].kind == RELEASE_EXPECT ? release->steps[i].expect.tables : NULL;
        for (; tables && *tables; tables++) {
            all = arena_grow(arena, all, n + 1, sizeof *all);
            all[n++] = *tables;
            all[n] = NULL;
        }
    }
    return all;
}

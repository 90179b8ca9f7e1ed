/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/release.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/release_internal.h"

static const struct gate_settings gate_defaults = {
    .probe_interval_us = 2 * US_PER_S,
    .min_healthy_us = 10 * US_PER_S,
    .healthy_deadline_us = 300 * US_PER_S,
    .total_deadline_us = 1800 * US_PER_S,
    .soak_us = 60 * US_PER_S,
    .success_threshold = 3,
    .failure_threshold = 3,
};

static const int64_t run_timeout_us = 900 * US_PER_S;

/* Far beyond any use, and few enough for comparing each with each. */
enum { STEPS_MAX = 1000 };

int release_service(const struct decode *d, const struct node *node, const struct stack *stack,
                    const char **ret, struct error *err)
{
    if (decode_string(d, node, ret, err) < 0)
        return -1;
    if (!stack_service(stack, *ret))
        return node_error(err, node, d->path, "no service '%s' in this stack", *ret);
    return 0;
}

/* ---- database ---- */

struct database {
    const char *service, *url_from;
    int64_t ready_us;
};

static int read_database(const struct decode *d, const struct node *node, const struct release_context *c,
                         struct error *err)
{
    static const struct decode_key keys[] = {
        {"service", decode_string, offsetof(struct database, service)},
        {"url_from", decode_string, offsetof(struct database, url_from)},
        {"ready_timeout", decode_duration, offsetof(struct database, ready_us)},
        {"migrate_url_from", NULL, 0},
        {"admin_url_from", NULL, 0},
        {"backup", NULL, 0},
    };
    struct database database = {.ready_us = 120 * US_PER_S};
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &database, err) < 0)
        return -1;
    if (database.service) {
        struct decode below = decode_below(d, "service");
        if (release_service(&below, node_get(node, "service"), c->stack, &c->release->database_service, err) <
            0)
            return -1;
    }
    if (database.ready_us == 0)
        return node_error(err, node_get(node, "ready_timeout"), d->path, "ready_timeout must be more than 0");
    c->release->database_url_from = database.url_from;
    c->release->database_ready_us = database.ready_us;
    return 0;
}

/* ---- steps ---- */

/* Stays inside the repository. */
static bool is_repository_path(const char *path)
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
        if (!is_repository_path((*ret)[i]))
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

static bool is_step_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len &&
           name[0] != '-';
}

static int read_run(const struct decode *d, const struct node *node, const struct release_context *c,
                    struct run_step *ret, struct error *err)
{
    static const struct decode_key keys[] = {
        {"name", decode_string, offsetof(struct run_step, name)},
        {"service", decode_string, offsetof(struct run_step, service)},
        {"command", decode_strings, offsetof(struct run_step, command)},
        {"check", decode_strings, offsetof(struct run_step, check)},
        {"timeout", decode_duration, offsetof(struct run_step, timeout_us)},
        {"when", read_when, offsetof(struct run_step, when)},
        {"allow_failure", decode_bool, offsetof(struct run_step, allow_failure)},
    };
    struct run_step step = {.timeout_us = run_timeout_us};
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &step, err) < 0)
        return -1;
    if (!step.name || !step.service || !step.command || !step.command[0])
        return node_error(err, node, d->path, "needs name, service and command");
    if (!is_step_name(step.name))
        return node_error(
            err, node_get(node, "name"), d->path,
            "the name '%s' must be 1 to 32 of a-z, 0-9, _ and -: it becomes part of a Swarm service's name",
            step.name);
    for (size_t i = 0; i < c->release->n_steps; i++)
        if (strcmp(c->release->steps[i].name, step.name) == 0)
            return node_error(err, node_get(node, "name"), d->path, "two steps are called '%s'", step.name);
    struct decode below = decode_below(d, "service");
    if (release_service(&below, node_get(node, "service"), c->stack, &step.service, err) < 0)
        return -1;
    if (step.check && !step.check[0]) /* it would run whatever the image runs by itself */
        return node_error(err, node_get(node, "check"), d->path,
                          "check must not be empty; leave it out for none");
    if (step.timeout_us <= 0)
        return node_error(err, node_get(node, "timeout"), d->path, "timeout must be more than 0");
    *ret = step;
    return 0;
}

static int read_steps(const struct decode *d, const struct node *node, const struct release_context *c,
                      struct error *err)
{
    struct release *release = c->release;
    if (node->type != NODE_LIST)
        return node_error(err, node, d->path, "must be a list of steps");
    if (node->list.n > STEPS_MAX)
        return node_error(err, node, d->path, "more than %d steps", STEPS_MAX);
    for (size_t i = 0; i < node->list.n; i++) {
        const struct node *item = node->list.items[i];
        struct decode below = decode_item(d, i);
        if (item->type != NODE_MAP || item->map.n != 1)
            return node_error(err, item, below.path, "must be a mapping with one key, the kind of step: run");
        const struct node_pair *pair = &item->map.pairs[0];
        struct decode kind = decode_below(&below, pair->key);
        if (strcmp(pair->key, "sql") == 0 || strcmp(pair->key, "expect") == 0)
            return node_error(err, item, kind.path, "not supported by this version yet; use a run step");
        if (strcmp(pair->key, "run") != 0)
            return node_error(err, item, below.path, "no step kind '%s' (known: run)", pair->key);
        struct run_step step = {0};
        if (read_run(&kind, pair->value, c, &step, err) < 0)
            return -1;
        release->steps = arena_grow(d->arena, release->steps, release->n_steps, sizeof step);
        release->steps[release->n_steps++] = step;
    }
    return 0;
}

/* ---- rollout ---- */

static int check_services(const struct decode *d, const struct node *list, const struct release_context *c,
                          struct error *err)
{
    for (size_t i = 0; list && i < list->list.n; i++) {
        const char *name;
        if (release_service(d, list->list.items[i], c->stack, &name, err) < 0)
            return -1;
        for (size_t j = 0; j < i; j++)
            if (strcmp(list->list.items[j]->string.text, name) == 0)
                return node_error(err, list->list.items[i], d->path, "service '%s' is named twice", name);
    }
    return 0;
}

static int read_rollout(const struct decode *d, const struct node *node, const struct release_context *c,
                        struct error *err)
{
    struct rollout {
        const char **before, **order;
        unsigned together;
    } rollout = {.together = 1};
    static const struct decode_key keys[] = {
        {"before", decode_strings, offsetof(struct rollout, before)},
        {"order", decode_strings, offsetof(struct rollout, order)},
        {"together", decode_unsigned, offsetof(struct rollout, together)},
    };
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &rollout, err) < 0)
        return -1;
    if (rollout.together != 1)
        return node_error(err, node_get(node, "together"), d->path,
                          "this version rolls one service at a time: together must be 1");
    struct decode before = decode_below(d, "before"), order = decode_below(d, "order");
    if (check_services(&before, node_get(node, "before"), c, err) < 0 ||
        check_services(&order, node_get(node, "order"), c, err) < 0)
        return -1;
    c->release->before = rollout.before;
    c->release->order = rollout.order;
    return 0;
}

/* ---- gate ---- */

/* Baselines come with the issue that compares against them; their keys must not be accepted and ignored. */
static int read_gate(const struct decode *d, const struct node *node, const struct release_context *c,
                     struct error *err)
{
    static const struct decode_key keys[] = {
        {"probe_interval", decode_duration, offsetof(struct gate_settings, probe_interval_us)},
        {"success_threshold", decode_unsigned, offsetof(struct gate_settings, success_threshold)},
        {"failure_threshold", decode_unsigned, offsetof(struct gate_settings, failure_threshold)},
        {"min_healthy_time", decode_duration, offsetof(struct gate_settings, min_healthy_us)},
        {"healthy_deadline", decode_duration, offsetof(struct gate_settings, healthy_deadline_us)},
        {"total_deadline", decode_duration, offsetof(struct gate_settings, total_deadline_us)},
        {"soak", decode_duration, offsetof(struct gate_settings, soak_us)},
        {"baseline_samples", NULL, 0},
        {"baseline_failing", NULL, 0},
    };
    struct gate_settings *gate = &c->release->gate;
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), gate, err) < 0)
        return -1;
    if (gate->success_threshold == 0 || gate->failure_threshold == 0)
        return node_error(err, node, d->path, "success_threshold and failure_threshold must be at least 1");
    if (gate->probe_interval_us == 0)
        return node_error(err, node_get(node, "probe_interval"), d->path,
                          "probe_interval must be more than 0");
    if (gate->healthy_deadline_us <= gate->min_healthy_us)
        return node_error(err, node, d->path, "healthy_deadline must be longer than min_healthy_time");
    return 0;
}

/* ---- the whole ---- */

static const struct section {
    const char *key;
    int (*read)(const struct decode *d, const struct node *node, const struct release_context *c,
                struct error *err);
} sections[] = {
    {"database", read_database},     {"steps", read_steps}, {"rollout", read_rollout},
    {"health", release_read_health}, {"gate", read_gate},
};

static int read_sections(const struct decode *d, const struct node *node, const struct release_context *c,
                         struct error *err)
{
    if (node->type != NODE_MAP)
        return node_error(err, node, d->path, "must be a mapping");
    for (size_t i = 0; i < node->map.n; i++) {
        const struct node_pair *pair = &node->map.pairs[i];
        struct node at = {.file = node->file, .line = pair->line, .column = pair->column};
        size_t k = 0;
        while (k < ARRAY_SIZE(sections) && strcmp(sections[k].key, pair->key) != 0)
            k++;
        if (k == ARRAY_SIZE(sections))
            return node_error(err, &at, d->path,
                              "unknown key '%s' (known: database, steps, rollout, health, gate)", pair->key);
        struct decode below = decode_below(d, pair->key);
        if (sections[k].read(&below, pair->value, c, err) < 0)
            return -1;
    }
    return 0;
}

int release_decode(struct arena *arena, const struct node *node, const struct stack *stack,
                   struct release *ret, struct error *err)
{
    static const char *none[] = {NULL};
    struct release release = {
        .before = none, .order = none, .gate = gate_defaults, .database_ready_us = 120 * US_PER_S};
    struct release_context context = {stack, &release};
    struct decode d = {arena, "x-release"};
    if (node && read_sections(&d, node, &context, err) < 0)
        return -1;
    if (!release.before)
        release.before = none;
    if (!release.order)
        release.order = none;
    *ret = release;
    return 0;
}

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
    .baseline_samples = 5,
};

int release_choice(const struct decode *d, const struct node *node, const char *const *words, size_t n,
                   unsigned *ret, struct error *err)
{
    cleanup_str struct str known = {0};
    for (unsigned i = 0; i < n; i++) {
        if (node->type == NODE_STRING && strcmp(node->string.text, words[i]) == 0) {
            *ret = i;
            return 0;
        }
        str_printf(&known, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", words[i]);
    }
    return node_error(err, node, d->path, "must be %s", str_text(&known));
}

int release_service(const struct decode *d, const struct node *node, const struct stack *stack,
                    const char **ret, struct error *err)
{
    if (decode_string(d, node, ret, err) < 0)
        return -1;
    if (!stack_service(stack, *ret))
        return node_error(err, node, d->path, "no service '%s' in this stack", *ret);
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

static int read_baseline_failing(const struct decode *d, const struct node *node, void *target,
                                 struct error *err)
{
    static const char *const words[] = {"allow", "block"};
    unsigned choice;
    if (release_choice(d, node, words, ARRAY_SIZE(words), &choice, err) < 0)
        return -1;
    *(bool *)target = choice == 1;
    return 0;
}

/* More would not fit into what a series remembers. */
enum { BASELINE_SAMPLES_MAX = 60 };

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
        {"baseline_samples", decode_unsigned, offsetof(struct gate_settings, baseline_samples)},
        {"baseline_failing", read_baseline_failing, offsetof(struct gate_settings, block_on_failing)},
    };
    struct gate_settings *gate = &c->release->gate;
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), gate, err) < 0)
        return -1;
    if (gate->success_threshold == 0 || gate->failure_threshold == 0)
        return node_error(err, node, d->path, "success_threshold and failure_threshold must be at least 1");
    if (gate->baseline_samples > BASELINE_SAMPLES_MAX)
        return node_error(err, node_get(node, "baseline_samples"), d->path,
                          "baseline_samples must be at most %d", BASELINE_SAMPLES_MAX);
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
    {"database", release_read_database}, {"steps", release_read_steps}, {"rollout", read_rollout},
    {"health", release_read_health},     {"gate", read_gate},
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
    if (node && (read_sections(&d, node, &context, err) < 0 ||
                 release_check_steps(&d, node_get(node, "steps"), &release, err) < 0 ||
                 release_check_health(&d, node_get(node, "health"), &release, err) < 0))
        return -1;
    if (!release.before)
        release.before = none;
    if (!release.order)
        release.order = none;
    *ret = release;
    return 0;
}

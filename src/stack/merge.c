/* SPDX-License-Identifier: Apache-2.0 */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "merge_lists.h"

/*
 * The rules are those of a reflective Go library and look arbitrary: values that are zero cannot override,
 * lists are appended, but ports, volumes, configs and secrets are indexed. They are followed to the letter.
 */

/* ---- values ---- */

#define OVERRIDE(base, override) ((base) = (override) ? (override) : (base))

static void merge_uint(struct maybe_uint *base, struct maybe_uint override)
{
    if (override.given)
        *base = override;
}

/* A duration may be set to 0 where there was none, but cannot be put back to 0. */
static void merge_int(struct maybe_int *base, struct maybe_int override)
{
    if (override.given && (!base->given || override.value))
        *base = override;
}

static void merge_bool(struct maybe_bool *base, struct maybe_bool override)
{
    if (override.given && (!base->given || override.value))
        *base = override;
}

static void merge_texts(struct arena *arena, struct texts *base, const struct texts *override)
{
    struct texts all = {.given = base->given || override->n};
    for (size_t i = 0; i < base->n; i++)
        texts_add(arena, &all, base->items[i]);
    for (size_t i = 0; i < override->n; i++)
        texts_add(arena, &all, override->items[i]);
    *base = all;
}

static void merge_command(struct texts *base, const struct texts *override)
{
    if (override->n)
        *base = *override;
}

static struct pairs joined(struct arena *arena, const struct pairs *a, const struct pairs *b)
{
    struct pairs all = {.given = a->given || b->given};
    for (size_t i = 0; i < a->n; i++)
        pairs_add(arena, &all, a->items[i].key, a->items[i].value);
    for (size_t i = 0; i < b->n; i++)
        pairs_add(arena, &all, b->items[i].key, b->items[i].value);
    pairs_sort(arena, &all);
    return all;
}

static void merge_pairs(struct arena *arena, struct pairs *base, const struct pairs *override)
{
    *base = joined(arena, base, override);
}

/* An empty value does not take the place of one that is not. */
static void merge_environment(struct arena *arena, struct pairs *base, const struct pairs *override)
{
    struct pairs all = joined(arena, base, override);
    for (size_t i = 0; i < all.n; i++) {
        const struct pair *old = pairs_find(base, all.items[i].key);
        bool empty = !all.items[i].value || !*all.items[i].value;
        if (old && old->value && *old->value && empty)
            all.items[i].value = old->value;
    }
    *base = all;
}

/* ---- parts ---- */

static void merge_logging(struct arena *arena, struct logging *base, const struct logging *override)
{
    if (!override->given)
        return;
    bool same = !base->driver || !override->driver || str_eq(base->driver, override->driver);
    if (!base->given || !same) {
        *base = *override;
        return;
    }
    OVERRIDE(base->driver, base->driver ? base->driver : override->driver);
    if (base->options.given) /* without a map to merge into, the override's options are lost */
        merge_pairs(arena, &base->options, &override->options);
}

static void merge_healthcheck(struct arena *arena, struct healthcheck *base,
                              const struct healthcheck *override)
{
    if (!override->given)
        return;
    if (!base->given) {
        *base = *override;
        return;
    }
    base->at = override->at;
    base->disable |= override->disable;
    merge_texts(arena, &base->test, &override->test);
    merge_int(&base->interval, override->interval);
    merge_int(&base->timeout, override->timeout);
    merge_int(&base->start_period, override->start_period);
    merge_int(&base->start_interval, override->start_interval);
    merge_uint(&base->retries, override->retries);
}

static void merge_update(struct update_config *base, const struct update_config *override)
{
    base->given |= override->given;
    merge_uint(&base->parallelism, override->parallelism);
    OVERRIDE(base->delay, override->delay);
    OVERRIDE(base->monitor, override->monitor);
    OVERRIDE(base->failure_action, override->failure_action);
    OVERRIDE(base->order, override->order);
    if (override->max_failure_ratio != 0)
        base->max_failure_ratio = override->max_failure_ratio;
}

static void merge_resource(struct arena *arena, struct resource *base, const struct resource *override)
{
    base->given |= override->given;
    if (override->cpus) {
        base->cpus = override->cpus;
        base->cpus_at = override->cpus_at;
    }
    OVERRIDE(base->memory, override->memory);
    OVERRIDE(base->pids, override->pids);
    struct generic_resource *all = arena_array(arena, base->n_generic + override->n_generic, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < base->n_generic; i++)
        all[n++] = base->generic[i];
    for (size_t i = 0; i < override->n_generic; i++)
        all[n++] = override->generic[i];
    base->generic = all;
    base->n_generic = n;
}

static void merge_deploy(struct arena *arena, struct deploy *base, const struct deploy *override)
{
    OVERRIDE(base->at, override->at);
    OVERRIDE(base->mode_at, override->mode_at);
    OVERRIDE(base->mode, override->mode);
    OVERRIDE(base->endpoint_mode, override->endpoint_mode);
    merge_uint(&base->replicas, override->replicas);
    merge_pairs(arena, &base->labels, &override->labels);
    merge_update(&base->update, &override->update);
    merge_update(&base->rollback, &override->rollback);
    merge_resource(arena, &base->limits, &override->limits);
    merge_resource(arena, &base->reservations, &override->reservations);
    base->restart.given |= override->restart.given;
    OVERRIDE(base->restart.condition, override->restart.condition);
    merge_int(&base->restart.delay, override->restart.delay);
    merge_int(&base->restart.window, override->restart.window);
    merge_uint(&base->restart.max_attempts, override->restart.max_attempts);
    merge_texts(arena, &base->placement.constraints, &override->placement.constraints);
    merge_texts(arena, &base->placement.preferences, &override->placement.preferences);
    OVERRIDE(base->placement.max_replicas, override->placement.max_replicas);
}

/* ---- a service ---- */

static void merge_plain_values(struct service *base, const struct service *override)
{
    if (override->image) {
        base->image = override->image;
        base->image_at = override->image_at;
    }
    if (override->restart) {
        base->restart = override->restart;
        base->restart_at = override->restart_at;
    }
    OVERRIDE(base->hostname, override->hostname);
    OVERRIDE(base->working_dir, override->working_dir);
    OVERRIDE(base->user, override->user);
    OVERRIDE(base->stop_signal, override->stop_signal);
    OVERRIDE(base->isolation, override->isolation);
    base->tty |= override->tty;
    base->stdin_open |= override->stdin_open;
    base->read_only |= override->read_only;
    merge_bool(&base->init, override->init);
    merge_int(&base->stop_grace_period, override->stop_grace_period);
    OVERRIDE(base->credential_spec.at, override->credential_spec.at);
    OVERRIDE(base->credential_spec.config, override->credential_spec.config);
    OVERRIDE(base->credential_spec.file, override->credential_spec.file);
    OVERRIDE(base->credential_spec.registry, override->credential_spec.registry);
}

static void merge_service(struct arena *arena, struct service *base, const struct service *override)
{
    merge_plain_values(base, override);
    merge_command(&base->command, &override->command);
    merge_command(&base->entrypoint, &override->entrypoint);
    merge_texts(arena, &base->cap_add, &override->cap_add);
    merge_texts(arena, &base->cap_drop, &override->cap_drop);
    merge_texts(arena, &base->dns, &override->dns);
    merge_texts(arena, &base->dns_search, &override->dns_search);
    merge_texts(arena, &base->extra_hosts, &override->extra_hosts);
    merge_texts(arena, &base->depends_on, &override->depends_on);
    merge_pairs(arena, &base->labels, &override->labels);
    merge_pairs(arena, &base->sysctls, &override->sysctls);
    merge_environment(arena, &base->environment, &override->environment);
    merge_lists(arena, base, override);
    merge_logging(arena, &base->logging, &override->logging);
    merge_healthcheck(arena, &base->healthcheck, &override->healthcheck);
    merge_deploy(arena, &base->deploy, &override->deploy);
}

/* ---- a file ---- */

static int by_key(const void *x, const void *y)
{
    return strcmp((*(struct service *const *)x)->key, (*(struct service *const *)y)->key);
}

static void merge_services(struct arena *arena, struct project *base, const struct project *override)
{
    size_t n = base->n_services;
    struct project all = {.services = arena_array(arena, n + override->n_services, sizeof *all.services)};
    struct service **known = arena_array(arena, n, sizeof *known);
    if (n)
        memcpy(all.services, base->services, n * sizeof *all.services);
    all.n_services = n;
    for (size_t i = 0; i < n; i++)
        known[i] = &all.services[i];
    qsort(known, n, sizeof *known, by_key);
    for (size_t i = 0; i < override->n_services; i++) {
        const struct service *service = &override->services[i], **p = &service;
        struct service **found = bsearch(p, known, n, sizeof *known, by_key);
        if (found)
            merge_service(arena, *found, service);
        else
            all.services[all.n_services++] = *service;
    }
    base->services = all.services;
    base->n_services = all.n_services;
}

/* An entry of the override takes the whole place of the base's. Both are sorted by key. */
static void merge_objects(struct arena *arena, struct objects *base, const struct objects *override)
{
    struct objects all = {.items = arena_array(arena, base->n + override->n, sizeof *all.items)};
    size_t a = 0, b = 0;
    while (a < base->n || b < override->n) {
        int c = a == base->n ? 1 : b == override->n ? -1 : strcmp(base->items[a].key, override->items[b].key);
        all.items[all.n++] = c < 0 ? base->items[a] : override->items[b];
        a += c <= 0;
        b += c >= 0;
    }
    *base = all;
}

void project_merge(struct arena *arena, struct project *base, const struct project *override)
{
    merge_services(arena, base, override);
    merge_objects(arena, &base->networks, &override->networks);
    merge_objects(arena, &base->volumes, &override->volumes);
    merge_objects(arena, &base->configs, &override->configs);
    merge_objects(arena, &base->secrets, &override->secrets);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/watch.h"

#include <stdio.h>
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "steps/send.h"

int watches_open(struct step_ctx *ctx, bool (*skip)(struct step_ctx *ctx, const char *service),
                 struct watches *ret, struct error *err)
{
    struct watches w = {0};
    const struct stack *stack = ctx->manifest ? ctx->manifest->stack : NULL;
    for (size_t i = 0; stack && i < stack->n_services; i++) {
        const struct stack_service *service = &stack->services[i];
        struct prober *prober;
        if (skip && skip(ctx, service->key))
            continue;
        if (prober_open(ctx, service->key, &prober, err) < 0) {
            watches_close(&w);
            return -1;
        }
        if (service->has_healthcheck)
            prober_add_healthcheck(prober);
        if (prober->n == 0) {
            prober_close(prober);
            continue;
        }
        w.items = arena_grow(ctx->arena, w.items, w.n, sizeof *w.items);
        w.items[w.n++] = (struct watch){ctx, service, prober};
    }
    *ret = w;
    return 0;
}

void watches_close(struct watches *watches)
{
    for (size_t i = 0; i < watches->n; i++)
        prober_close(watches->items[i].prober);
    watches->n = 0;
}

/* In Swarm a task of a service with a healthcheck is running only while it is healthy. */
static void note_healthcheck(struct prober *prober, const struct tasks_judgement *t)
{
    for (size_t i = 0; i < prober->n; i++) {
        struct probe *probe = &prober->items[i];
        if (probe->check)
            continue;
        probe_note(&probe->now, t->running + t->completed >= t->desired ? PROBE_PASS : PROBE_FAIL);
        snprintf(probe->last, sizeof probe->last, "%u of %u tasks running%s%.180s", t->running, t->desired,
                 t->trouble ? "; " : "", t->trouble ? t->trouble : "");
    }
}

static bool round_of(struct watch *watch, const char **ret_why)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *service = NULL, *tasks = NULL;
    struct docker *docker = watch->ctx->docker;
    struct tasks_judgement t = {0};
    struct error err = {0};
    if (docker_service(docker, watch->service->name, &service, &err) < 0 ||
        docker_tasks(docker, json_path_string(service, "ID", NULL), true, &tasks, &err) < 0) {
        *ret_why = arena_strdup(watch->ctx->arena, err.text);
        return !send_is_transient(&err);
    }
    tasks_judge(&arena, service, tasks, NULL, &t);
    if (t.desired == 0)
        return true;
    note_healthcheck(watch->prober, &t);
    return prober_round(watch->prober, &t, ret_why);
}

bool watches_round(struct watches *watches, const char **ret_why)
{
    for (size_t i = 0; i < watches->n; i++)
        if (!round_of(&watches->items[i], ret_why))
            return false;
    return true;
}

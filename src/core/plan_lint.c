/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/spec.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/plan_internal.h"

/* What a rollout will suffer from, said while it is planned. Values are the engine's, in ns. */

enum { NS_PER_US = 1000 };

/* Swarm's and Docker's defaults. */
static const json_int_t default_monitor_ns = 5 * US_PER_S * NS_PER_US,
                        default_interval_ns = 30 * US_PER_S * NS_PER_US, default_retries = 3;

static json_int_t or_default(json_int_t value, json_int_t fallback)
{
    return value ? value : fallback;
}

/*
 * Swarm takes an update as gone well when a task has run for `monitor`: it sees nothing of a healthcheck that
 * needs longer to fail. Said to who relies on it, with a failure_action that acts.
 */
static void lint_monitor(struct plan_builder *b, const struct planned_service *s)
{
    const json_t *update = json_object_get(s->spec, "UpdateConfig");
    const json_t *check = json_path(s->spec, "TaskTemplate", "ContainerSpec", "Healthcheck", NULL);
    if (!s->service->has_healthcheck || !str_eq(json_path_string(update, "FailureAction", NULL), "rollback"))
        return;
    json_int_t monitor = or_default(json_path_integer(update, 0, "Monitor", NULL, NULL), default_monitor_ns);
    json_int_t needs = or_default(json_path_integer(check, 0, "Interval", NULL, NULL), default_interval_ns) *
                       or_default(json_path_integer(check, 0, "Retries", NULL, NULL), default_retries);
    if (monitor < needs)
        builder_warn(
            b,
            "service %s: its healthcheck needs %s to fail, and update_config.monitor is %s: Swarm's own "
            "rollback will not see it",
            s->service->key, duration_text(b->arena, needs / NS_PER_US),
            duration_text(b->arena, monitor / NS_PER_US));
}

static bool is_start_first(const json_t *spec)
{
    return str_eq(json_path_string(spec, "UpdateConfig", "Order", NULL), "start-first");
}

/* A port of the node is one task's: the new one waits for the old to end, which waits for the new one. */
static void lint_host_port(struct plan_builder *b, const struct planned_service *s)
{
    size_t i;
    const json_t *port;
    if (!is_start_first(s->spec))
        return;
    json_array_foreach (json_path(s->spec, "EndpointSpec", "Ports", NULL), i, port) {
        if (!str_eq(json_path_string(port, "PublishMode", NULL), "host"))
            continue;
        builder_warn(
            b,
            "service %s: order: start-first with port %lld in mode host: where the old task holds it the "
            "new one cannot start",
            s->service->key, (long long)json_path_integer(port, 0, "PublishedPort", NULL, NULL));
        return;
    }
}

/* Said of what is reached from outside, and may be started twice: a volume is a reason to stop first. */
static void lint_downtime(struct plan_builder *b, const struct planned_service *s)
{
    const json_t *replicated = json_path(s->spec, "Mode", "Replicated", NULL);
    const json_t *ports = json_path(s->spec, "EndpointSpec", "Ports", NULL);
    size_t i;
    const json_t *port;
    if (!replicated || json_path_integer(replicated, 1, "Replicas", NULL, NULL) != 1 ||
        is_start_first(s->spec) || json_array_size(ports) == 0 ||
        json_array_size(json_path(s->spec, "TaskTemplate", "ContainerSpec", "Mounts", NULL)) > 0)
        return;
    json_array_foreach (ports, i, port) {
        if (str_eq(json_path_string(port, "PublishMode", NULL), "host"))
            return;
    }
    builder_warn(
        b,
        "service %s: one replica that is stopped before the new one starts is not reachable meanwhile; "
        "update_config.order: start-first avoids that",
        s->service->key);
}

void plan_lint(struct plan_builder *b, const struct planned_service *service)
{
    if (str_eq(service->action, "none"))
        return;
    lint_monitor(b, service);
    lint_host_port(b, service);
    if (str_eq(service->action, "update"))
        lint_downtime(b, service);
}

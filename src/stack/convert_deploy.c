/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "convert.h"
#include "syntax.h"

/* ---- mode ---- */

static json_t *named(const char *key, json_t *value)
{
    json_t *object = json_object();
    put_new(object, key, value);
    return object;
}

json_t *convert_deploy_mode(struct converter *c, const struct deploy *deploy, const struct path *path)
{
    const char *mode = deploy->mode ? deploy->mode : "replicated";
    json_t *inner = json_object();
    int64_t replicas = (int64_t)deploy->replicas.value;
    if (str_eq(mode, "global") || str_eq(mode, "global-job")) {
        if (deploy->replicas.given)
            report_node(c->report, deploy->mode_at, PATH_KEY(path, "mode"),
                        "replicas can only be used with replicated or replicated-job mode (this is %s)",
                        mode);
        return named(str_eq(mode, "global") ? "Global" : "GlobalJob", inner);
    }
    if (str_eq(mode, "replicated")) {
        if (deploy->replicas.given)
            put_new(inner, "Replicas", json_integer(replicas));
        return named("Replicated", inner);
    }
    if (str_eq(mode, "replicated-job")) {
        if (deploy->replicas.given) {
            put_new(inner, "MaxConcurrent", json_integer(replicas));
            put_new(inner, "TotalCompletions", json_integer(replicas));
        }
        return named("ReplicatedJob", inner);
    }
    report_node(c->report, deploy->mode_at, PATH_KEY(path, "mode"),
                "Unknown mode: %s (replicated, global, replicated-job or global-job)", mode);
    json_decref(inner);
    return json_object();
}

/* ---- resources ---- */

static void put_cpus(struct converter *c, json_t *json, const struct resource *resource,
                     const struct path *path)
{
    int64_t nano;
    const char *problem;
    if (!resource->cpus)
        return;
    if (cpus_parse(c->arena, resource->cpus, &nano, &problem))
        put_int(json, "NanoCPUs", nano);
    else
        report_node(c->report, resource->cpus_at, PATH_KEY(path, "cpus"), "%s (such as \"0.5\")", problem);
}

static json_t *generic_json(const struct resource *resource)
{
    if (!resource->n_generic)
        return NULL;
    json_t *array = json_array();
    for (size_t i = 0; i < resource->n_generic; i++) {
        json_t *item = json_object();
        if (resource->generic[i].given) {
            json_t *spec = json_object();
            put_text(spec, "Kind", resource->generic[i].kind);
            put_int(spec, "Value", resource->generic[i].value);
            put_new(item, "DiscreteResourceSpec", spec);
        }
        json_array_append_new(array, item);
    }
    return array;
}

static json_t *resource_json(struct converter *c, const struct resource *resource, const struct path *path)
{
    if (!resource->given)
        return NULL;
    json_t *json = json_object();
    put_cpus(c, json, resource, path);
    put_int(json, "MemoryBytes", resource->memory);
    put_int(json, "Pids", resource->pids);
    put_new(json, "GenericResources", generic_json(resource));
    return json;
}

json_t *convert_resources(struct converter *c, const struct deploy *deploy, const struct path *path)
{
    const struct path here = {path, "resources", 0};
    json_t *resources = json_object();
    put_new(resources, "Limits", resource_json(c, &deploy->limits, PATH_KEY(&here, "limits")));
    put_new(resources, "Reservations",
            resource_json(c, &deploy->reservations, PATH_KEY(&here, "reservations")));
    return resources;
}

/* ---- restart ---- */

/* "on-failure:3"; *ret_count 0 without a number */
static bool parse_restart(const char *text, struct arena *arena, const char **ret_name, int64_t *ret_count,
                          const char **ret_problem)
{
    const char *colon = strchr(text, ':');
    *ret_count = 0;
    *ret_name = colon ? arena_strndup(arena, text, (size_t)(colon - text)) : text;
    if (colon && colon == text) {
        *ret_problem = "invalid restart policy format: no policy provided before colon";
        return false;
    }
    if (!colon)
        return true;
    const char *digits = colon + 1 + (colon[1] == '-' || colon[1] == '+');
    if (!*digits || strlen(digits) > 18 || digits[strspn(digits, "0123456789")]) {
        *ret_problem = "invalid restart policy format: maximum retry count must be an integer";
        return false;
    }
    *ret_count = strtoll(colon + 1, NULL, 10);
    return true;
}

/* The service's `restart`, which counts where deploy.restart_policy is not given. */
static json_t *legacy_restart(struct converter *c, const struct service *s, const struct path *path)
{
    const char *name, *problem = NULL;
    int64_t count;
    if (!s->restart)
        return NULL;
    if (parse_restart(s->restart, c->arena, &name, &count, &problem)) {
        if (str_eq(name, "no"))
            return NULL;
        if (str_eq(name, "always") || str_eq(name, "unless-stopped"))
            return named("Condition", json_string_nocheck("any"));
        if (str_eq(name, "on-failure")) {
            json_t *policy = named("Condition", json_string_nocheck("on-failure"));
            put_new(policy, "MaxAttempts", json_integer(count)); /* -1: see stack.h */
            return policy;
        }
        problem = arena_printf(
            c->arena, "unknown restart policy: %s (no, always, unless-stopped or on-failure[:N])", name);
    }
    report_node(c->report, s->restart_at, PATH_KEY(path, "restart"), "%s", problem);
    return NULL;
}

json_t *convert_restart(struct converter *c, const struct service *s, const struct path *path)
{
    const struct restart_policy *r = &s->deploy.restart;
    if (!r->given)
        return legacy_restart(c, s, path);
    json_t *policy = json_object();
    put_text(policy, "Condition", r->condition);
    if (r->delay.given)
        put_new(policy, "Delay", json_integer(r->delay.value));
    if (r->max_attempts.given)
        put_new(policy, "MaxAttempts", json_integer((json_int_t)r->max_attempts.value));
    if (r->window.given)
        put_new(policy, "Window", json_integer(r->window.value));
    return policy;
}

/* ---- placement, updates ---- */

json_t *convert_placement(const struct placement *p)
{
    json_t *placement = json_object();
    put_texts(placement, "Constraints", &p->constraints);
    if (p->preferences.n) {
        json_t *array = json_array();
        for (size_t i = 0; i < p->preferences.n; i++)
            json_array_append_new(
                array, json_pack("{s:{s:s}}", "Spread", "SpreadDescriptor", p->preferences.items[i]));
        put_new(placement, "Preferences", array);
    }
    put_int(placement, "MaxReplicas", (int64_t)p->max_replicas);
    return placement;
}

/* The shortest decimal that reads back as this float32; whole numbers as integers, as the Engine prints them.
 */
static json_t *ratio_json(float ratio)
{
    char text[32];
    int precision = 0;
    if (ratio >= -1e9f && ratio <= 1e9f && (float)(int64_t)ratio == ratio)
        return json_integer((json_int_t)ratio);
    do
        snprintf(text, sizeof text, "%.*g", ++precision, (double)ratio);
    while (precision < 9 && strtof(text, NULL) != ratio);
    return json_real(strtod(text, NULL));
}

json_t *convert_update(const struct update_config *u)
{
    if (!u->given)
        return NULL;
    json_t *update = json_object();
    put_new(update, "Parallelism", json_integer(u->parallelism.given ? (json_int_t)u->parallelism.value : 1));
    put_int(update, "Delay", u->delay);
    put_text(update, "FailureAction", u->failure_action);
    put_int(update, "Monitor", u->monitor);
    put_new(update, "MaxFailureRatio", ratio_json(u->max_failure_ratio));
    put_new(update, "Order", json_string_nocheck(u->order ? u->order : ""));
    return update;
}

/* ---- endpoint ---- */

struct ranked_port {
    const struct port *port;
    size_t order;
};

static int by_published_then_order(const void *x, const void *y)
{
    const struct ranked_port *a = x, *b = y;
    if (a->port->published != b->port->published)
        return a->port->published < b->port->published ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static json_t *port_json(const struct port *p)
{
    json_t *port = json_object();
    put_text(port, "Protocol", p->protocol);
    put_int(port, "TargetPort", p->target);
    put_int(port, "PublishedPort", p->published);
    put_text(port, "PublishMode", p->mode);
    return port;
}

json_t *convert_endpoint(const struct service *s)
{
    json_t *endpoint = json_object();
    if (s->deploy.endpoint_mode) {
        cleanup_str struct str mode = {0};
        str_append(&mode, s->deploy.endpoint_mode);
        for (char *p = mode.data; *p; p++)
            if (*p >= 'A' && *p <= 'Z')
                *p = (char)(*p | 0x20);
        put_text(endpoint, "Mode", mode.data);
    }
    if (!s->n_ports)
        return endpoint;
    struct ranked_port *ranked = calloc(s->n_ports, sizeof *ranked);
    if (!ranked)
        abort();
    for (size_t i = 0; i < s->n_ports; i++)
        ranked[i] = (struct ranked_port){&s->ports[i], i};
    qsort(ranked, s->n_ports, sizeof *ranked, by_published_then_order);
    json_t *ports = json_array();
    for (size_t i = 0; i < s->n_ports; i++)
        json_array_append_new(ports, port_json(ranked[i].port));
    free(ranked);
    put_new(endpoint, "Ports", ports);
    return endpoint;
}

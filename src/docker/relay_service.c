/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's Swarm service: https://docs.docker.com/engine/api/v1.41/#tag/Service */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/proc.h"
#include "docker/client.h"
#include "docker/relay_internal.h"

#define SERVICE_NAME_MAX 63
#define RELAY_MEMORY     ((json_int_t)32 << 20)
#define RELAY_PIDS       256
#define MAX_STARTS       4
#define LOOK_AGAIN_US    (US_PER_S / 5)

/* One relay_service_ensure(). */
struct ensuring {
    struct docker *docker;
    struct arena *arena;
    const char *stack, *name, *node_id, *image_id;
    const char **networks; /* IDs, sorted */
    json_t *spec;          /* wanted */
    int64_t deadline_us;
    char *started_task;    /* ended when we looked, so an update was sent; NULL: none */
    unsigned starts;       /* how often an ended task was given a follower */
    char waiting_for[512]; /* why the task does not run yet, as Swarm says */
};

const char *relay_service_name(struct arena *arena, const char *stack)
{
    const char *name = arena_printf(arena, "deploy-agent-relay_%s", stack);
    size_t len = strlen(name);
    if (len <= SERVICE_NAME_MAX && isalnum((unsigned char)name[len - 1]))
        return name;
    char hash[SHA256_HEX_SIZE];
    sha256_hex(stack, strlen(stack), hash);
    return arena_printf(arena, "%.*s-%.8s", SERVICE_NAME_MAX - 9, name, hash);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int resolve_networks(struct ensuring *e, const char *const *names, struct error *err)
{
    size_t n = 0;
    while (names && names[n])
        n++;
    e->networks = arena_array(e->arena, n + 1, sizeof *e->networks);
    for (size_t i = 0; i < n; i++) {
        cleanup_json json_t *network = NULL;
        if (docker_network(e->docker, names[i], &network, err) < 0)
            return -1;
        const char *id = json_string_value(json_object_get(network, "Id"));
        if (!id)
            return error_set(err, ERR_UNAVAILABLE, 0, "network %s: the engine gave no ID", names[i]);
        e->networks[i] = arena_strdup(e->arena, id);
    }
    qsort(e->networks, n, sizeof *e->networks, compare_text);
    return 0;
}

static json_t *make_networks(const struct ensuring *e)
{
    json_t *list = json_array();
    for (size_t i = 0; e->networks[i]; i++)
        json_array_append_new(list, json_pack("{s:s}", "Target", e->networks[i]));
    return list;
}

/*
 * No healthcheck, no capability, nothing written, no log; not restarted by Swarm (we do it, and then know
 * why). dnsrr: nobody asks for it by name. The hash tells a later run whether the service is still what it
 * would send.
 */
static json_t *make_spec(const struct ensuring *e)
{
    json_t *container = json_pack("{s:s, s:{s:[s]}, s:b, s:[s], s:s, s:I}", "Image", e->image_id,
                                  "Healthcheck", "Test", "NONE", "ReadOnly", 1, "CapabilityDrop", "ALL",
                                  "User", "65534:65534", "StopGracePeriod", (json_int_t)2000000000);
    json_t *task =
        json_pack("{s:o, s:{s:{s:I, s:i}}, s:{s:s}, s:{s:[o]}, s:o, s:{s:s}}", "ContainerSpec", container,
                  "Resources", "Limits", "MemoryBytes", RELAY_MEMORY, "Pids", RELAY_PIDS, "RestartPolicy",
                  "Condition", "none", "Placement", "Constraints", json_sprintf("node.id==%s", e->node_id),
                  "Networks", make_networks(e), "LogDriver", "Name", "none");
    json_t *spec = json_pack("{s:s, s:{s:s}, s:o, s:{s:{s:i}}, s:{s:i, s:s, s:s}, s:{s:s}}", "Name", e->name,
                             "Labels", RELAY_LABEL, e->stack, "TaskTemplate", task, "Mode", "Replicated",
                             "Replicas", 1, "UpdateConfig", "Parallelism", 1, "FailureAction", "continue",
                             "Order", "stop-first", "EndpointSpec", "Mode", "dnsrr");
    cleanup_free char *text = spec ? json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (!text)
        abort(); /* the names were checked long before */
    char hash[SHA256_HEX_SIZE];
    sha256_hex(text, strlen(text), hash);
    json_object_set_new(json_object_get(spec, "Labels"), RELAY_SPEC_LABEL, json_string(hash));
    return spec;
}

static const char *text_at(const json_t *object, const char *a, const char *b)
{
    return json_string_value(json_object_get(json_object_get(object, a), b));
}

static bool is_ours(const json_t *service)
{
    return text_at(json_object_get(service, "Spec"), "Labels", RELAY_LABEL) != NULL;
}

static bool is_wanted(const struct ensuring *e, const json_t *service)
{
    const json_t *labels = json_object_get(json_object_get(service, "Spec"), "Labels");
    const char *wanted =
        json_string_value(json_object_get(json_object_get(e->spec, "Labels"), RELAY_SPEC_LABEL));
    return str_eq(json_string_value(json_object_get(labels, RELAY_SPEC_LABEL)), wanted);
}

/* ForceUpdate is not part of what the hash covers: counting it up starts a task again. */
static int update_service(const struct ensuring *e, const json_t *service, bool again, struct error *err)
{
    const char *id = json_string_value(json_object_get(service, "ID"));
    json_int_t version = json_integer_value(json_object_get(json_object_get(service, "Version"), "Index"));
    const json_t *old_task = json_object_get(json_object_get(service, "Spec"), "TaskTemplate");
    json_int_t force = json_integer_value(json_object_get(old_task, "ForceUpdate"));
    json_object_set_new(json_object_get(e->spec, "TaskTemplate"), "ForceUpdate", json_integer(force + again));
    return docker_service_update(e->docker, id ? id : "", (uint64_t)version, e->spec, NULL, NULL, err);
}

/* Creates the service, or brings it to the wanted spec. Two of us may try at once: then the loser looks
 * again. */
static int settle_service(struct ensuring *e, json_t **ret_service, struct error *err)
{
    for (int tries = 0; tries < 5; tries++) {
        cleanup_json json_t *service = NULL;
        struct error first = {0};
        if (docker_service(e->docker, e->name, &service, &first) == 0) {
            if (!is_ours(service))
                return error_set(err, ERR_CONFLICT, 0, "a service %s exists that is not ours", e->name);
            if (is_wanted(e, service)) {
                *ret_service = TAKE(service);
                return 0;
            }
            if (update_service(e, service, false, &first) < 0 && first.kind != ERR_CONFLICT) {
                *err = first;
                return -1;
            }
        } else if (first.kind == ERR_NOT_FOUND) {
            cleanup_free char *id = NULL;
            if (docker_service_create(e->docker, e->spec, NULL, &id, NULL, &first) < 0 &&
                first.kind != ERR_CONFLICT) {
                *err = first;
                return -1;
            }
        } else {
            *err = first;
            return -1;
        }
    }
    return error_set(err, ERR_CONFLICT, 0, "service %s changes faster than it can be read", e->name);
}

/* The newest task that Swarm wants to run, else the newest one. */
static const json_t *newest_task(const json_t *tasks)
{
    const json_t *newest = NULL;
    bool newest_wanted = false;
    size_t i;
    json_t *task;
    json_array_foreach (tasks, i, task) {
        bool wanted = str_eq(json_string_value(json_object_get(task, "DesiredState")), "running");
        const char *created = json_string_value(json_object_get(task, "CreatedAt"));
        const char *best = json_string_value(json_object_get(newest, "CreatedAt"));
        if (!newest || (wanted && !newest_wanted) ||
            (wanted == newest_wanted && created && best && strcmp(created, best) > 0)) {
            newest = task;
            newest_wanted = wanted;
        }
    }
    return newest;
}

static void note_waiting(struct ensuring *e, const json_t *task)
{
    const char *state = text_at(task, "Status", "State"), *why = text_at(task, "Status", "Err");
    if (!why || !why[0])
        why = text_at(task, "Status", "Message");
    const char *text = arena_printf(e->arena, "its task is %s%s%s", state ? state : "not there yet",
                                    why ? ": " : "", why ? why : "");
    snprintf(e->waiting_for, sizeof e->waiting_for, "%s", str_clean(e->arena, text, strlen(text), true, 400));
}

/* 1: runs, its container in *ret; 0: not yet; -1: will not */
static int look_at_task(struct ensuring *e, const json_t *service, const char **ret_container,
                        struct error *err)
{
    cleanup_json json_t *tasks = NULL;
    const char *service_id = json_string_value(json_object_get(service, "ID"));
    if (docker_tasks(e->docker, service_id ? service_id : "", true, &tasks, err) < 0)
        return -1;
    const json_t *task = newest_task(tasks);
    const char *state = text_at(task, "Status", "State");
    note_waiting(e, task);
    if (str_eq(state, "running")) {
        const char *id = text_at(json_object_get(task, "Status"), "ContainerStatus", "ContainerID");
        const char *node = json_string_value(json_object_get(task, "NodeID"));
        if (!id || !id[0] || !str_eq(node, e->node_id))
            return 0;
        *ret_container = arena_strdup(e->arena, id);
        return 1;
    }
    if (!task_ended(task))
        return 0;
    const char *task_id = json_string_value(json_object_get(task, "ID"));
    if (e->started_task && str_eq(e->started_task, task_id))
        return 0; /* its follower is not there yet */
    /* an engine that was just restarted may refuse a task once or twice ("sandbox join failed") */
    if (e->starts++ >= MAX_STARTS)
        return error_set(err, ERR_FAILED, 0, "service %s: %s", e->name, e->waiting_for);
    struct error first = {0};
    if (update_service(e, service, true, &first) < 0 && first.kind != ERR_CONFLICT) {
        *err = first;
        return -1;
    }
    e->started_task = arena_strdup(e->arena, task_id ? task_id : "");
    return 0;
}

/* Swarm says that a task runs a moment before, or long after, the engine knows; the engine decides. */
static int is_container_running(struct ensuring *e, const char *id, struct error *err)
{
    cleanup_json json_t *container = NULL;
    struct error first = {0};
    if (docker_container(e->docker, id, &container, &first) == 0)
        return json_is_true(json_object_get(json_object_get(container, "State"), "Running"));
    if (first.kind == ERR_NOT_FOUND)
        return 0;
    *err = first;
    return -1;
}

static int wait_for_task(struct ensuring *e, struct relay_place *ret, struct error *err)
{
    for (;;) {
        cleanup_json json_t *service = NULL;
        const char *container = NULL;
        if (settle_service(e, &service, err) < 0)
            return -1;
        int state = look_at_task(e, service, &container, err);
        if (state > 0)
            state = is_container_running(e, container, err);
        if (state < 0)
            return -1;
        if (state > 0) {
            *ret = (struct relay_place){.container_id = container, .networks = e->networks};
            return 0;
        }
        if (proc_stop_requested())
            return error_set(err, ERR_CANCELLED, 0, "asked to stop while service %s starts", e->name);
        if (mono_us() > e->deadline_us)
            return error_set(err, ERR_FAILED, 0, "service %s does not run: %s", e->name, e->waiting_for);
        sleep_us(LOOK_AGAIN_US);
    }
}

int relay_service_ensure(struct docker *docker, struct arena *arena, const char *stack,
                         const char *const *networks, int64_t timeout_us, struct relay_place *ret,
                         struct error *err)
{
    struct ensuring e = {
        .docker = docker, .arena = arena, .stack = stack, .deadline_us = mono_us() + timeout_us};
    struct swarm_info swarm;
    if (docker_swarm(docker, arena, &swarm, err) < 0)
        return -1;
    if (!swarm.manager)
        return error_set(err, ERR_UNAVAILABLE, 0, "this node is not a reachable manager of a swarm");
    e.node_id = swarm.node_id;
    e.name = relay_service_name(arena, stack);
    if (relay_image(docker, arena, &e.image_id, err) < 0 || resolve_networks(&e, networks, err) < 0)
        return -1;
    cleanup_json json_t *spec = make_spec(&e);
    e.spec = spec;
    return wait_for_task(&e, ret, err);
}

/* IDs: the engine has them in the place of the names that were sent. */
static const char **networks_of(struct arena *arena, const json_t *service)
{
    const json_t *attachment,
        *list =
            json_object_get(json_object_get(json_object_get(service, "Spec"), "TaskTemplate"), "Networks");
    const char **ids = arena_array(arena, json_array_size(list) + 1, sizeof *ids);
    size_t i;
    json_array_foreach (list, i, attachment)
        ids[i] = arena_strdup(arena, json_string_value(json_object_get(attachment, "Target")));
    return ids;
}

int relay_service_find(struct docker *docker, struct arena *arena, const char *stack, struct relay_place *ret,
                       struct error *err)
{
    struct ensuring e = {.docker = docker, .arena = arena, .stack = stack};
    cleanup_json json_t *service = NULL, *tasks = NULL;
    struct swarm_info swarm;
    e.name = relay_service_name(arena, stack);
    if (docker_swarm(docker, arena, &swarm, err) < 0)
        return -1;
    if (docker_service(docker, e.name, &service, err) < 0)
        return err->kind == ERR_NOT_FOUND ? error_set(err, ERR_NOT_FOUND, 0, "no relay runs yet") : -1;
    const char *id = json_string_value(json_object_get(service, "ID"));
    if (docker_tasks(docker, id ? id : "", true, &tasks, err) < 0)
        return -1;
    const json_t *task = newest_task(tasks);
    const char *container = text_at(json_object_get(task, "Status"), "ContainerStatus", "ContainerID");
    int runs = is_ours(service) && str_eq(text_at(task, "Status", "State"), "running") && container &&
                       str_eq(json_string_value(json_object_get(task, "NodeID")), swarm.node_id)
                   ? is_container_running(&e, container, err)
                   : 0;
    if (runs < 0)
        return -1;
    if (!runs)
        return error_set(err, ERR_NOT_FOUND, 0, "the relay does not run on this node now");
    *ret = (struct relay_place){arena_strdup(arena, container), networks_of(arena, service)};
    return 0;
}

int relay_remove(struct docker *docker, const char *stack, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *service = NULL;
    struct error first = {0};
    int r = docker_service(docker, relay_service_name(&arena, stack), &service, &first);
    if (r == 0 && is_ours(service)) {
        const char *id = json_string_value(json_object_get(service, "ID"));
        r = docker_service_remove(docker, id ? id : "", &first);
    }
    if (r == 0 || first.kind == ERR_NOT_FOUND)
        return 0;
    *err = first;
    return -1;
}

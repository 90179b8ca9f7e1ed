/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spec_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"

/*
 * What the engine changes between "sent" and "read back" (engines 20.10 and 26.1), undone on both sides. What
 * is left out on purpose restarts nothing by itself: Placement.Platforms, ForceUpdate, our own labels.
 */

/* ---- empty values ---- */

static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

/* Maps whose keys are the user's: an empty value in them is a value, not a default. */
static bool is_free_map(const char *key, const json_t *value)
{
    static const char *const names[] = {"Labels", "Options", "Sysctls", "DriverOpts"};
    if (!json_is_object(value))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    return false;
}

/* MaxFailureRatio is a float32 at the engine; Go prints integral floats without a point, and so may we. */
static json_t *number(const json_t *value)
{
    double real = json_real_value(value);
    if (fabs(real) > 1e15)
        return json_real(real);
    float f = (float)real;
    return f == rintf(f) ? json_integer((json_int_t)f) : json_real((double)f);
}

/* Strings and numbers are never changed, so copies share them. */
static json_t *share(const json_t *value)
{
    return json_incref((json_t *)(uintptr_t)value);
}

static json_t *without_empty(const json_t *value);

static json_t *object_without_empty(const json_t *value)
{
    json_t *copy = json_object(), *member;
    const char *key;
    json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
        if (is_empty(member))
            continue;
        json_t *kept = is_free_map(key, member) ? json_copy(member) : without_empty(member);
        if (is_empty(kept))
            json_decref(kept);
        else
            json_object_set_new_nocheck(copy, key, kept);
    }
    return copy;
}

/* Elements of arrays stay, empty ones too: their position has a meaning (an empty argument). */
static json_t *without_empty(const json_t *value)
{
    if (json_is_object(value))
        return object_without_empty(value);
    if (json_is_array(value)) {
        json_t *copy = json_array();
        const json_t *item;
        size_t i;
        json_array_foreach (value, i, item) {
            json_array_append_new(copy, without_empty(item));
        }
        return copy;
    }
    return json_is_real(value) ? number(value) : share(value);
}

/* What has become empty by taking defaults out. */
static void drop_if_empty(json_t *object, const char *key)
{
    if (is_empty(json_object_get(object, key)))
        json_object_del(object, key);
}

/* ---- defaults ---- */

static void drop_if(json_t *object, const char *key, const char *value)
{
    if (str_eq(json_string_value(json_object_get(object, key)), value))
        json_object_del(object, key);
}

static void drop_if_false(json_t *object, const char *key)
{
    if (json_is_false(json_object_get(object, key)))
        json_object_del(object, key);
}

static void drop_if_zero(json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    if (json_is_integer(member) && json_integer_value(member) == 0)
        json_object_del(object, key);
}

static void drop_our_labels(json_t *spec)
{
    json_t *labels = json_object_get(spec, "Labels"), *value;
    const char *key;
    void *next;
    json_object_foreach_safe (labels, next, key, value) {
        if (str_starts(key, LABEL_PREFIX))
            json_object_del(labels, key);
    }
    drop_if_empty(spec, "Labels");
}

static void default_update(json_t *spec, const char *key)
{
    json_t *update = json_object_get(spec, key);
    drop_if(update, "FailureAction", "pause");
    drop_if(update, "Order", "stop-first");
    drop_if_zero(update, "MaxFailureRatio");
    drop_if_empty(spec, key);
}

static void default_mounts(json_t *mounts)
{
    json_t *mount;
    size_t i;
    json_array_foreach (mounts, i, mount) {
        json_object_del(mount, "Consistency"); /* the engine forgets it */
        drop_if(mount, "Type", "bind");        /* enum value 0: an absent type reads back as bind */
    }
}

/* Objects are named on our side and named and numbered on the engine's. */
static void drop_ids(json_t *container)
{
    json_t *reference,
        *credentials = json_object_get(json_object_get(container, "Privileges"), "CredentialSpec");
    const char *config = json_path_string(credentials, "Config", NULL);
    size_t i;
    json_array_foreach (json_object_get(container, "Secrets"), i, reference) {
        json_object_del(reference, "SecretID");
    }
    json_array_foreach (json_object_get(container, "Configs"), i, reference) {
        if (config && str_eq(config, json_path_string(reference, "ConfigID", NULL))) {
            json_object_set(credentials, "Config", json_object_get(reference, "ConfigName"));
            config = NULL;
        }
        json_object_del(reference, "ConfigID");
    }
}

/* The engine knows a few words, in any case, and takes all others for the first. */
static void set_word(json_t *object, const char *key, const char *const words[])
{
    const char *word = json_path_string(object, key, NULL), *known = words[0];
    for (size_t i = 0; word && words[i]; i++)
        if (strcasecmp(word, words[i]) == 0)
            known = words[i];
    json_object_set_new(object, key, json_string(known));
}

static void default_container(json_t *container)
{
    static const char *const isolations[] = {"default", "process", "hyperv", NULL};
    json_t *privileges = json_object_get(container, "Privileges");
    set_word(container, "Isolation", isolations);
    drop_if(container, "Isolation", "default");
    drop_if_false(privileges, "NoNewPrivileges");
    drop_if_empty(container, "Privileges");
    default_mounts(json_object_get(container, "Mounts"));
    drop_ids(container);
}

static void default_task(json_t *task)
{
    json_t *restart = json_object_get(task, "RestartPolicy"), *placement = json_object_get(task, "Placement");
    default_container(json_object_get(task, "ContainerSpec"));
    drop_if(task, "Runtime", "container");
    json_object_del(task, "ForceUpdate");
    json_object_del(placement, "Platforms");
    drop_if_empty(task, "Placement");
    drop_if(restart, "Condition", "any");
    drop_if_zero(restart, "MaxAttempts");
    drop_if_empty(task, "RestartPolicy");
}

static void default_endpoint(json_t *spec)
{
    static const char *const protocols[] = {"tcp", "udp", "sctp", NULL}, *const modes[] = {"ingress", "host",
                                                                                           NULL};
    json_t *endpoint = json_object_get(spec, "EndpointSpec"), *port;
    size_t i;
    json_array_foreach (json_object_get(endpoint, "Ports"), i, port) {
        set_word(port, "Protocol", protocols);
        set_word(port, "PublishMode", modes);
    }
    drop_if(endpoint, "Mode", "vip");
    drop_if_empty(spec, "EndpointSpec");
}

/* {"Replicated":{}} and {"Global":{}} mean something: Mode is taken as it was before empty objects went. */
static void default_mode(json_t *copy, const json_t *spec)
{
    const json_t *given = json_object_get(spec, "Mode");
    json_t *mode = given ? json_deep_copy(given) : json_object();
    json_t *replicated = json_object_get(mode, "Replicated"), *job = json_object_get(mode, "ReplicatedJob");
    if (json_object_size(mode) == 0) {
        replicated = json_object();
        json_object_set_new(mode, "Replicated", replicated);
    }
    if (replicated && !json_object_get(replicated, "Replicas"))
        json_object_set_new(replicated, "Replicas", json_integer(1));
    if (job && !json_object_get(job, "MaxConcurrent"))
        json_object_set_new(job, "MaxConcurrent", json_integer(1));
    if (job && !json_object_get(job, "TotalCompletions"))
        json_object_set(job, "TotalCompletions", json_object_get(job, "MaxConcurrent"));
    json_object_set_new(copy, "Mode", mode);
}

/* ---- networks ---- */

static const char *network_name(const json_t *networks, const char *id)
{
    const json_t *network;
    size_t i;
    if (json_is_object(networks))
        return json_string_value(json_object_get(networks, id));
    json_array_foreach (networks, i, network) {
        if (str_eq(id, json_path_string(network, "Id", NULL)))
            return json_path_string(network, "Name", NULL);
    }
    return NULL;
}

static void name_networks(json_t *task, const json_t *networks)
{
    json_t *attachment;
    size_t i;
    json_array_foreach (json_object_get(task, "Networks"), i, attachment) {
        const char *target = json_path_string(attachment, "Target", NULL);
        const char *name = target ? network_name(networks, target) : NULL;
        if (name)
            json_object_set_new(attachment, "Target", json_string(name));
    }
}

/* IDs of Swarm objects; a name of that form would be unlucky, and only host and bridge are compared with it.
 */
static bool is_swarm_id(const char *text)
{
    return strlen(text) == 25 && strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz") == 25;
}

/*
 * The engine turns the predefined networks into Swarm networks of its own that no list shows: an ID without a
 * name on the live side is taken for the one that is asked for.
 */
static void match_predefined(const json_t *desired, json_t *live)
{
    const json_t *want = json_path(desired, "TaskTemplate", "Networks", NULL), *attachment;
    const json_t *have = json_path(live, "TaskTemplate", "Networks", NULL);
    size_t i;
    json_array_foreach (want, i, attachment) {
        json_t *other = json_array_get(have, i);
        const char *name = json_path_string(attachment, "Target", NULL),
                   *id = json_path_string(other, "Target", NULL);
        if (id && is_swarm_id(id) && (str_eq(name, "host") || str_eq(name, "bridge")))
            json_object_set_new(other, "Target", json_string(name));
    }
}

/* ---- order ---- */

struct sortable {
    char *text;
    json_t *item;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct sortable *)a)->text, ((const struct sortable *)b)->text);
}

/* For arrays that are sets: the docker CLI leaves the order of equal names and of equal ports to chance. */
static void sort_array(json_t *array)
{
    size_t n = json_array_size(array), i;
    json_t *item;
    if (n < 2)
        return;
    struct sortable *list = calloc(n, sizeof *list);
    if (!list)
        abort();
    json_array_foreach (array, i, item) {
        list[i].text = json_dumps(item, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
        list[i].item = json_incref(item);
        if (!list[i].text)
            abort();
    }
    qsort(list, n, sizeof *list, by_text);
    json_array_clear(array);
    for (i = 0; i < n; i++) {
        json_array_append_new(array, list[i].item);
        free(list[i].text);
    }
    free(list);
}

static bool is_sorted(const json_t *strings)
{
    const json_t *item;
    const char *last = "";
    size_t i;
    json_array_foreach (strings, i, item) {
        const char *text = json_string_value(item);
        if (!text || strcmp(last, text) > 0)
            return false;
        last = text;
    }
    return true;
}

static void sort_sets(json_t *spec)
{
    json_t *container = json_object_get(json_object_get(spec, "TaskTemplate"), "ContainerSpec");
    json_t *env = json_object_get(container, "Env");
    if (!is_sorted(env)) /* mostly it is: the CLI and we send it so */
        sort_array(env);
    sort_array(json_object_get(container, "Secrets"));
    sort_array(json_object_get(container, "Configs"));
    sort_array(json_object_get(json_object_get(spec, "EndpointSpec"), "Ports"));
}

/* ---- the comparable form ---- */

static json_t *undo_engine(const json_t *spec, const json_t *networks)
{
    json_t *copy = object_without_empty(spec);
    json_t *task = json_object_get(copy, "TaskTemplate");
    drop_our_labels(copy);
    name_networks(task, networks);
    default_task(task);
    default_mode(copy, spec);
    default_endpoint(copy);
    default_update(copy, "UpdateConfig");
    default_update(copy, "RollbackConfig");
    return copy;
}

json_t *spec_normalise(const json_t *spec, const json_t *networks)
{
    json_t *copy = undo_engine(spec, networks);
    sort_sets(copy);
    return copy;
}

/* json_equal() takes two missing ones for different */
static bool same_member(const json_t *a, const json_t *b, const char *key)
{
    a = json_object_get(a, key);
    b = json_object_get(b, key);
    return a == b || json_equal(a, b);
}

/* Of a placement only constraints can move a task, and only from a node that they exclude (seen on 20.10). */
static json_t *restarting_part(const json_t *spec)
{
    json_t *task = json_copy(json_object_get(spec, "TaskTemplate"));
    json_t *constraints = json_object_get(json_object_get(task, "Placement"), "Constraints");
    if (constraints)
        json_object_set(task, "Placement", constraints);
    else
        json_object_del(task, "Placement");
    return task;
}

/* Swarm compares task template and endpoint as they are, order included. */
static bool would_restart(const json_t *a, const json_t *b)
{
    cleanup_json json_t *task_a = restarting_part(a), *task_b = restarting_part(b);
    return !(task_a == task_b || json_equal(task_a, task_b)) || !same_member(a, b, "EndpointSpec");
}

void spec_compare(struct arena *arena, const json_t *desired, const json_t *live, const json_t *networks,
                  struct spec_comparison *ret)
{
    cleanup_json json_t *a = undo_engine(desired, networks), *b = undo_engine(live, networks);
    match_predefined(a, b);
    *ret = (struct spec_comparison){.restarts = would_restart(a, b)};
    sort_sets(a);
    sort_sets(b);
    ret->same = json_equal(a, b);
    if (arena)
        ret->changes = ret->same ? arena_array(arena, 1, sizeof *ret->changes) : spec_words(arena, a, b);
}

bool spec_same(const json_t *desired, const json_t *live, const json_t *networks)
{
    struct spec_comparison comparison;
    spec_compare(NULL, desired, live, networks, &comparison);
    return comparison.same;
}

bool spec_restarts_tasks(const json_t *desired, const json_t *live, const json_t *networks)
{
    struct spec_comparison comparison;
    spec_compare(NULL, desired, live, networks, &comparison);
    return comparison.restarts;
}

const char **spec_differences(struct arena *arena, const json_t *desired, const json_t *live,
                              const json_t *networks)
{
    struct spec_comparison comparison;
    spec_compare(arena, desired, live, networks, &comparison);
    return comparison.changes;
}

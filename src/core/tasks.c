/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tasks.h"

#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"

bool task_is_in(const json_t *ids, const json_t *task)
{
    size_t i;
    const json_t *id;
    json_array_foreach (ids, i, id) {
        if (json_equal(id, json_object_get(task, "ID")))
            return true;
    }
    return false;
}

json_t *task_ids(const json_t *tasks)
{
    json_t *ids = json_array();
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (json_path_string(task, "ID", NULL))
            json_array_append(ids, json_object_get(task, "ID"));
    }
    return ids;
}

/* Why, in the engine's words: the error, else the message of the state; "" when there is neither. */
static const char *status_text(struct arena *arena, const json_t *task)
{
    const char *text = json_path_string(task, "Status", "Err", NULL);
    if (!text || !*text)
        text = json_path_string(task, "Status", "Message", NULL);
    return text ? str_clean(arena, text, strlen(text), true, 400) : "";
}

const char *task_named(struct arena *arena, const json_t *task)
{
    const char *id = json_path_string(task, "ID", NULL);
    return arena_printf(arena, "task %.12s", id ? id : "");
}

static const char *task_words(struct arena *arena, const json_t *task)
{
    const char *state = json_path_string(task, "Status", "State", NULL);
    json_int_t exit_code = json_path_integer(task, 0, "Status", "ContainerStatus", "ExitCode");
    const char *name = task_named(arena, task), *text = status_text(arena, task);
    if (exit_code)
        return arena_printf(arena, "%s %s, exit %lld: %s", name, state, (long long)exit_code, text);
    if (strcmp(state, "complete") == 0)
        return arena_printf(arena, "%s ended with exit 0: %s", name, text);
    return arena_printf(arena, "%s %s: %s", name, state, text);
}

static const char *const states_on_the_way[] = {"new",      "allocated", "pending", "assigned",
                                                "accepted", "preparing", "ready",   "starting"};

static bool on_the_way(const char *state)
{
    for (size_t i = 0; i < ARRAY_SIZE(states_on_the_way); i++)
        if (strcmp(state, states_on_the_way[i]) == 0)
            return true;
    return false;
}

bool task_ended(const json_t *task)
{
    const char *state = json_path_string(task, "Status", "State", NULL);
    return state && !on_the_way(state) && strcmp(state, "running") != 0;
}

static bool never_ran(const json_t *task)
{
    const char *text = json_path_string(task, "Status", "Err", NULL);
    return str_eq(json_path_string(task, "Status", "State", NULL), "failed") && text &&
           str_starts(text, "starting container failed: unable to remount dir as readonly");
}

bool tasks_never_ran(const json_t *tasks)
{
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (!never_ran(task))
            return false;
    }
    return true;
}

/* May a task of this service end by itself with exit 0 for good? */
static bool may_complete(const json_t *service)
{
    const char *condition =
        json_path_string(service, "Spec", "TaskTemplate", "RestartPolicy", "Condition", NULL);
    return str_eq(condition, "none") || str_eq(condition, "on-failure");
}

static bool is_job(const json_t *service)
{
    const json_t *mode = json_path(service, "Spec", "Mode", NULL);
    return json_object_get(mode, "ReplicatedJob") || json_object_get(mode, "GlobalJob");
}

/* Tasks of an earlier run of the same job are no news. The first run has the index 0, which the engine leaves
 * out. */
static bool earlier_iteration(const json_t *service, const json_t *task)
{
    if (!json_path(service, "JobStatus", "JobIteration", NULL) || !json_path(task, "JobIteration", NULL))
        return false;
    return json_path_integer(service, 0, "JobStatus", "JobIteration", "Index") !=
           json_path_integer(task, 0, "JobIteration", "Index", NULL);
}

/* RFC 3339 in UTC, with as many digits behind the point as there are: "…:05Z" is before "…:05.1Z". */
static int compare_times(const char *a, const char *b)
{
    enum { SECONDS = sizeof "2026-08-23T14:02:05" - 1 };
    int order = strncmp(a, b, SECONDS);
    if (order != 0 || strlen(a) < SECONDS || strlen(b) < SECONDS)
        return order;
    size_t len_a = strspn(a + SECONDS, ".0123456789"), len_b = strspn(b + SECONDS, ".0123456789");
    order = strncmp(a + SECONDS, b + SECONDS, len_a < len_b ? len_a : len_b);
    return order ? order : (len_a > len_b) - (len_a < len_b);
}

/* The newest failure is the one to tell; lists of tasks have no order. */
static void note_trouble(struct arena *arena, const json_t *task, struct tasks_judgement *j,
                         const char **newest)
{
    const char *time = json_path_string(task, "Status", "Timestamp", NULL);
    if (j->trouble && compare_times(time ? time : "", *newest) < 0)
        return;
    *newest = time ? time : "";
    j->trouble = task_words(arena, task);
}

static void note_active(struct arena *arena, const json_t *task, struct tasks_judgement *j)
{
    j->running++;
    j->active = arena_grow(arena, j->active, j->n_active, sizeof(void *));
    j->active[j->n_active++] = task;
}

/* Its node's engine was only just starting. That is said, and decides nothing: Swarm makes another one. */
static bool node_was_not_ready(const json_t *task)
{
    const char *error = json_path_string(task, "Status", "Err", NULL);
    return error && strstr(error, "when swarm is not active");
}

/* newest: when the trouble that j tells of happened */
static void judge_one(struct arena *arena, const json_t *service, const json_t *task, bool counted,
                      struct tasks_judgement *j, const char **newest)
{
    const char *state = json_path_string(task, "Status", "State", NULL);
    const char *desired = json_path_string(task, "DesiredState", NULL);
    if (!state || !desired)
        return;
    bool job = is_job(service),
         wanted = strcmp(desired, "running") == 0 || (job && strcmp(desired, "complete") == 0);
    if (strcmp(state, "running") == 0 && wanted) {
        note_active(arena, task, j);
    } else if (strcmp(state, "complete") == 0 && (job || may_complete(service))) {
        j->completed++;
    } else if (strcmp(state, "failed") == 0 || strcmp(state, "complete") == 0 ||
               strcmp(state, "rejected") == 0) {
        if (!counted)
            return;
        if (strcmp(state, "rejected") != 0)
            j->failed++;
        else if (!node_was_not_ready(task))
            j->rejected++;
        note_trouble(arena, task, j, newest);
    } else if (on_the_way(state) && wanted) {
        j->pending = arena_printf(arena, "%s: %s", state, status_text(arena, task));
    }
}

static unsigned desired_count(const json_t *service, const json_t *tasks)
{
    const json_t *mode = json_path(service, "Spec", "Mode", NULL);
    bool may_end = is_job(service) || may_complete(service);
    if (json_object_get(mode, "Replicated"))
        return (unsigned)json_path_integer(mode, 1, "Replicated", "Replicas", NULL);
    if (json_object_get(mode, "ReplicatedJob"))
        return (unsigned)json_path_integer(mode, 1, "ReplicatedJob", "TotalCompletions", NULL);
    /* global: one per node that was given a task; at least one, or nothing was seen */
    unsigned n = 0;
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        const char *desired = json_path_string(task, "DesiredState", NULL);
        const char *state = json_path_string(task, "Status", "State", NULL);
        if (!earlier_iteration(service, task))
            n += str_eq(desired, "running") || str_eq(desired, "complete") ||
                 (may_end && str_eq(state, "complete"));
    }
    return n ? n : 1;
}

void tasks_judge(struct arena *arena, const json_t *service, const json_t *tasks, const json_t *excused,
                 struct tasks_judgement *ret)
{
    struct tasks_judgement j = {0};
    const char *newest = "";
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (!earlier_iteration(service, task))
            judge_one(arena, service, task, !task_is_in(excused, task), &j, &newest);
    }
    j.desired = desired_count(service, tasks);
    *ret = j;
}

static bool has_failed(const json_t *service, const json_t *task)
{
    const char *state = json_path_string(task, "Status", "State", NULL);
    return str_eq(state, "failed") || str_eq(state, "rejected") ||
           (str_eq(state, "complete") && !is_job(service) && !may_complete(service));
}

unsigned tasks_failed_since(const json_t *service, const json_t *tasks, const char *since)
{
    const char *id = json_path_string(service, "ID", NULL);
    unsigned n = 0;
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        const char *when = json_path_string(task, "Status", "Timestamp", NULL);
        n += str_eq(json_path_string(task, "ServiceID", NULL), id) && has_failed(service, task) && when &&
             compare_times(when, since) >= 0;
    }
    return n;
}

const char *tasks_failed_words(struct arena *arena, unsigned failures)
{
    return arena_printf(arena, "%u task failure%s in the %d minutes before", failures,
                        failures == 1 ? "" : "s", TASKS_BEFORE_MIN);
}

const char *update_trouble(struct arena *arena, const json_t *service)
{
    static const struct {
        const char *state, *words;
    } states[] = {{"paused", "Swarm paused the update"},
                  {"rollback_started", "Swarm began to roll the update back"},
                  {"rollback_completed", "Swarm rolled the update back"},
                  {"rollback_paused", "Swarm's rollback of the update is paused"}};
    const char *state = json_path_string(service, "UpdateStatus", "State", NULL);
    const char *message = json_path_string(service, "UpdateStatus", "Message", NULL);
    for (size_t i = 0; state && i < ARRAY_SIZE(states); i++)
        if (strcmp(state, states[i].state) == 0)
            return arena_printf(arena, "%s: %s", states[i].words,
                                message ? str_clean(arena, message, strlen(message), true, 400) : "");
    return NULL;
}

bool update_in_progress(const json_t *service)
{
    return str_eq(json_path_string(service, "UpdateStatus", "State", NULL), "updating");
}

bool update_ends_at_once(const json_t *service)
{
    const json_t *terms = json_path(service, "Spec", "UpdateConfig", NULL);
    return !str_eq(json_path_string(terms, "FailureAction", NULL), "continue") &&
           json_number_value(json_object_get(terms, "MaxFailureRatio")) <= 0;
}

const char *task_container(const json_t *task)
{
    const char *id = json_path_string(task, "Status", "ContainerStatus", "ContainerID", NULL);
    return id && *id ? id : NULL;
}

bool task_is_starting(const json_t *task)
{
    return str_eq(json_path_string(task, "Status", "State", NULL), "starting") &&
           str_eq(json_path_string(task, "DesiredState", NULL), "running");
}

bool container_is_unhealthy(struct arena *arena, const json_t *container, const char **ret_said)
{
    const json_t *state = json_object_get(container, "State"), *log = json_path(state, "Health", "Log", NULL);
    const char *said = json_path_string(json_array_get(log, json_array_size(log) - 1), "Output", NULL);
    size_t len = said ? strlen(said) : 0;
    while (len > 0 && said[len - 1] == '\n')
        len--;
    *ret_said = len ? str_clean(arena, said, len, true, 400) : "";
    return json_is_true(json_object_get(state, "Running")) &&
           !json_is_true(json_object_get(state, "Paused")) &&
           str_eq(json_path_string(state, "Health", "Status", NULL), "unhealthy");
}

static bool same_place(const json_t *a, const json_t *b)
{
    const json_t *slot = json_object_get(a, "Slot");
    const char *member = json_integer_value(slot) ? "Slot" : "NodeID"; /* a global service has no slots */
    return json_object_get(a, member) && json_equal(json_object_get(a, member), json_object_get(b, member));
}

static bool is_older(const json_t *a, const json_t *b)
{
    const char *time_a = json_path_string(a, "CreatedAt", NULL),
               *time_b = json_path_string(b, "CreatedAt", NULL);
    return time_a && time_b && compare_times(time_a, time_b) < 0;
}

bool task_is_replacement(const json_t *all, const json_t *current, const json_t *task)
{
    bool replaces = false;
    size_t i;
    const json_t *other;
    json_array_foreach (all, i, other) {
        if (!same_place(task, other) || !is_older(other, task))
            continue;
        if (task_is_in(current, other))
            return false;
        replaces = true;
    }
    return replaces;
}

bool task_predecessor_runs(const json_t *all, const json_t *current, const json_t *task)
{
    size_t i;
    const json_t *other;
    json_array_foreach (all, i, other) {
        if ((!task || same_place(task, other)) && !task_is_in(current, other) &&
            str_eq(json_path_string(other, "Status", "State", NULL), "running") &&
            str_eq(json_path_string(other, "DesiredState", NULL), "running"))
            return true;
    }
    return false;
}

const char *task_address(struct arena *arena, const json_t *task, const char *network_id)
{
    size_t i;
    const json_t *attachment;
    json_array_foreach (json_object_get(task, "NetworksAttachments"), i, attachment) {
        const char *id = json_path_string(attachment, "Network", "ID", NULL);
        const char *address = json_string_value(json_array_get(json_object_get(attachment, "Addresses"), 0));
        if (str_eq(id, network_id) && address)
            return arena_strndup(arena, address, strcspn(address, "/"));
    }
    return NULL;
}

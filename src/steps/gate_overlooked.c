/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/gate_overlooked.h"

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"

/* A task that only seems to run is caught at it in one look at most. */
enum { LOOKS_UNTIL_WELL = 2 };

static void note_running(struct gate *gate, const struct tasks_judgement *t)
{
    for (size_t i = 0; i < t->n_active; i++) {
        const char *id = json_path_string(t->active[i], "ID", NULL);
        json_int_t looks = id ? json_integer_value(json_object_get(gate->looks, id)) : 0;
        if (id && looks < LOOKS_UNTIL_WELL)
            json_object_set_new(gate->looks, id, json_integer(looks + 1));
    }
}

static bool was_well(const struct gate *gate, const json_t *task)
{
    const char *id = json_path_string(task, "ID", NULL);
    return !id || json_integer_value(json_object_get(gate->looks, id)) >= LOOKS_UNTIL_WELL;
}

/* Every task of the service, once per look, and only when something is to be held against them. */
static int read_all(struct gate *gate, json_t **all, struct error *err)
{
    return *all ? 0 : docker_tasks(gate->ctx->docker, gate->id, false, all, err);
}

static int find_node(struct gate *gate, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct swarm_info swarm = {0};
    if (gate->node_id)
        return 0;
    if (docker_swarm(gate->ctx->docker, &arena, &swarm, err) < 0)
        return -1;
    gate->node_id = arena_strdup(&gate->arena, swarm.node_id ? swarm.node_id : "");
    return 0;
}

static int look_at_container(struct gate *gate, const json_t *tasks, const json_t *task,
                             const char *container_id, json_t **all, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *container = NULL;
    const char *said;
    if (find_node(gate, err) < 0)
        return -1;
    if (!str_eq(json_path_string(task, "NodeID", NULL), gate->node_id))
        return 0;
    if (docker_container(gate->ctx->docker, container_id, &container, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1; /* gone since the tasks were listed */
    if (!container_is_unhealthy(&arena, container, &said))
        return 0;
    if (read_all(gate, all, err) < 0)
        return -1;
    if (!task_is_replacement(*all, tasks, task) || !task_predecessor_runs(*all, tasks, task))
        return 0;
    return error_set(err, ERR_FAILED, 0, "%s: %s is unhealthy%s%s", gate->service, task_named(&arena, task),
                     *said ? ": " : "", said);
}

static int look_at_end(struct gate *gate, const json_t *tasks, const json_t *task, json_t **all, bool *ret,
                       struct error *err)
{
    if (!str_eq(json_path_string(task, "Status", "State", NULL), "complete") || was_well(gate, task))
        return 0;
    if (read_all(gate, all, err) < 0)
        return -1;
    *ret |= task_is_replacement(*all, tasks, task) && task_predecessor_runs(*all, tasks, NULL);
    return 0;
}

int gate_overlooked(struct gate *gate, const json_t *service, const json_t *tasks,
                    const struct tasks_judgement *t, bool *ret, struct error *err)
{
    cleanup_json json_t *all = NULL;
    size_t i;
    const json_t *task;
    *ret = false;
    note_running(gate, t);
    if (gate->going_back || !update_in_progress(service) || !update_ends_at_once(service))
        return 0;
    json_array_foreach (tasks, i, task) {
        const char *container_id = task_starting_container(task);
        if (task_is_in(gate->excused, task))
            continue;
        if (container_id && look_at_container(gate, tasks, task, container_id, &all, err) < 0)
            return -1;
        if (!container_id && t->failed > 0 && look_at_end(gate, tasks, task, &all, ret, err) < 0)
            return -1;
    }
    return 0;
}

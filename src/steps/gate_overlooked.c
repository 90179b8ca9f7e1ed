/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/gate_overlooked.h"

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "steps/send.h"

/* One that only seems to run is caught at it in one look less: a second, as seen (gate_overlooked.h). */
enum { LOOKS_UNTIL_WELL = 6 };

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

/* Old tasks and new ones; all of them are read only when something is to be held against one. */
struct look {
    struct gate *gate;
    json_t *current, *all;
};

static int read_all(struct look *l, struct error *err)
{
    return l->all ? 0 : docker_tasks(l->gate->ctx->docker, l->gate->id, false, &l->all, err);
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

/*
 * *ret_here: this node has, or had, it, and whoever guards the engine's socket lets it be asked for. *ret:
 * NULL when it is gone since the tasks were listed.
 */
static int read_container(struct gate *gate, const json_t *task, bool *ret_here, json_t **ret,
                          struct error *err)
{
    const char *id = task_container(task);
    *ret_here = false;
    *ret = NULL;
    if (!id)
        return 0;
    if (find_node(gate, err) < 0)
        return -1;
    *ret_here = str_eq(json_path_string(task, "NodeID", NULL), gate->node_id);
    if (!*ret_here || docker_container(gate->ctx->docker, id, ret, err) == 0)
        return 0;
    *ret_here = err->kind == ERR_NOT_FOUND;
    return send_is_transient(err) ? -1 : 0;
}

static int look_at_container(struct look *l, const json_t *task, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *container = NULL;
    const char *said;
    bool here;
    if (read_container(l->gate, task, &here, &container, err) < 0)
        return -1;
    if (!container_is_unhealthy(&arena, container, &said))
        return 0;
    if (read_all(l, err) < 0)
        return -1;
    if (!task_is_replacement(l->all, l->current, task) || !task_predecessor_runs(l->all, l->current, task))
        return 0;
    return error_set(err, ERR_FAILED, 0, "%s: %s is unhealthy%s%s", l->gate->service,
                     task_named(&arena, task), *said ? ": " : "", said);
}

static int look_at_end(struct look *l, const json_t *task, bool *ret, struct error *err)
{
    if (!str_eq(json_path_string(task, "Status", "State", NULL), "complete") || was_well(l->gate, task))
        return 0;
    if (read_all(l, err) < 0)
        return -1;
    *ret |= task_is_replacement(l->all, l->current, task) && task_predecessor_runs(l->all, l->current, NULL);
    return 0;
}

/* failed: some have, by the terms of the service */
static int look_at_each(struct look *l, const json_t *tasks, bool failed, bool *ret, struct error *err)
{
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (task_is_in(l->gate->excused, task))
            continue;
        int r = 0;
        if (task_is_starting(task))
            r = look_at_container(l, task, err);
        else if (failed)
            r = look_at_end(l, task, ret, err);
        if (r < 0)
            return -1;
    }
    return 0;
}

int gate_overlooked(struct gate *gate, const json_t *service, const json_t *tasks,
                    const struct tasks_judgement *t, bool *ret, struct error *err)
{
    *ret = false;
    note_running(gate, t);
    if (gate->going_back || !update_in_progress(service) || !update_ends_at_once(service))
        return 0;
    struct look l = {.gate = gate, .current = task_ids(tasks)};
    int r = look_at_each(&l, tasks, t->failed > 0, ret, err);
    json_decref(l.current);
    json_decref(l.all);
    return r;
}

int gate_ended_unheard(struct gate *gate, const struct tasks_judgement *t, const json_t **ret,
                       struct error *err)
{
    *ret = NULL;
    for (size_t i = 0; i < t->n_active && !*ret; i++) {
        cleanup_json json_t *container = NULL;
        bool here;
        if (read_container(gate, t->active[i], &here, &container, err) < 0)
            return -1;
        if (here && !json_is_true(json_path(container, "State", "Running", NULL)))
            *ret = t->active[i];
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "view/status.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "view/json.h"
#include "view/page.h"

static int load_deployment(struct journal *journal, struct arena *arena, int64_t id, struct deployment *ret,
                           struct error *err)
{
    bool found;
    *ret = (struct deployment){0};
    return id ? journal_deployment(journal, arena, id, ret, &found, err) : 0;
}

/* After `rollback` the tip is held without a deployment that failed: the rollback itself is what holds it. */
static int load_held(struct journal *journal, struct arena *arena, struct status *s, struct error *err)
{
    if (load_deployment(journal, arena, s->row.held_id, &s->held, err) < 0)
        return -1;
    if (!s->held.id && s->row.hold_absolute)
        s->held = s->deployed;
    struct migration_record *migrations;
    size_t n;
    if (s->held.id && journal_migrations(journal, arena, s->held.id, &migrations, &n, err) < 0)
        return -1;
    s->held_migrations = s->held.id ? ending_migrations_of(migrations, n) : (struct ending_migrations){0};
    return 0;
}

static const json_t *find_stack(const json_t *reply, const char *stack)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(reply, "stacks"), i, one) {
        if (str_eq(json_string_value(json_object_get(one, "stack")), stack))
            return one;
    }
    return NULL;
}

static int64_t frozen_until(const json_t *agentd)
{
    const char *text = json_string_value(json_object_get(agentd, "frozen_until"));
    struct error ignored = {0};
    int64_t until;
    return text && time_parse(text, &until, &ignored) == 0 ? until : 0;
}

int status_read(struct journal *journal, struct arena *arena, const char *stack, const json_t *agentd,
                struct status *ret, struct error *err)
{
    struct status s = {.agentd = find_stack(agentd, stack)};
    int64_t running;
    s.frozen_until_us = frozen_until(s.agentd);
    if (!journal) { /* agentd has never run: nothing is known yet */
        s.row.stack = stack;
        *ret = s;
        return 0;
    }
    if (journal_stack(journal, arena, stack, &s.row, err) < 0 ||
        journal_last(journal, arena, stack, DEPLOYMENT_SUCCEEDED, &s.deployed, err) < 0 ||
        journal_runnable(journal, stack, &running, err) < 0 ||
        load_deployment(journal, arena, running, &s.under_way, err) < 0 ||
        (running && at_work_load(journal, arena, &s.under_way, &s.work, err) < 0) ||
        load_held(journal, arena, &s, err) < 0)
        return -1;
    if (s.deployed.id && journal_services(journal, arena, s.deployed.id, &s.services, &s.n_services, err) < 0)
        return -1;
    *ret = s;
    return 0;
}

bool status_tip_is_deployed(const struct status *s)
{
    return s->deployed.id && str_eq(s->deployed.commit, s->row.tip);
}

bool status_is_seen(const struct status *s)
{
    return json_is_string(json_object_get(s->agentd, "last_poll")) && !status_poll_error(s);
}

bool status_in_step(const struct status *s)
{
    return status_tip_is_deployed(s) && !s->held.id && !s->row.hold_absolute && status_is_seen(s);
}

const char *status_poll_error(const struct status *s)
{
    const char *text = json_string_value(json_object_get(s->agentd, "poll_error"));
    return text ? text : s->row.poll_error;
}

bool status_pause_is_on(const struct stack_state *row)
{
    return row->paused && (row->paused_until_us == 0 || row->paused_until_us > wall_us());
}

bool status_drift(struct arena *arena, const struct status *s, struct status_drift *ret)
{
    cleanup_json json_t *drift = s->row.drift ? json_loads(s->row.drift, 0, NULL) : NULL;
    const json_t *services = json_object_get(drift, "services"), *entry;
    size_t i;
    *ret = (struct status_drift){
        .services = arena_array(arena, json_array_size(services), sizeof *ret->services),
        .note = text_safe(arena, json_string_value(json_object_get(drift, "note"))),
    };
    json_array_foreach (services, i, entry)
        ret->services[ret->n++] = text_safe(arena, json_string_value(json_object_get(entry, "text")));
    return drift != NULL;
}

/* ---- JSON ---- */

static json_t *borrowed(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : json_null();
}

static json_t *held_json(const struct status *s)
{
    if (!s->held.id && !s->row.hold_absolute)
        return json_null();
    const char *commit = s->row.hold_absolute ? s->row.tip : s->held.commit;
    return json_pack("{s:o, s:o, s:b}", "deployment", s->held.id ? json_integer(s->held.id) : json_null(),
                     "commit", json_text(commit), "absolute", s->row.hold_absolute);
}

static json_t *paused_json(const struct status *s)
{
    if (!status_pause_is_on(&s->row))
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "reason", json_text(s->row.pause_reason), "since",
                     json_time(s->row.paused_since_us), "until", json_time(s->row.paused_until_us));
}

static json_t *frozen_json(const struct status *s)
{
    if (!s->frozen_until_us)
        return json_null();
    return json_pack("{s:o}", "until", json_time(s->frozen_until_us));
}

static json_t *drift_json(const struct status *s)
{
    json_t *drift = s->row.drift ? json_loads(s->row.drift, 0, NULL) : NULL;
    if (!drift)
        return json_null();
    json_object_set_new(drift, "since", json_time(s->row.drift_since_us));
    return drift;
}

static json_t *services_json(struct arena *arena, const struct status *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_services; i++) {
        const struct service_record *r = &s->services[i];
        if (str_eq(r->action, "remove"))
            continue;
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o}", "name", json_text(r->service), "state", json_text(r->state),
                            "image", json_text(spec_image_of(arena, r->after ? r->after : r->before))));
    }
    return list;
}

json_t *status_stack_json(struct arena *arena, const struct status *s)
{
    bool deployed = s->deployed.id != 0, under_way = s->under_way.id != 0;
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:b}", "stack", json_text(s->row.stack), "commit",
                          json_text(deployed ? s->deployed.commit : NULL), "deployment",
                          deployed ? json_integer(s->deployed.id) : json_null(), "tip", json_text(s->row.tip),
                          "in_step", status_in_step(s));
    json_object_set_new(o, "deployed_at", json_time(s->deployed.finished_us));
    json_object_set_new(o, "running", under_way ? json_integer(s->under_way.id) : json_null());
    json_object_set_new(o, "state", json_text(under_way ? deployment_state_name(s->under_way.state) : NULL));
    json_object_set_new(o, "step", at_work_json(&s->work));
    json_object_set_new(o, "waiting", json_text(s->row.waiting));
    json_object_set_new(o, "next_poll", borrowed(s->agentd, "next_poll"));
    json_object_set_new(o, "last_poll", borrowed(s->agentd, "last_poll"));
    json_object_set_new(o, "poll_error", json_text(status_poll_error(s)));
    json_object_set_new(o, "poll_failing_since", json_time(s->row.poll_failing_since_us));
    json_object_set_new(o, "held", held_json(s));
    json_object_set_new(o, "paused", paused_json(s));
    json_object_set_new(o, "frozen", frozen_json(s));
    json_object_set_new(o, "alarm", json_text(s->row.alarm));
    json_object_set_new(o, "drift", drift_json(s));
    json_object_set_new(o, "services", services_json(arena, s));
    return o;
}

json_t *status_json(struct arena *arena, const json_t *agentd, const struct status *all, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, status_stack_json(arena, &all[i]));
    return json_pack("{s:o, s:o}", "agentd", borrowed(agentd, "agentd"), "stacks", list);
}

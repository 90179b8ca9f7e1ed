/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/drift.h"

#include <string.h>

#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/str.h"

/* The stack's row holds them, and a text of 16 KiB at most: what is longer is cut, and says so. */
enum { MAX_ENTRIES = 100, MAX_CHANGES = 20, MAX_BYTES = 12000 };

/* ---- who ---- */

/* A deployment of another agent than this; NULL: none, or it stood there when ours ended. */
static const char *other_agent(const struct drift_input *input, const json_t *recorded, const json_t *live)
{
    const char *now = spec_label(live, LABEL_DEPLOYMENT);
    if (!now || str_eq(now, spec_label(recorded, LABEL_DEPLOYMENT)))
        return NULL;
    return label_own_deployment(now, input->host_id) ? NULL : now;
}

static const char *clean(struct arena *arena, const char *text)
{
    return str_clean(arena, text, strlen(text), true, 200);
}

/* ---- one entry ---- */

static json_t *words(struct arena *arena, const char *const *changes)
{
    json_t *list = json_array();
    for (size_t i = 0; changes && changes[i]; i++) {
        if (i == MAX_CHANGES) {
            json_array_append_new(list, json_string("…"));
            break;
        }
        json_array_append_new(list, json_string(clean(arena, changes[i])));
    }
    return list;
}

static const char *joined(struct arena *arena, const json_t *list)
{
    cleanup_str struct str text = {0};
    const json_t *item;
    size_t i;
    json_array_foreach (list, i, item)
        str_printf(&text, "%s%s", i ? ", " : "", json_string_value(item));
    return arena_strdup(arena, str_text(&text));
}

/* "shop_web" of stack shop is "web" */
static const char *key_of(const char *stack, const char *name)
{
    size_t len = strlen(stack);
    return strncmp(name, stack, len) == 0 && name[len] == '_' && name[len + 1] ? name + len + 1 : name;
}

static void add(struct arena *arena, json_t *entries, const char *key, const char *name, const char *kind,
                const char *by, json_t *changes, const char *what)
{
    key = clean(arena, key);
    json_array_append_new(entries,
                          json_pack("{s:s, s:s, s:s, s:s?, s:o, s:s}", "service", key, "name",
                                    clean(arena, name), "kind", kind, "by", by ? clean(arena, by) : NULL,
                                    "changes", changes, "text", arena_printf(arena, "%s: %s", key, what)));
}

static void add_changed(struct arena *arena, const struct drift_input *input,
                        const struct service_record *record, const json_t *recorded, const json_t *service,
                        json_t *entries)
{
    const json_t *live = json_object_get(service, "Spec");
    const char *trouble = update_trouble(arena, service);
    const char *state = json_path_string(service, "UpdateStatus", "State", NULL);
    const char *agent = other_agent(input, recorded, live);
    /* the live one is the newer of the two: "replicas 2 → 5" */
    json_t *changes = words(arena, spec_differences(arena, live, recorded, input->networks));
    const char *how = joined(arena, changes);
    if (trouble && str_starts(state, "rollback"))
        add(arena, entries, record->service, record->name, "rolled_back", "swarm", changes,
            arena_printf(arena, "%s (or docker service rollback did): %s", trouble, how));
    else
        add(arena, entries, record->service, record->name, "changed", agent, changes,
            arena_printf(arena, "changed by %s: %s%s%s",
                         agent ? arena_printf(arena, "another agent (deployment %s)", clean(arena, agent))
                               : "someone else",
                         how, trouble ? "; " : "", trouble ? trouble : ""));
}

static void look_at(struct arena *arena, const struct drift_input *input, const struct service_record *record,
                    const json_t *service, json_t *entries)
{
    cleanup_json json_t *recorded = record->after ? json_loads(record->after, 0, NULL) : NULL;
    if (!recorded)
        return;
    if (!service) {
        add(arena, entries, record->service, record->name, "removed", NULL, json_array(),
            "removed by someone else");
        return;
    }
    if (!spec_same(recorded, json_object_get(service, "Spec"), input->networks)) {
        add_changed(arena, input, record, recorded, service, entries);
        return;
    }
    /* an update that Swarm took back has left our spec: nothing is wrong with that */
    const char *state = json_path_string(service, "UpdateStatus", "State", NULL);
    if (state && str_ends(state, "paused"))
        add(arena, entries, record->service, record->name, "paused", "swarm", json_array(),
            arena_printf(arena, "%s; tasks of two specs may run", update_trouble(arena, service)));
}

static void look_at_stranger(struct arena *arena, const struct drift_input *input, const json_t *service,
                             json_t *entries)
{
    const json_t *spec = json_object_get(service, "Spec");
    const char *name = json_path_string(spec, "Name", NULL), *agent = other_agent(input, NULL, spec);
    /* with a label of ours: one that prune = no leaves, or that a deployment left which failed */
    if (!name || (!agent && spec_label(spec, LABEL_DEPLOYMENT)))
        return;
    add(arena, entries, key_of(input->stack, name), name, "foreign", agent, json_array(),
        "is in the stack's namespace, and was made by someone else");
}

/* ---- all of them ---- */

static json_t *by_name(const json_t *services)
{
    json_t *index = json_object(), *service;
    size_t i;
    json_array_foreach (services, i, service) {
        const char *name = json_path_string(service, "Spec", "Name", NULL);
        if (name)
            json_object_set(index, name, service);
    }
    return index;
}

static void cut(struct arena *arena, json_t *entries)
{
    size_t n = json_array_size(entries), kept = 0, bytes = 0;
    for (; kept < n && kept < MAX_ENTRIES; kept++) {
        bytes += json_dumpb(json_array_get(entries, kept), NULL, 0, JSON_COMPACT);
        if (kept > 0 && bytes > MAX_BYTES)
            break;
    }
    if (kept == n)
        return;
    while (json_array_size(entries) > kept)
        json_array_remove(entries, json_array_size(entries) - 1);
    json_t *last = json_array_get(entries, kept - 1);
    const char *text = json_path_string(last, "text", NULL);
    json_object_set_new(last, "text",
                        json_string(arena_printf(arena, "%s; and %zu more services", text, n - kept)));
}

json_t *drift_find(struct arena *arena, const struct drift_input *input)
{
    cleanup_json json_t *live = by_name(input->services);
    json_t *entries = json_array();
    const json_t *service;
    const char *name;
    for (size_t i = 0; i < input->n_expected; i++) {
        const struct service_record *record = &input->expected[i];
        if (strcmp(record->action, "remove") == 0)
            continue;
        look_at(arena, input, record, json_object_get(live, record->name), entries);
        json_object_del(live, record->name);
    }
    json_object_foreach (live, name, service)
        look_at_stranger(arena, input, service, entries);
    cut(arena, entries);
    return entries;
}

const char *drift_text(struct arena *arena, const json_t *entries)
{
    cleanup_str struct str text = {0};
    const json_t *entry;
    size_t i;
    json_array_foreach (entries, i, entry)
        str_printf(&text, "%s%s", i ? "; " : "", json_string_value(json_object_get(entry, "text")));
    return arena_strdup(arena, str_text(&text));
}

/* ---- what follows ---- */

/* A service of others is not ours to touch, and what another agent deployed is between the two agents. */
static bool can_be_put_right(const json_t *entry)
{
    const char *kind = json_path_string(entry, "kind", NULL), *by = json_path_string(entry, "by", NULL);
    return str_eq(kind, "removed") || str_eq(kind, "rolled_back") || (str_eq(kind, "changed") && !by);
}

bool drift_is_corrected(const json_t *entries, const struct drift_situation *situation, const char **ret_note)
{
    bool any = false;
    const json_t *entry;
    size_t i;
    *ret_note = NULL;
    json_array_foreach (entries, i, entry)
        any |= can_be_put_right(entry);
    if (!any || !situation->correct)
        return false;
    if (situation->watches)
        *ret_note = "not put right: this agent only watches (act = never)";
    else if (situation->paused)
        *ret_note = "not put right while the stack is paused";
    else if (situation->frozen)
        *ret_note = "not put right before the freeze is over";
    else if (situation->held)
        *ret_note = "not put right while the stack is held";
    else if (situation->corrections >= DRIFT_MAX_CORRECTIONS)
        *ret_note = "put right 3 times within an hour, and changed again: only reported for now; find out "
                    "what else changes it";
    return !*ret_note;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "core/plan_internal.h"

/*
 * Services go to the exact specs that the target recorded. No migration runs and the schema stays: the
 * old code has to work with it, which is the person's decision who asks for this.
 */

static bool has_named(const json_t *list, const char *name)
{
    const json_t *item;
    size_t i;
    json_array_foreach (list, i, item) {
        if (str_eq(json_path_string(item, "Spec", "Name", NULL), name))
            return true;
    }
    return false;
}

/* A config or secret that is gone cannot come back: found out before the first service is touched. */
static int check_references(const struct rollback_input *input, const char *service, const json_t *spec,
                            struct error *err)
{
    for (const struct reference_kind *r = plan_references; r->list; r++) {
        const json_t *item, *list = json_path(spec, "TaskTemplate", "ContainerSpec", r->list, NULL);
        const json_t *have =
            strcmp(r->kind, STEP_SECRET) == 0 ? input->observed->secrets : input->observed->configs;
        size_t i;
        json_array_foreach (list, i, item) {
            const char *name = json_path_string(item, r->member, NULL);
            if (!has_named(have, name))
                return error_set(
                    err, ERR_NOT_FOUND, 0,
                    "deployment #%lld cannot be gone back to: %s %s of service %s does not exist any more",
                    (long long)input->target_id, r->kind, name ? name : "", service);
        }
    }
    return 0;
}

static int add_service(struct plan_builder *b, const struct rollback_input *input,
                       const struct service_record *record, struct error *err)
{
    json_t *spec = builder_keep(b, json_loads(record->after, 0, NULL));
    const json_t *live = json_object_get(b->live, record->name);
    const char *action;
    if (!spec)
        return error_set(err, ERR_INTERNAL, 0, "the record of service %s in deployment #%lld cannot be read",
                         record->service, (long long)input->target_id);
    bool again = builder_compare(b, record->service, record->name, spec, live, &action);
    if (strcmp(action, "none") == 0)
        return 0;
    if (check_references(input, record->service, spec, err) < 0)
        return -1;
    builder_roll(b, STEP_ROLL, record->service, action, spec, live, again);
    return 0;
}

/* Services of ours that the target did not have. */
static void add_removals(struct plan_builder *b, const struct rollback_input *input, const json_t *kept)
{
    cleanup_json json_t *removed = json_array();
    const json_t *live;
    size_t i;
    json_array_foreach (input->observed->services, i, live) {
        const json_t *spec = json_object_get(live, "Spec");
        const char *name = json_path_string(spec, "Name", NULL);
        if (!name || json_object_get(kept, name) || !spec_label(spec, LABEL_DEPLOYMENT))
            continue;
        if (input->prune)
            builder_remove(b, input->stack, live, removed);
        else
            builder_warn(b, "service %s was not there in deployment #%lld and is left running (prune = no)",
                         name, (long long)input->target_id);
    }
    if (json_array_size(removed))
        builder_step(b, STEP_PRUNE, input->stack,
                     json_pack("{s:O, s:[], s:[]}", "services", removed, "secrets", "configs"));
}

int plan_make_rollback(const struct rollback_input *input, struct plan *ret, struct error *err)
{
    struct plan_builder b;
    cleanup_json json_t *kept = json_object();
    builder_init(&b, input->observed, ret);
    builder_warn(&b, "back to deployment #%lld: services only, the database stays as it is",
                 (long long)input->target_id);
    for (size_t i = 0; i < input->n_services; i++) {
        const struct service_record *record = &input->services[i];
        if (strcmp(record->action, "remove") == 0)
            continue;
        /* one whose spec was not recorded stays as it is */
        json_object_set_new(kept, record->name, json_true());
        if (record->after && add_service(&b, input, record, err) < 0) {
            plan_release(ret);
            return -1;
        }
    }
    add_removals(&b, input, kept);
    ret->rows.images = input->images;
    ret->rows.n_images = input->n_images;
    ret->empty = b.n_steps == 0;
    builder_finish(&b, input->stack, input->commit);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/render_diff.h"

#include <stdio.h>
#include <string.h>

#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "worker/prepare.h"
#include "worker/work.h"

static const json_t *live_spec(const struct observed *observed, const char *name)
{
    size_t i;
    const json_t *live;
    json_array_foreach (observed->services, i, live) {
        const json_t *spec = json_object_get(live, "Spec");
        if (str_eq(json_path_string(spec, "Name", NULL), name))
            return spec;
    }
    return NULL;
}

/* The digest that runs stays while the image's text does. */
static int keep_image(struct arena *arena, const struct observed *observed,
                      const struct stack_service *service, struct plan_image *ret, struct error *err)
{
    struct image_ref ref;
    const json_t *spec = live_spec(observed, service->name);
    const char *image = json_path_string(spec, "TaskTemplate", "ContainerSpec", "Image", NULL),
               *at = image ? strchr(image, '@') : NULL;
    if (image_ref_parse(arena, service->image, &ref, err) < 0)
        return error_wrap(err, "image of service %s", service->key);
    *ret = (struct plan_image){.service = service->key, .reference = ref.familiar};
    if (!ref.digest && at && str_eq(spec_label(spec, LABEL_IMAGE), service->image)) {
        ret->digest = at + 1;
        ret->platforms = (json_t *)(uintptr_t)json_path(spec, "TaskTemplate", "Placement", "Platforms", NULL);
    }
    return 0;
}

/* Without the agent's salt nobody can tell whether a secret's content is the same. */
static void open_journal(struct work *work)
{
    struct error why = {0};
    if (work_open_journal(work, JOURNAL_READ, &why) == 0)
        return;
    fprintf(stderr, "warning: secrets that exist count as changed, they cannot be compared: %s\n", why.text);
    work->salt = "";
}

static int compare(struct work *work, struct manifest *m, const struct observed *observed, struct plan *ret,
                   struct error *err)
{
    const struct stack_config *configured = config_stack(&work->config, m->stack->name);
    cleanup_json json_t *retained = json_array();
    struct plan_image *images = arena_array(&work->arena, m->stack->n_services + 1, sizeof *images);
    for (size_t i = 0; i < m->stack->n_services; i++)
        if (keep_image(&work->arena, observed, &m->stack->services[i], &images[i], err) < 0)
            return -1;
    if (work->journal && retained_specs(work, &work->arena, m->stack->name, retained, err) < 0)
        return -1;
    m->release.n_steps = 0; /* whether a migration is due is a question of commits, not of objects */
    const struct plan_input input = {.manifest = m,
                                     .observed = observed,
                                     .images = images,
                                     .n_images = m->stack->n_services,
                                     .retained = retained,
                                     .commit = "",
                                     .salt = work->salt,
                                     .prune = configured && configured->prune};
    return plan_make(&input, ret, err);
}

static int diff(struct work *work, struct manifest *m, bool *ret_differs, struct error *err)
{
    struct observed observed = {0};
    struct plan plan = {0};
    if (work_open_docker(work, err) < 0 ||
        observe(work->docker, m->stack->name, m->stack, &observed, err) < 0)
        return -1;
    open_journal(work);
    int r = compare(work, m, &observed, &plan, err);
    if (r == 0) {
        *ret_differs = !plan.empty;
        fputs(plan_text(&work->arena, plan.json), stdout);
        plan_release(&plan);
    }
    observed_release(&observed);
    return r;
}

int render_diff(const char *config_path, const struct stack_input *input, bool *ret_differs,
                struct error *err)
{
    struct work work;
    struct manifest manifest;
    int r = work_open(&work, config_path, err);
    if (r == 0 && (r = manifest_load(input, &manifest, err)) == 0) {
        r = diff(&work, &manifest, ret_differs, err);
        manifest_release(&manifest);
    }
    work_close(&work);
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/images.h"

#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#define REVISION_LABEL "org.opencontainers.image.revision"

static const int64_t first_pause_us = 2 * US_PER_S, longest_pause_us = 15 * US_PER_S;
/* A package that CI has not pushed for the first time yet is refused like one that nobody may see. */
static const int64_t refused_patience_us = 60 * US_PER_S;
static const int64_t pull_timeout_us = 7200 * US_PER_S;

/* Tags that are meant to move: deploying what they point at now may be deploying the image of an older
 * commit. */
static bool tag_moves(const struct image_ref *ref)
{
    static const char *const moving[] = {"latest",  "main",    "master",  "stable",     "edge", "dev",
                                         "develop", "nightly", "staging", "production", "prod"};
    if (ref->digest)
        return false;
    if (!ref->tag)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(moving); i++)
        if (strcmp(ref->tag, moving[i]) == 0)
            return true;
    return false;
}

/* Repositories in agent.conf may be written in full: docker.io/library/web is web. */
static bool must_carry_commit(struct arena *arena, const struct stack_config *stack,
                              const struct image_ref *ref)
{
    for (size_t i = 0; stack->image_of_commit && stack->image_of_commit[i]; i++) {
        struct image_ref listed;
        struct error ignored = {0};
        if (image_ref_parse(arena, stack->image_of_commit[i], &listed, &ignored) == 0 &&
            str_eq(listed.repository, ref->repository))
            return true;
    }
    return false;
}

static void warn(struct images *images, struct arena *arena, const char *text)
{
    for (size_t i = 0; i < images->n_warnings; i++)
        if (strcmp(images->warnings[i], text) == 0)
            return;
    images->warnings = arena_grow(arena, images->warnings, images->n_warnings, sizeof *images->warnings);
    images->warnings[images->n_warnings++] = text;
}

/* One image of the request, with what decides about waiting. */
struct wanted {
    const struct images_request *request;
    struct arena *arena;
    const char *reference; /* familiar, with tag */
    bool of_commit;        /* its revision label must name the commit */
    int64_t deadline_us;
};

/* There is no step yet that could tell it: what is waited for does. */
static void tell_pull(void *userdata, const struct pull_progress *pulled)
{
    const struct wanted *w = userdata;
    static int64_t next_us;
    if (!w->request->ctx || mono_us() < next_us || pulled->done == pulled->layers)
        return;
    next_us = mono_us() + US_PER_S;
    cleanup_arena struct arena arena = {0};
    step_waiting(w->request->ctx, "pulling %s to read its label: %u of %u layers, %s", w->reference,
                 pulled->done, pulled->layers, bytes_text(&arena, pulled->bytes));
}

/* Does the image behind the digest name this commit? Labels are in the image's configuration: it has to be
 * pulled. */
static int names_commit(const struct wanted *w, const char *digest, bool *ret, const char **ret_revision,
                        struct error *err)
{
    cleanup_json json_t *image = NULL;
    const char *name = arena_printf(w->arena, "%s@%s", w->reference, digest);
    struct docker *docker = w->request->work->docker;
    if (docker_image(docker, name, &image, err) < 0 &&
        (docker_image_pull(docker, name, pull_timeout_us, tell_pull, (void *)(uintptr_t)w, err) < 0 ||
         docker_image(docker, name, &image, err) < 0))
        return error_wrap(err, "pulling %s to read its label", name);
    const char *revision = json_path_string(image, "Config", "Labels", REVISION_LABEL, NULL);
    *ret_revision = revision ? str_clean(w->arena, revision, strlen(revision), true, 64) : NULL;
    *ret = str_eq(revision, w->request->snapshot->commit.id);
    return 0;
}

/* One look: *ret_waiting is why it is not there yet (NULL: it is). */
static int look(const struct wanted *w, struct image_info *ret, const char **ret_waiting, struct error *err)
{
    *ret_waiting = NULL;
    fault_point("image.resolve");
    if (docker_distribution(w->request->work->docker, w->arena, w->reference, ret, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            *ret_waiting = arena_printf(w->arena, "image %s is not in the registry yet", w->reference);
        else if (err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT)
            *ret_waiting = arena_printf(w->arena, "image %s: %s", w->reference, err->text);
        else
            return error_wrap(err, "image %s", w->reference);
        return 0;
    }
    if (!w->of_commit)
        return 0;
    bool names = false;
    const char *revision = NULL;
    if (names_commit(w, ret->digest, &names, &revision, err) < 0) {
        json_decref(ret->platforms);
        ret->platforms = NULL;
        if (err->kind != ERR_UNAVAILABLE && err->kind != ERR_TIMEOUT && err->kind != ERR_NOT_FOUND)
            return -1;
        *ret_waiting = arena_strdup(w->arena, err->text);
        return 0;
    }
    if (names)
        return 0;
    json_decref(ret->platforms);
    ret->platforms = NULL;
    *ret_waiting = revision ? arena_printf(w->arena, "image %s is of commit %.12s, not of %.12s yet",
                                           w->reference, revision, w->request->snapshot->commit.id)
                            : arena_printf(w->arena,
                                           "image %s has no label " REVISION_LABEL
                                           ", so it cannot be told to be of %.12s",
                                           w->reference, w->request->snapshot->commit.id);
    return 0;
}

static int wait_for_image(const struct wanted *w, struct image_info *ret, struct error *err)
{
    const struct images_request *request = w->request;
    bool logged = false;
    int64_t refused_until = 0;
    for (int64_t pause = first_pause_us;;
         pause = pause * 2 < longest_pause_us ? pause * 2 : longest_pause_us) {
        const char *waiting;
        int64_t deadline = w->deadline_us;
        if (look(w, ret, &waiting, err) < 0) {
            if (!refused_until)
                refused_until = mono_us() + refused_patience_us;
            if (refused_until < deadline)
                deadline = refused_until;
            if (!docker_may_not_exist(err) || mono_us() >= deadline)
                return -1;
            waiting = arena_printf(w->arena, "%s (or not there yet)", err->text);
        }
        if (!waiting) {
            step_waiting(request->ctx, NULL);
            return 0;
        }
        int64_t left = deadline - mono_us();
        if (left <= 0) {
            const char *waited = duration_text(w->arena, request->work->stack->image_wait_us);
            return error_set(err, ERR_TIMEOUT, 0, "%s; waited %s (image_wait)", waiting, waited);
        }
        step_waiting(request->ctx, "%s", waiting);
        if (!logged)
            log_notice("waiting: %s", waiting);
        logged = true;
        step_pause(request->ctx, pause < left ? pause : left);
        if (step_should_stop(request->ctx, err) < 0 || request->give_up(request->userdata, err) < 0)
            return -1;
    }
}

/* Is it this image, by some digest? Somebody may have put another there by hand. */
static bool is_image(const char *image, const char *reference)
{
    size_t len = strlen(reference);
    return image && strncmp(image, reference, len) == 0 && image[len] == '@';
}

static const char *recorded_image(const struct images_request *request, const struct stack_service *service,
                                  const char *reference)
{
    for (size_t i = 0; i < request->n_kept; i++)
        if (str_eq(request->kept[i].service, service->key) && str_eq(request->kept[i].reference, reference))
            return request->kept[i].digest;
    return NULL;
}

/* resolve_image = changed: the digest that runs stays while the image's text does. */
static const char *kept_image(const struct images_request *request, const struct stack_service *service,
                              const char *reference, struct arena *arena)
{
    size_t i;
    const json_t *live;
    const char *recorded = recorded_image(request, service, reference);
    if (recorded)
        return recorded;
    if (request->work->stack->resolve_image != RESOLVE_CHANGED)
        return NULL;
    json_array_foreach (request->observed->services, i, live) {
        const json_t *spec = json_object_get(live, "Spec");
        const char *image = json_path_string(spec, "TaskTemplate", "ContainerSpec", "Image", NULL);
        if (str_eq(json_path_string(spec, "Name", NULL), service->name) &&
            str_eq(spec_label(spec, LABEL_IMAGE), service->image))
            return is_image(image, reference) ? arena_strdup(arena, image + strlen(reference) + 1) : NULL;
    }
    return NULL;
}

/* A copy. NULL: the spec is of another digest, or says none. */
static json_t *platforms_in(const json_t *spec, const char *digest)
{
    const char *image = json_path_string(spec, "TaskTemplate", "ContainerSpec", "Image", NULL);
    const char *at = image ? strchr(image, '@') : NULL;
    return at && str_eq(at + 1, digest)
               ? json_deep_copy(json_path(spec, "TaskTemplate", "Placement", "Platforms", NULL))
               : NULL;
}

/* The registry is not asked for what is kept: its platforms are those that were sent with it. */
static json_t *kept_platforms(const struct images_request *request, const struct stack_service *service,
                              const char *digest)
{
    json_t *found = NULL, *live;
    size_t i;
    for (i = 0; i < request->n_records && !found; i++) {
        const struct service_record *r = &request->records[i];
        const char *text = r->after ? r->after : r->before;
        cleanup_json json_t *spec =
            text && str_eq(r->service, service->key) ? json_loads(text, 0, NULL) : NULL;
        found = platforms_in(spec, digest);
    }
    json_array_foreach (request->observed->services, i, live) {
        const json_t *spec = json_object_get(live, "Spec");
        if (!found && str_eq(json_path_string(spec, "Name", NULL), service->name))
            found = platforms_in(spec, digest);
    }
    return found;
}

static void set_platforms(struct images *images, struct plan_image *item, json_t *owned)
{
    item->platforms = owned;
    if (owned)
        json_array_append_new(images->owned, owned);
}

static int resolve(const struct wanted *w, struct images *images, struct image_info *ret, struct error *err)
{
    const char *waiting;
    if (w->request->ctx)
        return wait_for_image(w, ret, err);
    if (look(w, ret, &waiting, err) < 0)
        return -1;
    if (waiting) {
        *ret = (struct image_info){0};
        warn(images, w->arena, arena_printf(w->arena, "%s: the deployment would wait for it", waiting));
    }
    return 0;
}

static const struct plan_image *seen(const struct images *images, const char *reference)
{
    for (size_t i = 0; i < images->n; i++)
        if (strcmp(images->items[i].reference, reference) == 0)
            return &images->items[i];
    return NULL;
}

/* Was anything that goes into the images changed since the last success? Then the new image has to be waited
 * for. */
static int sources_changed(const struct images_request *request, bool *ret, struct error *err)
{
    const struct stack_config *stack = request->work->stack;
    *ret = true;
    if (!request->base_commit || !repo_has_commit(request->work->repo, request->base_commit))
        return 0;
    return repo_changed(request->work->repo, request->base_commit, request->snapshot->commit.id,
                        (const char *const *)stack->image_paths, ret, err);
}

static int resolve_service(const struct images_request *request, const struct stack_service *service,
                           bool changed, int64_t deadline, struct arena *arena, struct images *images,
                           struct error *err)
{
    const struct stack_config *stack = request->work->stack;
    struct plan_image *item = &images->items[images->n];
    struct image_ref ref;
    if (image_ref_parse(arena, service->image, &ref, err) < 0)
        return error_wrap(err, "image of service %s", service->key);
    bool of_commit = must_carry_commit(arena, stack, &ref);
    *item = (struct plan_image){.service = service->key, .reference = ref.familiar};
    if (tag_moves(&ref) && !of_commit && !stack->follow_tags)
        warn(images, arena,
             arena_printf(
                 arena,
                 "image %s: its tag moves; what it points at when the deployment starts is deployed, which "
                 "may be the "
                 "image of an older commit. Set image_of_commit or follow_tags, or use a tag per commit",
                 ref.familiar));
    const struct plan_image *same = seen(images, ref.familiar);
    if (ref.digest) {
        /* already exact; the registry is asked when it is pulled */
    } else if ((item->digest = kept_image(request, service, ref.familiar, arena))) {
        set_platforms(images, item, kept_platforms(request, service, item->digest));
    } else if (same) {
        item->digest = same->digest;
        item->platforms = same->platforms;
    } else {
        struct wanted w = {request, arena, ref.familiar, of_commit && changed, deadline};
        struct image_info info = {0};
        if (resolve(&w, images, &info, err) < 0)
            return -1;
        item->digest = info.digest;
        set_platforms(images, item, info.platforms);
    }
    images->n++;
    return 0;
}

int images_resolve(const struct images_request *request, struct arena *arena, struct images *ret,
                   struct error *err)
{
    const struct stack *stack = request->snapshot->manifest.stack;
    struct images images = {.items = arena_array(arena, stack->n_services, sizeof *images.items),
                            .owned = json_array()};
    int64_t deadline = mono_us() + request->work->stack->image_wait_us;
    bool changed;
    int r = sources_changed(request, &changed, err);
    for (size_t i = 0; r == 0 && i < stack->n_services; i++)
        r = resolve_service(request, &stack->services[i], changed, deadline, arena, &images, err);
    if (r < 0) {
        images_release(&images);
        return -1;
    }
    images.warnings = arena_grow(arena, images.warnings, images.n_warnings, sizeof *images.warnings);
    images.warnings[images.n_warnings] = NULL;
    *ret = images;
    return 0;
}

void images_release(struct images *images)
{
    json_decref(images->owned);
    *images = (struct images){0};
}

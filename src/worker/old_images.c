/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/old_images.h"

#include <string.h>

#include "agent/docker.h"
#include "agent/log.h"
#include "agent/stack.h"
#include "base/cleanup.h"
#include "base/str.h"

/* at once: a deployment's end is not put off for long */
static const size_t most = 50;

static bool is_listed(const json_t *names, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach (names, i, one) {
        if (str_eq(json_string_value(one), name))
            return true;
    }
    return false;
}

/* A tag is somebody's wish to have it here. */
static bool has_tag(const json_t *image)
{
    size_t i;
    const json_t *tag;
    json_array_foreach (json_object_get(image, "RepoTags"), i, tag) {
        if (!str_eq(json_string_value(tag), "<none>:<none>"))
            return true;
    }
    return false;
}

/* Is it on this node, under this name and no tag? */
static bool is_here(const json_t *images, const char *name)
{
    size_t i;
    const json_t *image;
    json_array_foreach (images, i, image) {
        if (is_listed(json_object_get(image, "RepoDigests"), name))
            return !has_tag(image);
    }
    return false;
}

/* "registry/web:1" and its digest as the engine names it: "registry/web@sha256:…" */
static const char *name_of(struct arena *arena, const struct image_record *image)
{
    struct image_ref ref;
    struct error ignored = {0};
    if (image_ref_parse(arena, image->reference, &ref, &ignored) < 0)
        return NULL;
    return arena_printf(arena, "%s@%s", ref.repository, image->digest);
}

static int remove_old(struct work *work, size_t *ret_removed, struct error *err)
{
    struct image_record *old;
    size_t n;
    cleanup_json json_t *images = NULL;
    if (journal_old_images(work->journal, &work->arena, work->stack->name, &old, &n, err) < 0)
        return -1;
    if (n == 0)
        return 0;
    if (docker_images(work->docker, NULL, &images, err) < 0)
        return -1;
    for (size_t i = 0; i < n && *ret_removed < most; i++) {
        const char *name = name_of(&work->arena, &old[i]);
        struct error why = {0};
        if (!name || !is_here(images, name))
            continue;
        if (docker_image_remove(work->docker, name, &why) == 0)
            ++*ret_removed;
        else if (why.kind == ERR_UNAVAILABLE || why.kind == ERR_TIMEOUT)
            return *err = why, -1;
        else
            log_debug("image %s stays: %s", name, why.text); /* a container uses it, or it is gone */
    }
    return 0;
}

void old_images_remove(struct work *work)
{
    struct error err = {0};
    size_t removed = 0;
    if (remove_old(work, &removed, &err) < 0)
        log_info("old images stay for now: %s", err.text);
    if (removed > 0)
        log_info("removed %zu image%s that no rollback needs from this node", removed,
                 removed == 1 ? "" : "s");
}

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

/* "registry/web:1" and its digest as the engine names them. */
struct names {
    const char *tag;    /* "registry/web:1" */
    const char *digest; /* "registry/web@sha256:…" */
};

static bool names_of(struct arena *arena, const struct image_record *image, struct names *ret)
{
    struct image_ref ref;
    struct error ignored = {0};
    if (image_ref_parse(arena, image->reference, &ref, &ignored) < 0)
        return false;
    ret->tag = arena_printf(arena, "%s:%s", ref.repository, ref.tag ? ref.tag : "latest");
    ret->digest = arena_printf(arena, "%s@%s", ref.repository, image->digest);
    return true;
}

static bool is_listed(const json_t *list, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach (list, i, one) {
        if (str_eq(json_string_value(one), name))
            return true;
    }
    return false;
}

/* Is there a tag besides the deployed one? That is somebody's wish to have the image here. */
static bool has_other_tag(const json_t *tags, const char *deployed)
{
    size_t i;
    const json_t *tag;
    json_array_foreach (tags, i, tag) {
        const char *text = json_string_value(tag);
        if (!str_eq(text, "<none>:<none>") && !str_eq(text, deployed))
            return true;
    }
    return false;
}

/*
 * The name to take from it; NULL: it is not here, or others want it. Swarm pulls a digest under the tag that
 * the stack file has, too; with that tag the engine takes the digest's name away as well.
 */
static const char *removable(const json_t *images, const struct names *names)
{
    size_t i;
    const json_t *image;
    json_array_foreach (images, i, image) {
        const json_t *tags = json_object_get(image, "RepoTags");
        if (!is_listed(json_object_get(image, "RepoDigests"), names->digest))
            continue;
        if (has_other_tag(tags, names->tag))
            return NULL;
        return is_listed(tags, names->tag) ? names->tag : names->digest;
    }
    return NULL;
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
        struct names names;
        struct error why = {0};
        const char *name = names_of(&work->arena, &old[i], &names) ? removable(images, &names) : NULL;
        if (!name)
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

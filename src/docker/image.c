/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/stack.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "docker/client.h"
#include "docker/layers.h"
#include "docker/stream.h"

#define PROGRESS_LINE_MAX ((size_t)64 << 10)
/* The engine is silent while it checks a large layer, and while a registry is. */
#define PULL_STALL_US (180 * US_PER_S)

/* ---- what the registry says ---- */

/* As the docker CLI does: the architecture "arm" is left out, since nodes call it armv7l. */
static json_t *make_platforms(const json_t *answer)
{
    json_t *platforms = json_array(), *item;
    size_t i;
    json_array_foreach (json_object_get(answer, "Platforms"), i, item) {
        const char *architecture = json_string_value(json_object_get(item, "architecture"));
        const char *os = json_string_value(json_object_get(item, "os"));
        json_t *platform = json_object();
        if (architecture && architecture[0] && strcasecmp(architecture, "arm") != 0)
            json_object_set_new(platform, "Architecture", json_string(architecture));
        if (os && os[0])
            json_object_set_new(platform, "OS", json_string(os));
        json_array_append_new(platforms, platform);
    }
    return platforms;
}

static bool is_digest(const char *text)
{
    static const char prefix[] = "sha256:";
    return text && str_starts(text, prefix) && strlen(text) == strlen(prefix) + 64 &&
           strspn(text + strlen(prefix), "0123456789abcdef") == 64;
}

int docker_distribution(struct docker *docker, struct arena *arena, const char *image, struct image_info *ret,
                        struct error *err)
{
    struct image_ref ref;
    if (image_ref_parse(arena, image, &ref, err) < 0)
        return -1;
    struct call call = {.endpoint = EP_DISTRIBUTION, .object = ref.familiar, .image = image};
    cleanup_json json_t *answer = NULL;
    if (docker_send_json(docker, &call, JSON_OBJECT, &answer, err) < 0) {
        if (err->kind == ERR_TIMEOUT) /* the registry is slow, or gone: not a deadline of the caller's */
            err->kind = ERR_UNAVAILABLE;
        return -1;
    }
    const char *digest = json_string_value(json_object_get(json_object_get(answer, "Descriptor"), "digest"));
    if (!is_digest(digest))
        return error_set(err, ERR_UNAVAILABLE, 0, "asking the registry for %s: no digest in the answer",
                         image);
    ret->digest = arena_strdup(arena, digest);
    ret->platforms = make_platforms(answer);
    return 0;
}

/* ---- pull and import: both answer with a stream of JSON lines, and 200 before anything is known ---- */

struct progress {
    struct lines lines;
    struct str failure;   /* of an errorDetail */
    char last_status[80]; /* an import's last one is the ID */
    struct layers layers;
    pull_progress_fn fn; /* NULL: nobody asks */
    void *userdata;
};

static int on_progress_line(void *userdata, const char *line, size_t len)
{
    struct progress *progress = userdata;
    cleanup_json json_t *value = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
    if (!value && memmem(line, len, "\"errorDetail\"", 13)) { /* cut for its length */
        str_append(&progress->failure, "failed with more words than are read");
        return 0;
    }
    const char *failure =
        json_string_value(json_object_get(json_object_get(value, "errorDetail"), "message"));
    if (!failure)
        failure = json_string_value(json_object_get(value, "error"));
    if (failure && progress->failure.len == 0)
        str_append(&progress->failure, failure[0] ? failure : "failed without a word");
    const char *status = json_string_value(json_object_get(value, "status"));
    if (status && strlen(status) < sizeof progress->last_status)
        memcpy(progress->last_status, status, strlen(status) + 1);
    if (progress->fn && layers_note(&progress->layers, value)) {
        struct pull_progress now = layers_count(&progress->layers);
        progress->fn(progress->userdata, &now);
    }
    return 0;
}

static int on_progress_data(void *userdata, const char *data, size_t len)
{
    struct progress *progress = userdata;
    return lines_feed(&progress->lines, data, len);
}

static int read_progress(struct docker *docker, struct call *call, struct progress *progress,
                         struct error *err)
{
    progress->lines = (struct lines){.max = PROGRESS_LINE_MAX, .fn = on_progress_line, .userdata = progress};
    call->on_data = on_progress_data;
    call->userdata = progress;
    int r = docker_send(docker, call, NULL, err);
    if (r == 0)
        r = lines_end(&progress->lines);
    if (r == 0 && progress->failure.len > 0) {
        cleanup_arena struct arena arena = {0};
        const char *text = str_clean(&arena, progress->failure.data, progress->failure.len, true, 2048);
        r = error_set(err, registry_error_kind(500, text), 0, "%s %s: %s", endpoints[call->endpoint].doing,
                      call->about, text);
    }
    lines_release(&progress->lines);
    layers_release(&progress->layers);
    str_release(&progress->failure);
    return r;
}

int docker_image_pull(struct docker *docker, const char *image, int64_t timeout_us, pull_progress_fn fn,
                      void *userdata, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct image_ref ref;
    if (image_ref_parse(&arena, image, &ref, err) < 0)
        return -1;
    struct call call = {.endpoint = EP_IMAGE_CREATE,
                        .about = image,
                        .image = image,
                        .timeout_us = timeout_us,
                        .stall_us = PULL_STALL_US};
    call_query(&call, "fromImage", ref.repository);
    /* Without a tag the engine would fetch every one there is. */
    call_query(&call, "tag", ref.digest ? ref.digest : ref.tag ? ref.tag : "latest");
    struct progress progress = {.fn = fn, .userdata = userdata};
    return read_progress(docker, &call, &progress, err);
}

int docker_image(struct docker *docker, const char *name, json_t **ret, struct error *err)
{
    struct call call = {.endpoint = EP_IMAGE, .object = name};
    return docker_send_json(docker, &call, JSON_OBJECT, ret, err);
}

int docker_images(struct docker *docker, const char *label, json_t **ret, struct error *err)
{
    struct call call = {.endpoint = EP_IMAGES};
    call_filter(&call, "label", label);
    return docker_send_json(docker, &call, JSON_ARRAY, ret, err);
}

int docker_image_import(struct docker *docker, const void *tar, size_t len, const char *const *changes,
                        char **ret_id, struct error *err)
{
    struct call call = {.endpoint = EP_IMAGE_CREATE,
                        .about = "from an archive",
                        .body = tar,
                        .body_len = len,
                        .body_is_tar = true,
                        .stall_us = PULL_STALL_US};
    call_query(&call, "fromSrc", "-");
    for (; changes && *changes; changes++)
        call_query(&call, "changes", *changes);
    struct progress progress = {0};
    if (read_progress(docker, &call, &progress, err) < 0)
        return -1;
    if (!is_digest(progress.last_status))
        return error_set(err, ERR_UNAVAILABLE, 0, "importing an image: the engine gave no ID");
    char *id = strdup(progress.last_status);
    if (!id)
        abort();
    *ret_id = id;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "docker/layers.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* What the engine says of a layer; of everything else ("Pulling from library/web") it has no ID of one. */
static const struct {
    const char *status;
    enum { LAYER_HERE, LAYER_WANTED, LAYER_DOWNLOADS, LAYER_DOWNLOADED, LAYER_DONE } means;
} statuses[] = {
    {"Already exists", LAYER_HERE},
    {"Pulling fs layer", LAYER_WANTED},
    {"Waiting", LAYER_WANTED},
    {"Downloading", LAYER_DOWNLOADS},
    {"Verifying Checksum", LAYER_DOWNLOADED},
    {"Download complete", LAYER_DOWNLOADED},
    {"Extracting", LAYER_DOWNLOADED},
    {"Pull complete", LAYER_DONE},
};

static struct layer *find(struct layers *layers, const char *id)
{
    for (size_t i = 0; i < layers->n; i++)
        if (strcmp(layers->items[i].id, id) == 0)
            return &layers->items[i];
    if (layers->n == LAYERS_MAX || strlen(id) >= sizeof layers->items->id)
        return NULL;
    if (!layers->items && !(layers->items = calloc(LAYERS_MAX, sizeof *layers->items)))
        abort();
    struct layer *layer = &layers->items[layers->n++];
    memcpy(layer->id, id, strlen(id) + 1);
    return layer;
}

static void download(struct layer *layer, const json_t *detail)
{
    json_int_t current = json_integer_value(json_object_get(detail, "current")),
               total = json_integer_value(json_object_get(detail, "total"));
    layer->bytes = current > 0 ? current : 0;
    layer->total = total > layer->bytes ? total : total > 0 ? layer->bytes : 0;
}

bool layers_note(struct layers *layers, const json_t *line)
{
    const char *id = json_string_value(json_object_get(line, "id")),
               *status = json_string_value(json_object_get(line, "status"));
    size_t i = 0;
    while (id && i < ARRAY_SIZE(statuses) && !str_eq(status, statuses[i].status))
        i++;
    struct layer *layer = id && i < ARRAY_SIZE(statuses) ? find(layers, id) : NULL;
    if (!layer)
        return false;
    layer->done |= statuses[i].means == LAYER_HERE || statuses[i].means == LAYER_DONE;
    layer->wanted |= statuses[i].means != LAYER_HERE;
    if (statuses[i].means == LAYER_DOWNLOADS)
        download(layer, json_object_get(line, "progressDetail"));
    else if (statuses[i].means >= LAYER_DOWNLOADED)
        layer->bytes = layer->total;
    return true;
}

struct pull_progress layers_count(const struct layers *layers)
{
    struct pull_progress p = {.layers = (unsigned)layers->n};
    bool known = true;
    for (size_t i = 0; i < layers->n; i++) {
        const struct layer *layer = &layers->items[i];
        p.done += layer->done;
        p.bytes += layer->bytes;
        p.bytes_total += layer->total;
        /* a tiny one is there before its size was told */
        known &= !layer->wanted || layer->total > 0 || layer->done;
    }
    if (!known)
        p.bytes_total = 0;
    return p;
}

void layers_release(struct layers *layers)
{
    free(layers->items);
    *layers = (struct layers){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The layers of an image, as the stream of its pull tells of them. Pure. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/docker.h"

enum { LAYERS_MAX = 200 }; /* the engine allows fewer */

struct layers {
    struct layer {
        char id[16];
        bool done, wanted; /* wanted: it has to be downloaded */
        int64_t bytes, total;
    } * items;
    size_t n;
};

/* One line of the stream; false: it says nothing about layers. */
bool layers_note(struct layers *layers, const json_t *line);
struct pull_progress layers_count(const struct layers *layers);
void layers_release(struct layers *layers);

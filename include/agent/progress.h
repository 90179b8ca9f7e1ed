/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a running step is at, for whoever looks on: `status`, --wait, `show`. The step tells it (step_live()),
 * the journal keeps the newest in step.live, and nothing is ever decided by it. What is not known is left
 * out, not guessed.
 *
 *     {"doing": "putting it back", "of": "replicas", "done": 1, "total": 2, "bytes": 0, "bytes_total": 0,
 *      "deadline_us": 1755957731000000, "note": "starting"}
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

struct progress {
    const char *doing; /* where it is not what the kind of step says; NULL: it is */
    /* what is counted: "replicas", "tasks", "layers", "files", "schemas", "samples"; NULL: nothing is */
    const char *of;
    unsigned done, total; /* total 0 of layers, files, schemas: not known; of replicas: none are wanted */
    int64_t bytes;        /* pulled so far; 0: not known */
    int64_t bytes_total;  /* of all layers to be pulled; 0: not known yet */
    int64_t deadline_us;  /* wall clock: given up then, or, of a soak, over; 0: not known */
    const char *note;     /* one line: what is still missing, the last line of a job, the file; NULL */
};

enum { PROGRESS_NOTE_MAX = 200 };

/* JSON, in the arena; a note is cleaned, redacted and cut. */
char *progress_text(struct arena *arena, const struct progress *progress);
/* False: NULL, or nothing that a step has told. Clean text. */
bool progress_parse(struct arena *arena, const char *json, struct progress *ret);
/* "putting it back, 1 of 2 replicas up: starting"; "" when there is nothing to tell. Without the deadline. */
char *progress_words(struct arena *arena, const struct progress *progress);
/* "12.3 MB": powers of 1000, as the Docker CLI counts. */
char *bytes_text(struct arena *arena, int64_t bytes);

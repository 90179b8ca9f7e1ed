/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table-driven decoding of a mapping: each key names a function, unknown keys are refused with the list
 * of known ones. All functions set err to "FILE:LINE:COLUMN: PATH: …".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "agent/node.h"
#include "base/arena.h"

struct decode {
    struct arena *arena;
    const char *path; /* dotted path of the mapping that is being decoded */
};

struct decode_key {
    const char *key;
    int (*read)(const struct decode *d, const struct node *node, void *target,
                struct error *err); /* NULL: not supported yet */
    size_t offset;                  /* of the member in the target structure */
};

int decode_map(const struct decode *d, const struct node *node, const struct decode_key *keys, size_t n_keys,
               void *target, struct error *err) MUST_CHECK;

/* Readers; target is the type named. */
int decode_string(const struct decode *d, const struct node *node, void *target /* const char * */,
                  struct error *err);
int decode_duration(const struct decode *d, const struct node *node, void *target /* int64_t, µs */,
                    struct error *err);
int decode_bool(const struct decode *d, const struct node *node, void *target /* bool */, struct error *err);
int decode_unsigned(const struct decode *d, const struct node *node, void *target /* unsigned */,
                    struct error *err);
int decode_strings(const struct decode *d, const struct node *node,
                   void *target /* const char **, NULL-terminated */, struct error *err);
struct decode decode_below(const struct decode *d, const char *key); /* path extended */
struct decode decode_item(const struct decode *d, size_t index);

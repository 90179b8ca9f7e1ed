/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A YAML value with its position: what src/stack loads and the decoders of the stack file and of
 * x-release read. Lives in an arena; never changed once loaded and interpolated.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

enum node_type {
    NODE_NULL,
    NODE_BOOL,
    NODE_INT,
    NODE_UINT,
    NODE_FLOAT,
    NODE_TIME,
    NODE_STRING,
    NODE_LIST,
    NODE_MAP
};

struct node_pair {
    const char *key;
    struct node *value;
    unsigned line, column; /* of the key */
};

struct node {
    enum node_type type;
    const char *file;
    unsigned line, column; /* counted from 1 */
    union {
        bool boolean;
        int64_t integer;
        uint64_t uinteger; /* only where it does not fit int64_t */
        double real;
        struct {
            const char *text;
            size_t len;
        } string; /* NODE_STRING, NODE_TIME */
        struct {
            struct node **items;
            size_t n;
        } list;
        struct {
            struct node_pair *pairs;
            size_t n;
        } map;
    };
};

const struct node *node_get(const struct node *map, const char *key); /* NULL: not a map, or no such key */
const char *node_type_name(enum node_type type);                      /* "mapping", "list", "string" … */

/* ERR_INVALID "FILE:LINE:COLUMN: PATH: …" */
int node_error(struct error *err, const struct node *at, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

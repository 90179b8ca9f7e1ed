/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From nodes to the model. Decoders run after the schema check and say nothing about values of a wrong
 * type, which it has refused already; they report what only the value itself tells.
 */

#include "agent/stack.h"
#include "model.h"
#include "report.h"
#include "variables.h"

struct read_text {
    const char *path, *data;
    size_t len;
};

struct decoder {
    struct report *report;
    struct arena *arena;
    const struct variables *variables;
    const char *folder; /* of the first stack file, from the repository's root; "" is the root */
    stack_read_fn read;
    void *userdata;
    struct read_text *files; /* read so far */
    size_t n_files, n_bytes;
    size_t n_ports;                     /* of all services: ranges make many of few words */
    size_t n_variables, variable_bytes; /* of all services: an env file may be shared */
    int minor;                          /* version of the file */
};

void decode_project(struct decoder *d, const struct node *root, struct project *ret);

void decode_service(struct decoder *d, const struct node *node, const struct path *path, struct service *ret);
void decode_deploy(struct decoder *d, const struct node *node, const struct path *path, struct deploy *ret);
void decode_networks(struct decoder *d, const struct node *node, const struct path *path,
                     struct service *ret);
void decode_ports(struct decoder *d, const struct node *node, const struct path *path, struct service *ret);
void decode_mounts(struct decoder *d, const struct node *node, const struct path *path, struct service *ret);
void decode_environment(struct decoder *d, const struct node *service, const struct path *path,
                        struct pairs *ret);

enum object_kind { OBJECT_NETWORK, OBJECT_VOLUME, OBJECT_CONFIG, OBJECT_SECRET };
const char *object_kind_name(enum object_kind kind); /* "network" … */
void decode_objects(struct decoder *d, enum object_kind kind, const struct node *node,
                    const struct path *path, struct objects *ret);

/*
 * Reads a file that the stack file names, by a path relative to its folder. NULL with a refusal at the
 * node when it cannot be had.
 */
const char *read_file(struct decoder *d, const struct node *at, const struct path *path, const char *file,
                      const char **ret_path, size_t *ret_len);

/* ---- values (decode_values.c): of a mapping's key; absent or of another type gives "nothing given" ---- */

const char *get_text(const struct node *map, const char *key); /* NULL also for "" */
bool get_bool(const struct node *map, const char *key);
struct texts get_texts(struct decoder *d, const struct node *map, const char *key); /* a string or a list */
struct maybe_uint get_uint(struct decoder *d, const struct node *map, const char *key,
                           const struct path *path);
struct maybe_int get_int(struct decoder *d, const struct node *map, const char *key, const struct path *path);
struct maybe_int get_duration(struct decoder *d, const struct node *map, const char *key,
                              const struct path *path);
struct pairs get_pairs(struct decoder *d, const struct node *map, const char *key, bool keep_null);

/* Sorts by key; of equal keys the last one stays. */
void pairs_sort(struct arena *arena, struct pairs *pairs);
void pairs_add(struct arena *arena, struct pairs *pairs, const char *key, const char *value);
const struct pair *pairs_find(const struct pairs *sorted, const char *key);
void texts_add(struct arena *arena, struct texts *texts, const char *text);
/* For each text: does an equal one stand before it? Sorting keeps this cheap for lists of any length. */
bool *texts_repeated(struct arena *arena, const struct texts *texts);

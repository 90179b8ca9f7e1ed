/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From the merged model to Engine API bodies. */

#include <jansson.h>

#include "agent/stack.h"
#include "decode.h"
#include "model.h"

struct converter {
    struct decoder *decoder; /* reads the files of configs and secrets */
    struct report *report;
    struct arena *arena;
    const char *stack; /* the namespace */
    const struct project *project;
    bool *network_used;  /* beside project->networks.items */
    bool default_needed; /* the network `default`, declared or not */
};

/* Everything of the project into `ret`, whose arena and report are the converter's. */
void convert_project(struct converter *c, struct stack *ret);

void convert_service(struct converter *c, const struct service *service, struct stack_service *ret);
void convert_networks(struct converter *c, struct stack *ret); /* after all services */
void convert_volumes(struct converter *c, struct stack *ret);
struct stack_blob *convert_blobs(struct converter *c, enum object_kind kind, size_t *ret_count);

/* ---- parts of a service; NULL when the member is to be left out ---- */

json_t *convert_mounts(struct converter *c, const struct service *service, const struct path *path);
json_t *convert_references(struct converter *c, const struct service *service, enum object_kind kind,
                           const struct path *path);
json_t *convert_credentials(struct converter *c, const struct service *service, const struct path *path);
json_t *convert_attachments(struct converter *c, const struct service *service, const struct path *path);
json_t *convert_deploy_mode(struct converter *c, const struct deploy *deploy, const struct path *path);
json_t *convert_resources(struct converter *c, const struct deploy *deploy, const struct path *path);
json_t *convert_restart(struct converter *c, const struct service *service, const struct path *path);
json_t *convert_placement(const struct placement *placement);
json_t *convert_update(const struct update_config *update);
json_t *convert_endpoint(const struct service *service);
json_t *convert_healthcheck(struct converter *c, const struct healthcheck *healthcheck,
                            const struct path *path);
void convert_capabilities(struct arena *arena, const struct service *service, json_t *container);

/* ---- names ---- */

const char *scoped(const struct converter *c, const char *key); /* STACK_key */
const struct object *find_object(const struct objects *objects, const char *key);
const char *object_name(const struct converter *c, const struct object *object, const char *key);

/* ---- JSON: members that are empty or zero are left out ---- */

void put_text(json_t *object, const char *key, const char *text);
void put_texts(json_t *object, const char *key, const struct texts *texts);
void put_int(json_t *object, const char *key, int64_t value);
void put_true(json_t *object, const char *key, bool value);
void put_new(json_t *object, const char *key, json_t *value); /* takes the reference; NULL is left out */
void put_pairs(json_t *object, const char *key, const struct pairs *pairs);
json_t *pairs_json(const struct pairs *pairs);
json_t *labels_json(const struct converter *c, const struct pairs *labels); /* plus the stack's own */

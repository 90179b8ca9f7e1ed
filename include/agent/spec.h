/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Engine API objects as jansson values: reading them, and telling whether a live service is what the
 * stack file asks for. Pure. What the engine changes between "sent" and "read back" is listed in
 * docs/architecture.md (observed on engines 20.10 and 26.1).
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/hash.h"

#define LABEL_NAMESPACE  "com.docker.stack.namespace"
#define LABEL_IMAGE      "com.docker.stack.image"
#define LABEL_DEPLOYMENT "deploy-agent.deployment" /* HOSTID/ID, on services and jobs */
#define LABEL_COMMIT     "deploy-agent.commit"
#define LABEL_STACK      "deploy-agent.stack"   /* on jobs: they are outside the stack's namespace */
#define LABEL_STEP       "deploy-agent.step"    /* on jobs: the step's name */
#define LABEL_CONTENT    "deploy-agent.content" /* on configs and secrets: salted hash */
#define LABEL_PREFIX     "deploy-agent."

/* Follows keys of nested objects: json_path(task, "Status", "ContainerStatus", NULL). NULL when one is
 * missing. */
const json_t *json_path(const json_t *object, ...) __attribute__((sentinel));
const char *json_path_string(const json_t *object, ...)
    __attribute__((sentinel)); /* NULL: missing or no string */
json_int_t json_path_integer(const json_t *object, json_int_t fallback, const char *key, const char *key2,
                             const char *key3);

/* A new array; NULL: an empty one. */
json_t *json_strings(const char *const *items);

/* A label of a spec ({"Labels":{…}}); NULL: none. */
const char *spec_label(const json_t *spec, const char *label);
/* "HOSTID/ID", as LABEL_DEPLOYMENT has it: the ID where the host is this one; 0: another's, or NULL. */
int64_t label_own_deployment(const char *label, const char *host_id);

/*
 * A copy in the form that can be compared: the engine's defaults filled in or taken out, network IDs
 * turned into names (`networks` is the engine's list, or an object of names by ID), object IDs, empty
 * values and our labels dropped, arrays that are sets (variables, ports, secrets, configs) sorted,
 * ForceUpdate and Placement.Platforms (which restart nothing by themselves) left out.
 */
json_t *spec_normalise(const json_t *spec, const json_t *networks);
bool spec_same(const json_t *desired, const json_t *live, const json_t *networks);
/* Would Swarm replace the tasks when the one becomes the other? With changed constraints it may, or not. */
bool spec_restarts_tasks(const json_t *desired, const json_t *live, const json_t *networks);
/* What differs, for humans: "image", "env DEBUG", "replicas 2 → 3", "label a"; values of variables and labels
   are not shown. Empty exactly when spec_same(). NULL-terminated. */
const char **spec_differences(struct arena *arena, const json_t *desired, const json_t *live,
                              const json_t *networks);

/* Canonical text (sorted keys, compact); caller frees with free(). */
char *spec_text(const json_t *spec);
/* Of the canonical text: tells whether a live spec is still the one that was seen. */
void spec_hash(const json_t *spec, char ret[SHA256_HEX_SIZE]);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An ordinary Compose stack file, turned into the bodies that `docker stack deploy` (CLI 28.2.2, in these
 * files "the oracle": tests/stack compares) would send, without the agent's own labels. Pure: bytes in,
 * structs out; files that the stack file names (env_file, configs, secrets) come through a callback.
 *
 *     struct stack *stack = NULL;
 *     if (stack_load(&input, &stack, err) < 0) …   the text lists each refusal with file:line:column
 *     … stack->services[i].spec …
 *     stack_free(stack);
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/error.h"
#include "agent/node.h"
#include "base/arena.h"

struct variable {
    const char *name, *value;
};

/*
 * Reads a file that the stack file refers to. `path` is relative to the repository's root, normalised;
 * content into the arena, NUL-terminated. Missing: ERR_NOT_FOUND.
 */
typedef int (*stack_read_fn)(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                             size_t *ret_len, struct error *err);

struct stack_source {
    const char *path; /* from the repository's root; shown in messages */
    const char *text;
    size_t len;
};

struct stack_input {
    const char *name; /* the namespace */
    const struct stack_source *files;
    size_t n_files;
    const struct variable
        *variables; /* env_file of agent.conf and GIT_*: interpolation, null environment values */
    size_t n_variables;
    stack_read_fn read;
    void *userdata;
};

/* key: as written in the file ("web"); name: in Swarm ("shop_web", or its `name:`). */
struct stack_network {
    const char *key, *name;
    bool external;
    json_t *body; /* POST /networks/create; NULL when external */
    const struct node *at;
};

struct stack_volume { /* of the top level, whether a service uses it or not */
    const char *key;
    json_t *mount; /* as a service without options of its own would mount it; without Target */
};

struct stack_blob { /* a config or a secret */
    const char *key, *name;
    bool external;
    const void *data; /* NULL when external or made by a driver */
    size_t len;
    json_t *body; /* POST /configs/create, /secrets/create with Data; NULL when external */
    const struct node *at;
};

struct stack_service {
    const char *key, *name;
    const char *image; /* as written, after interpolation: the label com.docker.stack.image */
    /*
     * Body of /services/create: CS.Image in familiar form with tag; networks, secrets and configs by name
     * (SecretID, ConfigID absent; CredentialSpec.Config is the config's name: the sender puts its ID there).
     * jansson has no unsigned 64-bit integers: the sender must print a
     * RestartPolicy.MaxAttempts of -1 as 18446744073709551615, which is what the docker CLI sends for
     * `restart: on-failure:-1`.
     */
    json_t *spec;
    const char **depends_on;
    size_t n_depends_on;
    bool has_healthcheck; /* the stack file gives one that is not disabled */
    bool healthcheck_disabled;
    const char **environment; /* KEY=VALUE or KEY, as in CS.Env; NULL-terminated */
    const struct node *at;
};

struct stack {
    struct arena arena;
    const char *name;
    struct stack_network *networks; /* used by some service; external ones too; by name */
    size_t n_networks;
    struct stack_volume *volumes;
    size_t n_volumes;
    struct stack_blob *configs, *secrets;
    size_t n_configs, n_secrets;
    struct stack_service *services; /* in file order */
    size_t n_services;
    const struct node *x_release; /* NULL: none; in two files: refused */
    const char **warnings;        /* ignored and deprecated options, in words */
    size_t n_warnings;
};

/*
 * Refusals are collected: err->text (ERR_INVALID) has one line for each, "FILE:LINE:COLUMN: key.path: what is
 * wrong (what is accepted)", in file order, at most 50 and no more than fit; "… and N more" counts the rest.
 * Limits: 1 MiB per file, 64 levels, 200000 values with aliases expanded, 64 KiB per text, 5000 services,
 * 20000 ports, 256 other files of 4 MiB together.
 */
int stack_load(const struct stack_input *input, struct stack **ret, struct error *err) MUST_CHECK;
void stack_free(struct stack *stack);                                                  /* NULL is fine */
const struct stack_service *stack_service(const struct stack *stack, const char *key); /* NULL: none */
const struct stack_volume *stack_volume(const struct stack *stack, const char *key);   /* NULL: none */

/*
 * The bodies as one object, for people and for comparisons:
 * {"networks":[],"secrets":[],"configs":[],"services":[]}, each sorted by name, Data included, without
 * external objects and without the agent's own labels. The caller drops the reference.
 */
json_t *stack_render(const struct stack *stack);

/* The variables of an env file in the oracle's format; for agent.conf's env_file. */
int env_file_parse(struct arena *arena, const char *path, const char *text, size_t len, struct variable **ret,
                   size_t *ret_count, struct error *err) MUST_CHECK;

/* ---- image references (Docker's grammar, section 7.1) ---- */
struct image_ref {
    const char *domain;     /* "docker.io", "127.0.0.1:5000" */
    const char *path;       /* "library/busybox" */
    const char *tag;        /* NULL: none */
    const char *digest;     /* "sha256:…", NULL: none */
    const char *familiar;   /* "busybox:latest" */
    const char *repository; /* familiar form without tag and digest: "127.0.0.1:5000/web" */
};
int image_ref_parse(struct arena *arena, const char *text, struct image_ref *ret,
                    struct error *err) MUST_CHECK;

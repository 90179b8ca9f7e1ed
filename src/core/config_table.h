/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every key of agent.conf in one array: parser, place in the struct, default, help. agent.conf.example and
 * agent.conf(5) are compared with it by tests/unit/test_manual.c. A new setting is a field in agent/config.h
 * and a row.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/config.h"
#include "agent/error.h"
#include "base/arena.h"

/* Writes the value to *ret (its type is the parser's own); the text of an error says what is accepted. */
typedef int (*config_parser)(struct arena *arena, const char *text, void *ret, struct error *err);

enum config_flags {
    CONFIG_REQUIRED = 1 << 0, /* no default: the section must have it */
    CONFIG_LATER =
        1 << 1, /* known, but this version does not do it yet: only the value that means off is taken */
};

struct config_key {
    const char *section, *key;
    config_parser parse; /* NULL: CONFIG_LATER */
    size_t offset;       /* in struct config; in stack_config or notify_config for those sections */
    unsigned flags;
    const char *fallback; /* the default as one would write it; "" is none */
    const char *help;     /* one line */
};

enum { CONFIG_MAX_KEYS = 64 };

struct config_section {
    const char *name;
    bool named; /* written [name NAME], any number of times */
    unsigned flags;
};

extern const struct config_key config_keys[];
extern const size_t n_config_keys;
extern const struct config_section config_sections[];
extern const size_t n_config_sections;

/* A value is repeated in messages only as far as it helps to find it. */
#define SHOWN "%.80s"

/* ---- config_values.c, config_git.c: the types; each writes what stands behind the arrow ---- */
int config_parse_absolute(struct arena *arena, const char *text, void *ret,
                          struct error *err); /* const char * */
int config_parse_optional_path(struct arena *arena, const char *text, void *ret,
                               struct error *err); /* const char * */
int config_parse_docker(struct arena *arena, const char *text, void *ret,
                        struct error *err); /* const char * */
int config_parse_repository(struct arena *arena, const char *text, void *ret,
                            struct error *err); /* const char * */
int config_parse_branch(struct arena *arena, const char *text, void *ret,
                        struct error *err); /* const char * */
int config_parse_username(struct arena *arena, const char *text, void *ret,
                          struct error *err); /* const char * */
int config_parse_postgres(struct arena *arena, const char *text, void *ret,
                          struct error *err); /* const char * */
int config_parse_listen(struct arena *arena, const char *text, void *ret,
                        struct error *err); /* const char * */
int config_parse_files(struct arena *arena, const char *text, void *ret, struct error *err);  /* char ** */
int config_parse_paths(struct arena *arena, const char *text, void *ret, struct error *err);  /* char ** */
int config_parse_images(struct arena *arena, const char *text, void *ret, struct error *err); /* char ** */
int config_parse_uids(struct arena *arena, const char *text, void *ret,
                      struct error *err); /* struct config * */
int config_parse_bool(struct arena *arena, const char *text, void *ret, struct error *err);     /* bool */
int config_parse_parallel(struct arena *arena, const char *text, void *ret, struct error *err); /* unsigned */
int config_parse_keep(struct arena *arena, const char *text, void *ret, struct error *err);     /* unsigned */
int config_parse_poll_interval(struct arena *arena, const char *text, void *ret,
                               struct error *err); /* int64_t */
int config_parse_image_wait(struct arena *arena, const char *text, void *ret,
                            struct error *err);                                            /* int64_t */
int config_parse_act(struct arena *arena, const char *text, void *ret, struct error *err); /* enum act */
int config_parse_log_level(struct arena *arena, const char *text, void *ret,
                           struct error *err); /* enum log_level */
int config_parse_resolve_image(struct arena *arena, const char *text, void *ret, struct error *err);
int config_parse_on_failure(struct arena *arena, const char *text, void *ret, struct error *err);
int config_parse_drift(struct arena *arena, const char *text, void *ret, struct error *err);  /* enum drift */
int config_parse_shape(struct arena *arena, const char *text, void *ret, struct error *err);  /* enum shape */
int config_parse_forge(struct arena *arena, const char *text, void *ret, struct error *err);  /* enum forge */
int config_parse_states(struct arena *arena, const char *text, void *ret, struct error *err); /* char ** */
int config_parse_stacks(struct arena *arena, const char *text, void *ret, struct error *err); /* char ** */
int config_parse_notify_url(struct arena *arena, const char *text, void *ret,
                            struct error *err); /* const char * */
int config_parse_base_url(struct arena *arena, const char *text, void *ret,
                          struct error *err); /* const char *, without the last slash */

int config_parse_freeze(struct arena *arena, const char *text, void *ret,
                        struct error *err); /* struct freeze */

/* The words of a list, each of them once. */
int config_split(struct arena *arena, const char *text, size_t max, char ***ret, size_t *ret_n,
                 struct error *err);

bool config_stack_name_is_valid(const char *name);
/* Completes forge, status_url and project from the repository; NULL, or why they cannot be known. */
const char *config_find_forge(struct arena *arena, struct stack_config *stack);

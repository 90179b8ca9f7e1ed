/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tests of the core share: stack files and JSON from text, and comparing texts. Include after cmocka.h.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/manifest.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"

/* Files that a stack file may name. */
struct fixture_file {
    const char *path, *text;
};

struct fixture_input {
    const struct fixture_file *files; /* ends with an empty one; NULL: none */
};

static inline int fixture_read(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                               size_t *ret_len, struct error *err)
{
    const struct fixture_input *input = userdata;
    for (const struct fixture_file *f = input->files; f && f->path; f++)
        if (strcmp(f->path, path) == 0) {
            *ret_data = arena_strdup(arena, f->text);
            *ret_len = strlen(f->text);
            return 0;
        }
    return error_set(err, ERR_NOT_FOUND, 0, "no such file: %s", path);
}

/* stack.yml of the stack "shop" */
static inline int fixture_load(const char *text, const struct fixture_file *files,
                               const struct variable *variables, size_t n_variables, struct manifest *ret,
                               struct error *err)
{
    struct fixture_input files_input = {files};
    const struct stack_source source = {"stack.yml", text, strlen(text)};
    const struct stack_input input = {.name = "shop",
                                      .files = &source,
                                      .n_files = 1,
                                      .variables = variables,
                                      .n_variables = n_variables,
                                      .read = fixture_read,
                                      .userdata = &files_input};
    return manifest_load(&input, ret, err);
}

/* JSON in which `'` stands for `"` */
static inline json_t *fixture_json(const char *text)
{
    cleanup_arena struct arena arena = {0};
    char *copy = arena_strdup(&arena, text);
    json_error_t problem;
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *value = json_loads(copy, JSON_DECODE_ANY, &problem);
    if (!value)
        fail_msg("%s: %s", problem.text, text);
    return value;
}

/* Fails the test with both texts, which cmocka's own message cuts. */
static inline void expect_text(const char *name, const char *have, const char *want)
{
    if (strcmp(have, want) != 0)
        fail_msg("%s:\nhave: %s\nwant: %s", name, have, want);
}

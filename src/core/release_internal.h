/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files that decode x-release; see agent/release.h. */

#include "agent/release.h"
#include "core/decode.h"

/* Service names are looked up while decoding, so that the message has the position of the name. */
struct release_context {
    const struct stack *stack;
    struct release *release;
};

/* One of some words; *ret is its index. */
int release_choice(const struct decode *d, const struct node *node, const char *const *words, size_t n,
                   unsigned *ret, struct error *err) MUST_CHECK;
/* The key of a service of the stack. */
int release_service(const struct decode *d, const struct node *node, const struct stack *stack,
                    const char **ret, struct error *err) MUST_CHECK;
int release_read_health(const struct decode *d, const struct node *node, const struct release_context *c,
                        struct error *err) MUST_CHECK;
/* sql checks have a URL. node: of health; NULL: none. */
int release_check_health(const struct decode *d, const struct node *node, const struct release *release,
                         struct error *err) MUST_CHECK;
int release_read_database(const struct decode *d, const struct node *node, const struct release_context *c,
                          struct error *err) MUST_CHECK;
int release_read_steps(const struct decode *d, const struct node *node, const struct release_context *c,
                       struct error *err) MUST_CHECK;
/* What needs the database has a URL for it. node: of the steps; NULL: none. */
int release_check_steps(const struct decode *d, const struct node *node, const struct release *release,
                        struct error *err) MUST_CHECK;
/* release_sql.c: what lies below the keys `sql` and `expect`; *ret_name as given, NULL: not. */
int release_read_sql(const struct decode *d, const struct node *node, const char **ret_name,
                     struct sql_step *ret, struct error *err) MUST_CHECK;
int release_read_expect(const struct decode *d, const struct node *node, const char **ret_name,
                        struct expect_step *ret, struct error *err) MUST_CHECK;
/* Stays inside the repository. */
bool release_is_path(const char *path);

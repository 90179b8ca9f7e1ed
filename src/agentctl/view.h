/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One deployment as people and programs see it: a row of `log`, the head of `show`, an object of `log
 * --json`. */

#include <jansson.h>

#include "agentctl/ctl.h"
#include "agentctl/text.h"

struct view {
    struct deployment d;
    struct service_record *services; /* without specs */
    struct image_record *images;
    struct migration_record *migrations;
    struct schema_record *schemas; /* versions of databases, before and after */
    size_t n_services, n_images, n_migrations, n_schemas;
    const char *failed_with; /* "exit 1" of the migration that failed; NULL: none, or not known */
    const char *waiting;     /* what it waits for while under way; NULL: nothing */
    const char *at_work;     /* the step it is at, in words; NULL: none */
};

int view_load(struct ctl *ctl, struct arena *arena, const struct deployment *d, struct view *ret,
              struct error *err) MUST_CHECK;

const char *view_words(struct arena *arena,
                       const char *name); /* of a state's name: "rolled_back" is "rolled back" */
const char *view_verdict(struct arena *arena, enum deployment_state state); /* "rolled back" */
enum colour view_colour(enum deployment_state state);
const char *view_migrations(struct arena *arena, const struct view *view); /* "2 applied", "FAILED exit 1" */
const char *view_took(struct arena *arena, const struct view *view); /* "1m04s"; running: elapsed so far */
const char *view_why(struct arena *arena, const struct view *view);

json_t *view_json(const struct view *view);            /* the fields of `log --json` */
json_t *json_time(int64_t us);                         /* RFC 3339 in UTC; 0: null */
json_t *json_text(const char *text);                   /* NULL: null; cleaned */
json_t *json_duration(int64_t from_us, int64_t to_us); /* seconds; null when one is 0 */

/* The history table; with_stack adds the column STACK. */
struct table view_table(struct arena *arena, bool with_stack);
void view_add_row(struct table *table, const struct view *view);

/* Values of environment variables and the data of secrets are not for readers: "NAME=***". In place. */
void json_redact(json_t *value);

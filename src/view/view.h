/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is on record, as agentctl, /api/v1 and the page show it: read from the journal once, worded and made
 * JSON in one place. view.h is one deployment in a list, page.h all of one, status.h a stack.
 */

#include <jansson.h>
#include <stddef.h>

#include "agent/error.h"
#include "agent/journal.h"
#include "base/arena.h"

/* One deployment: a row of `log`, the head of `show`, an object of `log --json`. */
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

int view_read(struct journal *journal, struct arena *arena, const struct deployment *d, struct view *ret,
              struct error *err) MUST_CHECK;
json_t *view_json(const struct view *view);               /* the fields of `log --json` */
json_t *view_deployment_json(const struct deployment *d); /* those of them that need no other table */

/* ---- words ---- */

/* One clean line; NULL gives "". For everything that came from outside, whatever the journal did to it. */
const char *text_safe(struct arena *arena, const char *text);
const char *view_words(struct arena *arena,
                       const char *name); /* of a state's name: "rolled_back" is "rolled back" */
const char *view_verdict(struct arena *arena, enum deployment_state state); /* "rolled back" */
const char *view_migrations(struct arena *arena, const struct view *view);  /* "2 applied", "FAILED exit 1" */
const char *view_took(struct arena *arena, const struct view *view); /* "1m04s"; running: elapsed so far */
const char *view_why(struct arena *arena, const struct view *view);
/* Image of a service spec, JSON as the journal has it; NULL: none. */
const char *spec_image_of(struct arena *arena, const char *spec);

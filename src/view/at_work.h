/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a deployment is at: the step that runs, or whose service is being put back, and what it has told. */

#include <jansson.h>

#include "agent/journal.h"
#include "agent/progress.h"

struct at_work {
    const struct step *step; /* NULL: none is at work */
    unsigned number, of;     /* it is step 6 of 8 */
    bool back;               /* its service is being put back */
    bool stands;             /* its worker is gone: this is where it was */
    bool told;
    struct progress progress; /* zeroed when it has told nothing */
};

void at_work_find(struct arena *arena, const struct deployment *deployment, const struct step *steps,
                  size_t n, struct at_work *ret);
/* The same, of a deployment in the journal. */
int at_work_load(struct journal *journal, struct arena *arena, const struct deployment *deployment,
                 struct at_work *ret, struct error *err) MUST_CHECK;

/* "roll web": kind and name of a step. */
const char *at_work_title(struct arena *arena, const struct step *step);
/* "0m12s of at most 5m00s, 1 of 2 replicas up: starting" */
char *at_work_words(struct arena *arena, const struct at_work *work);
/* The same behind its title. */
char *at_work_line(struct arena *arena, const struct at_work *work);
/* The same without clocks, for who prints a line for each change. */
char *at_work_change(struct arena *arena, const struct at_work *work);

/* What a step has told, as docs/json.md has it; null: nothing. New references. */
json_t *live_json(const char *live);
/* The same with the step; null: none is at work. */
json_t *at_work_json(const struct at_work *work);

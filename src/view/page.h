/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that is on record of one deployment: `agentctl show`. */

#include "view/view.h"

struct page {
    struct view view;   /* its services are not used here */
    struct step *steps; /* with output */
    size_t n_steps;
    struct service_record *services; /* with specs */
    size_t n_services;
    json_t *backup;   /* {"file","volume","node","restore","note"}; NULL: none was made; owned */
    json_t *warnings; /* array or NULL; owned */
    json_t *plan;     /* as `agentctl plan --json`; NULL: there is none; owned */
    /* What a check said that got worse, see steps/probe.h; NULL: none did. Of each check, see steps/speed.h,
       how fast it was answered: an array. Both owned. */
    json_t *regressed, *latency;
};

enum page_outputs {
    PAGE_ENDS,  /* as much of the steps' outputs as page_json() shows without logs */
    PAGE_WHOLE, /* all of them */
    PAGE_NONE,  /* page_read_output() when it comes to that */
};
int page_read(struct journal *journal, struct arena *arena, const struct deployment *d,
              enum page_outputs outputs, struct page *page, struct error *err) MUST_CHECK;
int page_read_output(struct journal *journal, struct arena *arena, struct step *step,
                     enum page_outputs outputs, struct error *err) MUST_CHECK;
void page_release(struct page *page);
/* The object of `show --json`; logs: whole outputs instead of their newest 16 KiB. */
json_t *page_json(const struct page *page, bool logs);
/* The parts of it: all but its members "steps" and "services", and one of each. */
json_t *page_head_json(const struct page *page);
json_t *page_step_json(const struct step *step, bool logs);
json_t *page_service_json(const struct page *page, const struct service_record *service);
/* "0 of the newest 3 samples passed, the last: 500", of a member of `regressed`; which: "" or "the newest ".
 */
const char *view_samples(struct arena *arena, const json_t *count, const char *which);
/* Tasks of the service that failed in the minutes before the plan was made. */
unsigned page_failures_before(const struct page *page, const char *service);

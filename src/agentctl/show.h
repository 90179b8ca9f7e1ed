/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that `agentctl show` prints of one deployment. */

#include "agentctl/view.h"

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

void show_heading(const char *text);
void show_field(const char *name, const char *value);
/* What happened and what to do; for an end that is not good. */
void show_end(struct arena *arena, const struct page *page);
/* Tasks of the service that failed in the minutes before the plan was made. */
unsigned show_failures_before(const struct page *page, const char *service);
/* The steps, as a tree; --logs: with all output that was kept. */
void show_tree(struct arena *arena, const struct page *page, bool logs);
/* Does the tree tell of it? */
bool show_has_step(const struct page *page, const struct service_record *service);
bool show_migration_has_step(const struct page *page, const char *step);
void show_text(struct arena *arena, const struct page *page, bool logs);
/* Image of a service spec, JSON as the journal has it; NULL: none. */
const char *spec_image_of(struct arena *arena, const char *spec);
/* The same with twelve digits of its digest. */
const char *show_image(struct arena *arena, const char *spec);

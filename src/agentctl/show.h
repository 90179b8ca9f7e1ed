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
};

void show_text(struct arena *arena, const struct page *page, bool logs);
/* Image of a service spec, JSON as the journal has it; NULL: none. */
const char *spec_image_of(struct arena *arena, const char *spec);

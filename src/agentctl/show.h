/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that `agentctl show` prints of one deployment. */

#include "agentctl/view.h"
#include "view/page.h"

void show_heading(const char *text);
void show_field(const char *name, const char *value);
/* What happened and what to do; for an end that is not good. */
void show_end(struct arena *arena, const struct page *page);
/* The steps, as a tree; --logs: with all output that was kept. */
void show_tree(struct arena *arena, const struct page *page, bool logs);
/* Does the tree tell of it? */
bool show_has_step(const struct page *page, const struct service_record *service);
bool show_migration_has_step(const struct page *page, const char *step);
void show_text(struct arena *arena, const struct page *page, bool logs);
/* Image of a service spec with twelve digits of its digest; NULL: none. */
const char *show_image(struct arena *arena, const char *spec);

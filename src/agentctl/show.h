/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that `agentctl show` prints of one deployment. */

#include "agentctl/view.h"
#include "view/page.h"

void show_heading(const char *text);
void show_field(const char *name, const char *value);
/* What happened and what to do; for an end that is not good. */
void show_end(struct arena *arena, const struct page *page);
void show_text(struct arena *arena, const struct page *page, bool logs);

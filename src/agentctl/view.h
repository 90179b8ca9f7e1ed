/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One deployment as a row of `log`: view/view.h with colours and columns. */

#include "agentctl/ctl.h"
#include "agentctl/text.h"
#include "view/json.h"
#include "view/view.h"

int view_load(struct ctl *ctl, struct arena *arena, const struct deployment *d, struct view *ret,
              struct error *err) MUST_CHECK; /* view_read() of its journal */
enum colour view_colour(enum deployment_state state);

/* The history table; with_stack adds the column STACK. */
struct table view_table(struct arena *arena, bool with_stack);
void view_add_row(struct table *table, const struct view *view);

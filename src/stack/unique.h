/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/node.h"
#include "report.h"

/* Reports elements of a list that equal an earlier one ("array items[0,1] must be unique"). */
void unique_check(struct report *report, const struct node *list, const struct path *path);

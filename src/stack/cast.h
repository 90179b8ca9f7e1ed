/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/node.h"
#include "report.h"

/* Turns a string that substitution changed into the type its path needs. */
void cast(struct report *report, const struct path *path, struct node *node);

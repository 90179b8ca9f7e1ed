/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/node.h"
#include "report.h"

/* Turns a string that substitution changed into the type its path needs (compose-to-swarm 3.3). */
void cast(struct report *report, const struct path *path, struct node *node);

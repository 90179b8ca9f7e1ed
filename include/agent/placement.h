/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Placement constraints, as Swarm judges them (swarmkit, manager/constraint): `key == value` or `key !=
 * value`, compared without regard to case; a label that a node does not have is empty. Pure.
 */

#include <jansson.h>
#include <stdbool.h>

/*
 * Is there a node in the engine's list that meets all of them? Where it stands, whether it is up or drained,
 * does not count: that passes. What is not understood (node.ip, a key of a newer Swarm) counts as met.
 */
bool placement_is_possible(const json_t *constraints, const json_t *nodes);

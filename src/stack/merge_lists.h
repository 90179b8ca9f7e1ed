/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "model.h"

/* Ports, volumes, configs, secrets, networks and ulimits of a service that both files have. */
void merge_lists(struct arena *arena, struct service *base, const struct service *override);

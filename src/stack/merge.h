/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "decode.h"
#include "model.h"

/* Lays a later file over an earlier one, as `docker stack deploy -c A -c B` does. */
void project_merge(struct arena *arena, struct project *base, const struct project *override);

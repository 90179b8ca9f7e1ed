/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * remove_images: after a success, images of the stack's earlier deployments go from this node, when no
 * rollback needs them. Only what the agent itself has deployed, by digest, and what has no tag besides the
 * deployed one. What fails stays, and is tried again after the next success.
 */

#include "worker/work.h"

void old_images_remove(struct work *work);

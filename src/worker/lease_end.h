/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the agents of other managers are told with a lease that is given back: their records know nothing of
 * this end. */

#include "agent/docker.h"
#include "steps/lease.h"
#include "worker/work.h"

/* Behind the end of the deployment. */
void lease_end(struct work *work, const struct deployment *deployment, struct lease *lease);

/*
 * Gives back what a worker left that died, or whose engine was away, when its deployment had ended. One of a
 * deployment that goes on is left alone, and so is another agent's.
 */
int lease_end_left(struct work *work, struct error *err) MUST_CHECK;

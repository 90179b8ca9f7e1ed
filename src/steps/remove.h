/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Removing services and jobs. Engines up to 20.10 can end with a panic when a service is removed just as
 * Swarm forgets one of its tasks (docs/decisions/0005): what has tasks to be forgotten is emptied first, by
 * an update to no replicas.
 */

#include "agent/step.h"

bool service_is_emptied(const json_t *spec);
/* live: as the engine gave it; ERR_CONFLICT when it has changed since. */
int service_empty(struct step_ctx *ctx, const char *id, const json_t *live, struct error *err) MUST_CHECK;

/*
 * Empties a service of which tasks have ended, and waits until all of them have and Swarm forgets none any
 * more; for ten seconds at most, and not for one whose tasks all run. Whatever comes of it, the service may
 * be removed then.
 */
void service_settle(struct step_ctx *ctx, const char *id);
/* The same, and removes it; an engine that is away is waited for. One that is gone is removed. */
int service_remove(struct step_ctx *ctx, const char *id, struct error *err) MUST_CHECK;

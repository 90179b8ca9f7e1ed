/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Services that run with the wanted spec because a deployment sent it that never saw them work: its agent
 * died on another host, or it was given up and left them. "Nothing differs" is no success then.
 */

#include "agent/plan.h"
#include "agent/step.h"
#include "worker/work.h"

/* Fills observed->doubtful. ctx: whose lease tells of other agents; NULL: only the own record does. */
int doubt_services(struct work *work, struct step_ctx *ctx, struct observed *observed,
                   struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A check by command: a job in the image, and with the environment, that the service has at the moment. It is
 * nobody's record: it may run again, and one that a dead worker left is removed first.
 */

#include "agent/check.h"
#include "agent/step.h"

/* number: of the check, since two of a service may run one after the other. */
void job_check(struct step_ctx *ctx, const struct health_check *check, size_t number,
               struct check_result *ret);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/step.h"

/*
 * After a failure (err: the reason) or a cancel: puts the services of this deployment back in reverse order
 * and ends it truthfully: failed (no service was touched), rolled_back, halted, cancelled. Repeatable after a
 * crash. 0: ended; -1: asked to stop, to be resumed.
 */
int put_back_and_end(struct step_ctx *ctx, struct step *steps, size_t n_steps, struct error *err) MUST_CHECK;

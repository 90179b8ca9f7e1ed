/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Deployments that `agentctl rollback` goes back to, of each stack: the last five successes that changed
 * something. Their records, images, configs and secrets stay.
 */
#define ROLLBACK_TARGETS                                                                                     \
    "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY stack ORDER BY id DESC) AS age"              \
    " FROM deployment WHERE state = 'succeeded' AND reason IS NOT 'no change') WHERE age <= 5"

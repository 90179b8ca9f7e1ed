/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

/*
 * One line of JSON on stdout for agentd: what the worker is at. Hints, never the record.
 *     {"step": "roll web", "deadline_s": 900}   {"waiting": "image … is not in the registry yet"|null}
 *     {"end": "failed", "reason": "…"}           poll: {"result": …}
 *     {"alive_s": 300}                           a worker that then says nothing for so long hangs
 * Steals `message`.
 */
void hint(json_t *message);
/* For proc_on_alive(): says so, once a minute at most. */
void hint_alive(void);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

/*
 * One line of JSON on stdout for agentd: what the worker is at. Hints, never the record.
 *     {"step": "roll web", "deadline_s": 900}   {"waiting": "image … is not in the registry yet"|null}
 *     {"end": "failed", "reason": "…"}           poll: {"result": …}
 *     {"alive_s": 300}                           a worker that then says nothing for so long hangs
 * Steals `message`; words in it that may be foreign ones are hint_text(): bytes that are no UTF-8 would leave
 * nothing of it.
 */
void hint(json_t *message);
json_t *hint_text(const char *text); /* NULL: null */
/* For proc_on_alive(): says so, once a minute at most. */
void hint_alive(void);

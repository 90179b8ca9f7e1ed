/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Times in which nothing is deployed by itself: the setting `freeze` of a stack. Pure but for the time zone,
 * which is that of the process (TZ, /etc/localtime).
 *
 *     freeze = Fri 16:00..Mon 08:00, 22:00..06:00, 2026-12-20 12:00..2027-01-04 08:00
 *
 * A window begins and ends at a day of the week, at a date, or at the same time every day. The end's day may
 * be left out: it is then the next such time. Windows may overlap. A time that the clocks skip (daylight
 * saving begins) is the moment of the jump; of one that comes twice (it ends) the window takes both.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

struct freeze_window;

struct freeze {
    const char *text; /* as it is written, "" for none */
    const struct freeze_window *windows;
    size_t n;
};

/* "" is none. Refused (ERR_INVALID): what is no window, and windows that leave no minute of the week. */
int freeze_parse(struct arena *arena, const char *text, struct freeze *ret, struct error *err) MUST_CHECK;

/* The end of the freeze that `now_us` (wall time) lies in; 0: it lies in none. Windows that touch are one. */
int64_t freeze_until(const struct freeze *freeze, int64_t now_us);

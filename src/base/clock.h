/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Two clocks, never mixed. Wall time (µs since 1970, UTC) is for records only; deadlines use the
 * monotonic clock, so a stepped clock neither fires nor stalls them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

#define US_PER_S INT64_C(1000000)

int64_t wall_us(void);
int64_t mono_us(void);
void sleep_us(int64_t us); /* returns early on a signal */

char *rfc3339_utc(struct arena *arena, int64_t us);  /* 2026-08-23T14:02:11Z ; 0 gives NULL */
char *local_minute(struct arena *arena, int64_t us); /* 2026-08-23 14:02, local time */
char *time_local(struct arena *arena, int64_t us);   /* 2026-08-23 14:02:11; 0 gives "-" */
/* RFC 3339, "2026-08-23", "2026-08-23 14:02" (local), or "2h", "3d" ago */
int time_parse(const char *text, int64_t *ret_us, struct error *err) MUST_CHECK;

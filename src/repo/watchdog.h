/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A deadline for libgit2's ssh, which has none: it blocks for ever in recv() when the server falls silent
 * (1.5.1; later versions time a single wait, but not a trickle). A thread waits beside the call; at the
 * deadline, or when the process is asked to stop, it shuts down every TCP connection that was opened since
 * watchdog_start(), again and again until the call has returned. The blocked call then fails like a dropped
 * connection.
 *
 * One at a time, around calls of a thread that opens no other connections meanwhile.
 */

#include <stdint.h>

#include "agent/error.h"

struct watchdog;

int watchdog_start(int64_t deadline_us, struct watchdog **ret, struct error *err) MUST_CHECK;

/* NULL is fine. */
void watchdog_move(struct watchdog *watchdog, int64_t deadline_us);

enum watchdog_verdict { WATCHDOG_QUIET, WATCHDOG_DEADLINE, WATCHDOG_STOPPED };
/* What it did so far; NULL is quiet. */
enum watchdog_verdict watchdog_verdict(const struct watchdog *watchdog);
void watchdog_stop(struct watchdog *watchdog);

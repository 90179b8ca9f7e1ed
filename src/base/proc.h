/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fork and exec, never bare fork. The child gets default signals, an empty signal mask, /dev/null as
 * stdin, a minimal environment, no other descriptor, and SIGTERM when its parent dies if asked for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent/error.h"
#include "base/arena.h"

struct proc_options {
    const char *const *argv; /* argv[0] is the absolute path */
    int stdout_fd;           /* -1: inherited */
    int stderr_fd;           /* -1: inherited */
    bool die_with_parent;
    bool no_journal; /* without JOURNAL_STREAM: what it logs goes to its stderr */
};

int proc_spawn(const struct proc_options *options, pid_t *ret_pid, struct error *err) MUST_CHECK;

/* Path of a program of ours: beside the running executable, else PKGLIBEXECDIR. In the arena. */
char *proc_sibling(struct arena *arena, const char *name);

/* USR1 only ends a wait early (agentd: "look at the journal"). TERM and INT set this flag (and interrupt
 * waits); worker code looks at it at each safe point. */
void proc_catch_stop(void);
bool proc_stop_requested(void);

/*
 * A sign of life, given in every wait and by every request while it lasts, by the thread that does the work:
 * a process that gives none hangs. Whom it reaches is the program's business; nobody by default.
 */
void proc_alive(void);
void proc_on_alive(void (*handler)(void));
/* For who waits: a sign of life, and -1 (ERR_CANCELLED) once a signal asked to stop. Needs no userdata. */
int proc_heed_stop(void *userdata, struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /api/v1/events: what happens just now, as server-sent events. While somebody listens, and for a minute
 * after, the journal is looked at each second: cheap while nothing was committed. Events:
 *
 *     hello       {"version", "resumed"}       first; resumed false: what happened before is not sent, read
 * it deployment  {"id", "stack", "state", …}  a new one, or another state step        {"deployment", "seq",
 * "state", …}   another state of a step progress    {"stack", "deployment", "step", "waiting"}  what the
 * worker of a deployment says
 *
 * The newest 256 are kept: who comes back with Last-Event-ID gets what it missed. At most 16 listeners; one
 * that does not read is cut.
 */

struct manager;
struct watch;

/* The step of a deployment under way, or what it waits for, may be another one. */
void live_progress(struct watch *watch);
void live_free(struct manager *manager);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* clang-format off */
/*
 * The control socket RUN_DIR/control.sock: one request and one reply per connection, each a JSON object on
 * one line of at most 64 KiB (requests) or 16 MiB (replies), ended by a newline.
 *
 *     → {"verb":"sync","stack":"shop","args":{…}}
 *     ← {"ok":true,"exit":0, …}   or   {"ok":false,"exit":1,"error":"…"}
 *
 * `exit` is the exit code agentctl ends with: enum exit_code. Callers are known by SO_PEERCRED: reading verbs
 * for everybody who can connect (0660, group deploy-agent), writing verbs for uid 0, the agent's own uid and
 * control_uids.
 */

/*
 * One row per verb. A message is for the user.
 *
 * verb      args                           reply besides ok, exit, error
 * status    –                              agentd {version, pid, config, since, journal_error},
 *                                          stacks [{stack, polling, poll_error, poll_failures, last_poll,
 *                                          next_poll, step, waiting, paused, frozen_until, running, worker_pid}]
 * sync      requested_by                   result, deployment (0: nothing to do), held (an id), message
 * plan      commit, json (bool)            output (agent-worker's stdout), message (its stderr)
 * check     –                              output, message
 * migrations step, schema, commit, json    output, message
 * records   stack, state, since_us, limit  output, message
 * migrate   action (adopt, resolve), version, outcome (done, again), statement, step, schema, commit
 *                                          output, message
 * retry     deployment                     deployment (the new one), message
 * cancel    deployment                     deployment, message
 * approve   commit, deployment             message
 * pause     reason, until (RFC 3339)       message
 * resume    –                              –
 * rollback  deployment (0: the one before) deployment (the new one), message
 */
/* clang-format on */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"

#define CONTROL_REQUEST_MAX (64 * 1024)
#define CONTROL_REPLY_MAX   (16 * 1024 * 1024)

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_FAILED = 1,
    EXIT_CHANGES = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_NO_DAEMON = 4,
    EXIT_BAD_USAGE = 64,
    /* between agent-worker and agentd only */
    EXIT_STOPPED = 75, /* at a safe point, because of SIGTERM: to be resumed */
    EXIT_LOCKED = 76,  /* another worker holds the lock of the stack, or of the receiver */
};

struct control_request {
    json_t *root; /* owned; strings below live in it */
    const char *verb, *stack;
    json_t *args; /* object, never NULL */
};
/* Pure: checks shape, depth, duplicate keys, sizes. */
int control_request_parse(const char *text, size_t len, struct control_request *ret,
                          struct error *err) MUST_CHECK;
void control_request_release(struct control_request *request);

/* For agentctl: connects, sends, reads the reply. Not running: ERR_NOT_FOUND. */
int control_call(const char *socket_path, const json_t *request, int64_t timeout_us, json_t **ret_reply,
                 struct error *err) MUST_CHECK;

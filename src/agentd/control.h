/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The control socket, see agent/control.h. One request and one reply per connection. Bounds: 64 KiB and 5 s
 * for a request, 5 s for a reply that is not fetched, 32 connections, 4 of one user. Callers are known by
 * SO_PEERCRED.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/control.h"
#include "agent/deployment.h"
#include "agent/error.h"
#include "agent/journal.h"
#include "base/str.h"

struct manager;
struct watch;
struct worker;
struct poll_result;

struct client {
    struct control *control;
    struct manager *manager;
    struct client *next;
    int fd;
    uid_t uid;
    pid_t pid;
    struct sd_event_source *source, *timer;
    struct str in, out;
    size_t sent;
    bool replying, draining;
    struct control_request request;

    /* what a deferred reply waits for */
    struct worker *worker; /* plan, check */
    struct watch *sync;    /* its poll with this number or a later one */
    unsigned sync_turn;
};

/* A socket left behind is replaced; one that answers is somebody else's: ERR_CONFLICT. */
int control_open(struct manager *manager, struct error *err) MUST_CHECK;
void control_close(struct manager *manager);

/* Both end the client's request; `reply` is taken over: ok and exit are added when missing. */
void control_reply(struct client *client, json_t *reply);
void control_reply_error(struct client *client, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A poll for `agentctl sync` ended; result NULL: it cannot be had, the text says why. */
void control_sync_done(struct watch *watch, const struct poll_result *result, const char *text);
void control_watch_gone(struct watch *watch);

/* ---- methods.c, actions.c ---- */

struct call {
    struct manager *manager;
    struct client *client;
    struct watch *watch; /* NULL where the verb takes no stack */
    json_t *args;
    int64_t deployment; /* args.deployment; 0: not given */
    json_t *reply;      /* an empty object to fill */
};
/* 0: reply is complete; 1: the reply comes later; -1: the error is the reply. */
typedef int (*method_handler)(struct call *call, struct error *err);

void method_call(struct client *client);
/* NULL when absent; anything but a string: ERR_INVALID */
int call_string(const struct call *call, const char *name, const char **ret, struct error *err) MUST_CHECK;

int action_sync(struct call *call, struct error *err);
int action_retry(struct call *call, struct error *err);
int action_cancel(struct call *call, struct error *err);
int action_approve(struct call *call, struct error *err);
int action_pause(struct call *call, struct error *err);
int action_resume(struct call *call, struct error *err);
int action_rollback(struct call *call, struct error *err);

/*
 * What `rollback` without an ID goes back to: `ended` are the stack's ended deployments, newest first. NULL:
 * there is nothing before.
 */
const struct deployment *rollback_default(const struct deployment *ended, size_t n);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP for programs that watch: [http] listen, GET only. libmicrohttpd without threads: its epoll descriptor
 * is one source of the loop. Bounds: request line 4 KiB, 32 headers of 8 KiB, no body, 5 s of silence, 10 s
 * for the whole, 64 connections, one request each.
 *
 *     /healthz           agentd lives, and has its journal
 *     /health/database   health.c
 *
 * What is answered is public: no text of errors, no names of hosts.
 */

#include <stdbool.h>

#include "agent/error.h"

struct manager;
struct watch;

/* Does nothing when there is nothing to listen on. An address that is taken is tried again; deployments do
 * not wait for that. Called again after the configuration was read again. */
void http_open(struct manager *manager);
void http_close(struct manager *manager);

/* ---- http_check.c ---- */

/* Headers and method: 0 when they are fine, else the status of the refusal. */
struct MHD_Connection;
unsigned http_check(struct MHD_Connection *connection, const char *method, const char *version,
                    const char **ret_words);

/* ---- health.c: GET /health/database ---- */

/*
 * What is to be answered for this stack; false: it is not known yet, a worker asks, and http_wake() follows.
 * A result is five seconds old at most, and there is one worker per stack: however many ask, the database is
 * asked once. *ret_body lives until the next call for the stack.
 */
bool health_database(struct watch *watch, unsigned *ret_status, const char **ret_body);
bool health_is_asked(const struct watch *watch); /* a worker runs for it */
void health_free(struct watch *watch);

/* The answer for a stack is known, or never will be: those that wait for it go on. */
void http_wake(struct watch *watch);

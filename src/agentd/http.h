/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP for those who watch: [http] listen. libmicrohttpd without threads: its epoll descriptor is one source
 * of the loop. Bounds: request line 4 KiB, 32 headers of 8 KiB, a body of 256 KiB where one is taken at all,
 * 5 s of silence, 10 s for the whole, 64 connections, one request each.
 *
 *     http.c          the library in the loop, its connections
 *     http_check.c    headers that the library lets through, and this endpoint does not
 *     http_request.c  one request: its route, its body, waiting for something
 *     http_host.c     by which names the record is told
 *     http_reply.c    answers
 *     http_routes.c   the table: a path is one row there and one handler, see http_request.h
 *     health.c        what /health/database says
 */

#include <stdbool.h>

#include "agent/error.h"

struct manager;
struct watch;

/* Does nothing when there is nothing to listen on. An address that is taken is tried again; deployments do
 * not wait for that. Called again after the configuration was read again. */
void http_open(struct manager *manager);
void http_close(struct manager *manager);

/* ---- health.c: GET /health/database ---- */

/*
 * What is to be answered for this stack; false: it is not known yet, a worker asks, and http_wake() follows.
 * A result is five seconds old at most, and there is one worker per stack: however many ask, the database is
 * asked once. *ret_body lives until the next call for the stack.
 */
bool health_database(struct watch *watch, unsigned *ret_status, const char **ret_body);
bool health_is_asked(const struct watch *watch); /* a worker runs for it */
void health_free(struct watch *watch);
/* The answer that requests wait for is known, or the watch goes away. */
void http_wake(struct watch *watch);

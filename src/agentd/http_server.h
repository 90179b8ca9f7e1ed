/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between http.c, http_request.c and http_reply.c. */

#include <microhttpd.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agentd/http_request.h"

enum {
    HTTP_MAX_TARGET = 4096 - sizeof "GET  HTTP/1.1" + 1,
    HTTP_MAX_BODY = 256 * 1024,
};

struct http {
    struct manager *manager;
    char *address; /* of [http] listen */
    struct MHD_Daemon *daemon;
    sd_event_source *io, *soon, *timer, *sweep, *retry;
    struct http_peer *peers;
    struct http_own *requests;
    bool said;   /* that the address is taken */
    bool closed; /* a connection, since the library was called */
};
/* To be served from the loop: whoever calls is in the middle of something. */
void http_serve_soon(struct http *http);

struct http_own {
    struct http_request request;
    struct http *http;
    struct http_own *next;
    struct MHD_Connection *connection;
    const struct http_route *route;
    struct str body;
    bool too_long, seen;
    struct watch *waits_for; /* suspended until http_wake() */
    bool suspended;
};

/* Callbacks of the library, see its manual. */
void *http_on_request_line(void *userdata, const char *target, struct MHD_Connection *connection);
enum MHD_Result http_on_request(void *userdata, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **context);
void http_on_completed(void *userdata, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode code);
void http_suspend(struct http_own *own);
void http_resume(struct http_own *own); /* nothing, where it is not suspended */
/* Its connection is not ended for its age. */
void http_let_last(struct http_own *own);
/* None may be suspended when the library is stopped. */
void http_resume_all(struct http *http);

/* ---- http_check.c ---- */

struct http_body {
    bool any; /* a length above 0, or chunks */
    bool chunked;
    uint64_t length;
};
/* Headers: 0 when they are fine, else the status of the refusal. */
unsigned http_check(struct MHD_Connection *connection, const char *version, struct http_body *ret_body,
                    const char **ret_words);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a page or an endpoint sees of a request, and how it answers. A new one is a file with a handler and a
 * row in http_routes.c.
 *
 *     int my_handler(struct http_request *request)
 *     {
 *         …
 *         return http_reply(request, &(struct http_reply){.type = "text/plain", .body = text, .len = n});
 *     }
 *
 * GET has no effects. Handlers never wait: they answer from memory and by short queries of the journal, which
 * may be closed (manager->journal NULL: http_no_journal()).
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/error.h"
#include "base/arena.h"
#include "base/str.h"

struct manager;
struct watch;

enum {
    HTTP_OK = 200,
    HTTP_ACCEPTED = 202,
    HTTP_NOT_MODIFIED = 304,
    HTTP_BAD_REQUEST = 400,
    HTTP_UNAUTHORIZED = 401,
    HTTP_NOT_FOUND = 404,
    HTTP_METHOD_NOT_ALLOWED = 405,
    HTTP_LENGTH_REQUIRED = 411,
    HTTP_TOO_LARGE = 413,
    HTTP_TARGET_TOO_LONG = 414,
    HTTP_MISDIRECTED = 421,
    HTTP_HEADERS_TOO_LARGE = 431,
    HTTP_UNAVAILABLE = 503,
};

struct http_request {
    struct manager *manager;
    struct arena arena; /* lives as long as the request */
    const char *path;   /* percent signs decoded, without the query */
    const char *word;   /* what stands for the * of the route's pattern; "" where it has none */
    const char *body;   /* of POST, whole; NUL-terminated, and may hold others */
    size_t body_len;
    struct http_own *own; /* http_request.c's */
};

/* 0: answered, or it waits; -1: it cannot be, and the connection is closed. */
typedef int (*http_handler)(struct http_request *request);

struct http_route {
    const char *method;  /* "GET", which HEAD belongs to, or "POST" */
    const char *pattern; /* of the path; a * at its end stands for one word without a slash */
    http_handler handle;
    bool tells; /* the record: only those who ask by a name that is known, see http_host.c */
};
extern const struct http_route http_routes[];
extern const size_t n_http_routes;
/* NULL: none. *ret_word points into path. */
const struct http_route *http_route_find(const char *path, const char **ret_word);

/* ---- what was asked; NULL: not given ---- */
const char *http_query(const struct http_request *request, const char *name);
const char *http_header(const struct http_request *request, const char *name);

/* ---- answers ---- */

struct http_reply {
    unsigned status;  /* 0: 200 */
    const char *type; /* NULL: application/json; text/html goes with a Content-Security-Policy */
    const char *body; /* copied */
    size_t len;
    const char *etag; /* in quotes, as http_etag() makes them; then If-None-Match is looked at. NULL: none */
    const char *link; /* header Link; NULL: none */
    const char *allow;
};
int http_reply(struct http_request *request, const struct http_reply *reply);
int http_json(struct http_request *request, unsigned status, const char *body); /* a newline is added */
int http_error(struct http_request *request, unsigned status, const char *words);
int http_no_journal(struct http_request *request); /* 503 */

/* "\"…\"": of the content. */
char *http_etag(struct arena *arena, const char *bytes, size_t len);
/* Is it one of those in the header If-None-Match? */
bool http_etag_matches(const char *header, const char *etag);

/* Does the asker have this one already? http_reply() looks, too; before something is made for nothing. */
bool http_is_known(const struct http_request *request, const char *etag);

/*
 * An answer in pieces, each made when the one before is on its way: the loop turns in between. What the
 * pieces need lives in the stream's arena; the request is gone when `next` is called.
 */
struct http_stream {
    struct manager *manager;
    struct arena arena;
    /* 1: more follow, 0: this was the last one, -1: the connection is cut. Nothing appended and 1: called
       again after http_stream_wake(). */
    int (*next)(struct http_stream *stream, struct str *to, struct error *err);
    void (*ended)(struct http_stream *stream); /* NULL: nothing to do */
    void *state;
    bool endless; /* it is not held against it how long it takes */

    struct str piece; /* http_reply.c's, to the end */
    size_t sent;
    bool last;
    struct http_own *own;
};
struct http_stream *http_stream_new(struct http_request *request);
void http_stream_free(struct http_stream *stream); /* one that was not handed over */
/* Takes the stream over. reply->body is not used. */
int http_reply_stream(struct http_request *request, const struct http_reply *reply,
                      struct http_stream *stream);
void http_stream_wake(struct http_stream *stream);

/* Calls the route's handler again after http_wake() of this watch. */
int http_wait_for(struct http_request *request, struct watch *watch);

/* ---- http_host.c ---- */
/* host: of the request; NULL: it has none. link: of [http]; NULL: none. */
bool http_host_is_known(struct arena *arena, const char *host, const char *link);

/* ---- handlers ---- */
int http_healthz(struct http_request *request);
int http_health_database(struct http_request *request);
int http_metrics(struct http_request *request);
int http_api_deployments(struct http_request *request);
int http_api_deployment(struct http_request *request);
int http_api_stacks(struct http_request *request);
int http_events(struct http_request *request);
int http_webhook(struct http_request *request);
/* http_page.c */
int http_page_stacks(struct http_request *request);
int http_page_stack(struct http_request *request);
int http_page_deployment(struct http_request *request);
int http_page_asset(struct http_request *request);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP requests; the only user of curl.h (https://curl.se/libcurl/c/). No redirect is followed, no proxy,
 * netrc or other environment is used, bodies are capped, and link-local addresses (where clouds keep their
 * metadata services) are never connected to. An HTTP status is a result, not an error: errors are what kept
 * us from one.
 *
 *     struct http *http;
 *     http_open(&http, err)
 *     http_send(http, &(struct http_request){.url = "http://…", .timeout_us = 5 * US_PER_S}, &response, err)
 *     http_response_release(&response);
 *     http_close(http);
 *
 * A request other than GET and HEAD always has a fresh connection: on a kept one that the server closed
 * meanwhile, libcurl would send it a second time behind our back.
 *
 * Errors: ERR_UNAVAILABLE (name, connection, cut), ERR_TIMEOUT (deadline, stall), ERR_REFUSED (the server's
 * certificate), ERR_INVALID (URL, too large an answer), ERR_CANCELLED. No text holds the URL's path, query or
 * user: they may be secrets.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/str.h"

struct http; /* a handle that keeps connections; one per thread of work */

struct http_request {
    const char *method; /* NULL: GET */
    const char *url;
    const char *unix_socket;    /* NULL: TCP */
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    const void *body;
    size_t body_len;
    const char *username, *password; /* Basic, sent at once; NULL: none */
    const char *ca_file;             /* NULL: the system's */
    int64_t timeout_us;              /* whole request */
    int64_t connect_timeout_us;      /* 0: a third of timeout_us */
    int64_t stall_us;                /* no byte for so long: ERR_TIMEOUT; 0: none */
    size_t max_body;                 /* more: ERR_INVALID; with on_data 0: no limit */
    bool cut_body;                   /* the body ends at max_body instead; the rest is not fetched */
    bool good_head_is_all;           /* an answer of 2xx is one, whatever becomes of its body */
    bool loopback_by_name; /* this host is reached only when the URL says so: localhost, 127.0.0.1 */
    bool stoppable;        /* proc_stop_requested() ends it with ERR_CANCELLED */
    /* streams the body of a 2xx answer instead of collecting it when set (other bodies are collected, capped
       by max_body or 64 KiB); returning -1 aborts with ERR_CANCELLED */
    int (*on_data)(void *userdata, const char *data, size_t len);
    void *userdata;
};

struct http_response {
    long status;
    struct str body;
    char content_type[128];
    char location[512];
    char api_version[32];  /* Docker's Api-Version header */
    int64_t retry_after_s; /* Retry-After in seconds, at most a day (a date there is not read); 0: none */
    int64_t total_us;
};

/* Costs nothing: libcurl is started by the first http_send(). */
int http_open(struct http **ret, struct error *err) MUST_CHECK;
void http_close(struct http *http);
/* *ret may be zeroed or hold an earlier response, which is released. */
int http_send(struct http *http, const struct http_request *request, struct http_response *ret,
              struct error *err) MUST_CHECK;
void http_response_release(struct http_response *response);

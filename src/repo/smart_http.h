/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Git's smart HTTP (gitprotocol-http(5)) over src/net: used by repo_tip() directly, and by libgit2 through
 * remote_http_transport() instead of its own HTTP client. So there is one TLS stack, one trust store, one
 * place that sends a password, and every request has a deadline; libgit2 1.5.1 has none and by default
 * shows its password to the host a redirect names.
 *
 * The user name and token go to the configured address only, with each request; no redirect is followed.
 */

#include <git2.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/error.h"
#include "net/http.h"
#include "repo/credentials.h"
#include "repo/url.h"

struct smart_http {
    struct arena arena;
    const struct stack_config *stack;
    const struct repo_url *url;
    struct http_credentials credentials;
    struct http *http;
    int64_t deadline_us; /* monotonic */
};

struct smart_http_call {
    const char *body; /* NULL: GET info/refs; else POST git-upload-pack */
    size_t len;
    bool version2;    /* ask for, or speak, version 2 of the protocol */
    int64_t grace_us; /* beyond the deadline: on_data sees to it that enough comes */
    size_t max;       /* bytes of the answer; 0 with on_data: it counts itself */
    int (*on_data)(void *userdata, const char *data, size_t len); /* NULL: the answer is collected */
    void *userdata;
};

/* `stack` and `url` must outlive it. Reads token_file. */
int smart_http_open(const struct stack_config *stack, const struct repo_url *url, int64_t deadline_us,
                    struct smart_http *ret, struct error *err) MUST_CHECK;
void smart_http_close(struct smart_http *http);

/*
 * One request. Anything but 200 with Git's content type is an error: 401, 403, a redirect ERR_REFUSED,
 * 404 and 410 ERR_NOT_FOUND, 429 and 5xx ERR_UNAVAILABLE, the rest ERR_INVALID.
 */
int smart_http_send(struct smart_http *http, const struct smart_http_call *call, struct http_response *ret,
                    struct error *err) MUST_CHECK;

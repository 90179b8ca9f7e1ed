/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/smart_http.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define CONNECT_US (10 * US_PER_S)
#define STALL_US   (30 * US_PER_S)

int smart_http_open(const struct stack_config *stack, const struct repo_url *url, int64_t deadline_us,
                    struct smart_http *ret, struct error *err)
{
    struct smart_http http = {.stack = stack, .url = url, .deadline_us = deadline_us};
    if (credentials_http(&http.arena, stack, url, &http.credentials, err) < 0 ||
        http_open(&http.http, err) < 0) {
        arena_release(&http.arena);
        return -1;
    }
    *ret = http;
    return 0;
}

void smart_http_close(struct smart_http *http)
{
    if (http->http)
        http_close(http->http);
    arena_release(&http->arena);
    *http = (struct smart_http){0};
}

/* What a Location header points to, without user information: a host, or a path of the same one. */
static char *redirect_target(struct arena *arena, const char *location)
{
    const char *host = strstr(location, "://");
    if (!host)
        return str_clean(arena, location, strlen(location), true, 200);
    host += 3;
    size_t n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n);
    if (at) {
        n -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    return str_clean(arena, host, n, true, 200);
}

static int unauthorized(const struct smart_http *http, struct error *err)
{
    if (!http->credentials.password)
        return error_set(
            err, ERR_REFUSED, 401,
            "the server asks for a user name and password (401), and answers so for a private or "
            "missing repository, too: check the address, or set token_file to a file with an "
            "access token that may read it");
    return error_set(err, ERR_REFUSED, 401,
                     "the server refuses user %s with the token in %s (401): has it expired, and may it read "
                     "this repository?",
                     http->credentials.username, http->stack->token_file);
}

static int check_status(const struct smart_http *http, const struct http_response *response,
                        struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int status = (int)response->status;

    if (status == 200)
        return 0;
    if (status == 401)
        return unauthorized(http, err);
    if (status == 403)
        return error_set(err, ERR_REFUSED, status,
                         "the server forbids it (403): may this user or token read the repository?");
    if (status == 404 || status == 410)
        return error_set(err, ERR_NOT_FOUND, status, "no such repository (%d), or a private one and %s",
                         status,
                         http->credentials.password ? "the token may not see it" : "token_file is not set");
    if (status >= 300 && status < 400)
        return error_set(err, ERR_REFUSED, status,
                         "the server redirects to %s (%d); redirects are not followed: if that is right, "
                         "configure the new address",
                         redirect_target(&arena, response->location), status);
    if (status == 429 || status >= 500)
        return error_set(err, ERR_UNAVAILABLE, status, "the server has trouble (%d)", status);
    return error_set(err, ERR_INVALID, status, "the server answers with status %d", status);
}

/* The type before a parameter: "application/x-git-…-result; charset=utf-8" */
static bool has_type(const struct http_response *response, const char *type)
{
    size_t n = strcspn(response->content_type, "; ");
    return n == strlen(type) && strncasecmp(response->content_type, type, n) == 0;
}

int smart_http_send(struct smart_http *http, const struct smart_http_call *call, struct http_response *ret,
                    struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *headers[8] = {"User-Agent: git/2.0 (deploy-agent " VERSION ")", "Pragma: no-cache"};
    size_t n = 2;
    const char *type = "application/x-git-upload-pack-advertisement";
    if (call->version2)
        headers[n++] = "Git-Protocol: version=2";
    if (call->body) {
        type = "application/x-git-upload-pack-result";
        headers[n++] = "Content-Type: application/x-git-upload-pack-request";
        headers[n++] = "Accept: application/x-git-upload-pack-result";
    }

    int64_t left_us = http->deadline_us - mono_us();
    if (left_us <= 0)
        return error_set(err, ERR_TIMEOUT, 0, "the deadline passed");
    size_t base = strlen(http->url->text);
    while (http->url->text[base - 1] == '/')
        base--;
    struct http_request request = {
        .method = call->body ? "POST" : "GET",
        .url = arena_printf(&arena, "%.*s/%s", (int)base, http->url->text,
                            call->body ? "git-upload-pack" : "info/refs?service=git-upload-pack"),
        .headers = headers,
        .body = call->body,
        .body_len = call->len,
        .username = http->credentials.username,
        .password = http->credentials.password,
        .ca_file = http->stack->ca_file,
        .timeout_us = left_us + call->grace_us,
        .connect_timeout_us = left_us < CONNECT_US ? left_us : CONNECT_US,
        .stall_us = STALL_US,
        .max_body = call->max,
        .stoppable = true,
        .on_data = call->on_data,
        .userdata = call->userdata,
    };
    struct http_response response = {0};
    if (http_send(http->http, &request, &response, err) < 0)
        return -1;
    int r = check_status(http, &response, err);
    if (r == 0 && !has_type(&response, type))
        r = error_set(err, ERR_INVALID, 0,
                      "the server does not answer as Git does (content type \"%s\"): is the address a "
                      "repository's? Only smart HTTP is supported",
                      str_clean(&arena, response.content_type, strlen(response.content_type), true, 100));
    if (r < 0) {
        http_response_release(&response);
        return -1;
    }
    *ret = response;
    return 0;
}

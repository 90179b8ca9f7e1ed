/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agentd/http.h"
#include "agentd/http_server.h"
#include "agentd/manager.h"

/* ---- what was asked ---- */

const char *http_query(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->own->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->own->connection, MHD_HEADER_KIND, name);
}

/* ---- waiting ---- */

void http_suspend(struct http_own *own)
{
    own->suspended = true;
    MHD_suspend_connection(own->connection);
}

static bool let_go_on(struct http_own *own)
{
    if (!own->suspended)
        return false;
    own->suspended = false;
    own->waits_for = NULL;
    MHD_resume_connection(own->connection);
    return true;
}

void http_resume(struct http_own *own)
{
    if (let_go_on(own))
        http_serve_soon(own->http);
}

int http_wait_for(struct http_request *request, struct watch *watch)
{
    request->own->waits_for = watch;
    http_suspend(request->own);
    return 0;
}

void http_wake(struct watch *watch)
{
    struct http *http = watch->manager->http;
    for (struct http_own *r = http ? http->requests : NULL; r; r = r->next)
        if (r->waits_for == watch)
            http_resume(r);
}

/* For the end: the loop may be over, and nothing can be asked of it any more. */
void http_resume_all(struct http *http)
{
    for (struct http_own *r = http->requests; r; r = r->next)
        let_go_on(r);
}

/* ---- one request ---- */

static bool is_of_method(const struct http_route *route, const char *method)
{
    return str_eq(route->method, method) || (str_eq(route->method, "GET") && str_eq(method, "HEAD"));
}

static int refuse_method(struct http_request *request, const struct http_route *route)
{
    bool get = str_eq(route->method, "GET");
    static const char body[] = "{\"error\":\"this path knows another method\"}\n";
    return http_reply(request, &(struct http_reply){.status = HTTP_METHOD_NOT_ALLOWED,
                                                    .body = body,
                                                    .len = sizeof body - 1,
                                                    .allow = get ? "GET, HEAD" : route->method});
}

/* Headers are known, the body is not: 1 when it may come, else what http_reply() says. */
static int begin(struct http_own *own, const char *url, const char *method, const char *version)
{
    struct http_request *request = &own->request;
    struct http_body body;
    const char *words;
    unsigned refusal = http_check(own->connection, version, &body, &words);
    if (refusal)
        return http_error(request, refusal, words);
    request->path = arena_strdup(&request->arena, url);
    own->route = http_route_find(request->path, &request->word);
    if (!own->route)
        return http_error(request, HTTP_NOT_FOUND, "not found");
    if (!is_of_method(own->route, method))
        return refuse_method(request, own->route);
    if (own->route->tells && !http_host_is_known(&request->arena, http_header(request, "Host"),
                                                 request->manager->config.http_link))
        return http_error(
            request, HTTP_MISDIRECTED,
            "not known by this name: ask for the address, or for localhost, or set [http] link");
    if (!str_eq(method, "POST"))
        return body.any ? http_error(request, HTTP_TOO_LARGE, "a request has no body here") : 1;
    if (body.chunked)
        return http_error(request, HTTP_LENGTH_REQUIRED, "the body's length must be told");
    return body.length > HTTP_MAX_BODY ? http_error(request, HTTP_TOO_LARGE, "the body is too large") : 1;
}

/* The library calls it once with the headers, with each piece of the body, and at the end. */
static int advance(struct http_own *own, const char *url, const char *method, const char *version,
                   const char *upload, size_t *upload_size)
{
    struct http_request *request = &own->request;
    if (own->too_long)
        return http_error(request, HTTP_TARGET_TOO_LONG, "the request is too large");
    if (!own->seen) {
        own->seen = true;
        int r = begin(own, url, method, version);
        return r > 0 ? 0 : r;
    }
    if (*upload_size) {
        if (own->body.len + *upload_size > HTTP_MAX_BODY)
            return -1; /* more than it told */
        str_append_n(&own->body, upload, *upload_size);
        *upload_size = 0;
        return 0;
    }
    request->body = str_text(&own->body);
    request->body_len = own->body.len;
    return own->route->handle(request);
}

enum MHD_Result http_on_request(void *userdata, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **context)
{
    struct http_own *own = *context;
    (void)userdata;
    own->connection = connection;
    return advance(own, url, method, version, upload, upload_size) < 0 ? MHD_NO : MHD_YES;
}

/* The first that is seen of a request: its whole target. What is returned is its context from then on. */
void *http_on_request_line(void *userdata, const char *target, struct MHD_Connection *connection)
{
    struct http *http = userdata;
    struct http_own *own = calloc(1, sizeof *own);
    if (!own)
        abort();
    *own = (struct http_own){.request = {.manager = http->manager, .word = "", .own = own},
                             .http = http,
                             .next = http->requests,
                             .connection = connection,
                             .too_long = strlen(target) > HTTP_MAX_TARGET};
    http->requests = own;
    return own;
}

void http_on_completed(void *userdata, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode code)
{
    struct http *http = userdata;
    struct http_own *own = *context;
    (void)connection;
    (void)code;
    for (struct http_own **place = &http->requests; *place; place = &(*place)->next)
        if (*place == own) {
            *place = own->next;
            arena_release(&own->request.arena);
            str_release(&own->body);
            free(own);
            break;
        }
    *context = NULL;
}

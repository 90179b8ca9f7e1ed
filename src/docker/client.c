/* SPDX-License-Identifier: Apache-2.0 */
#include "docker/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define API_MIN_MINOR 41U /* Docker 20.10 */
#define API_MAX_MINOR 50U /* Docker 28.2: what the specs of src/stack are those of */

static char *copy(const char *text)
{
    char *s = strdup(text);
    if (!s)
        abort();
    return s;
}

int docker_open(const char *url, const char *auth_file, struct docker **ret, struct error *err)
{
    static const char scheme[] = "unix://";
    if (!str_starts(url, scheme) || url[strlen(scheme)] != '/')
        return error_set(err, ERR_INVALID, 0, "%s: the engine's address has to be unix:///path/of/socket",
                         url);
    struct docker *docker = calloc(1, sizeof *docker);
    if (!docker)
        abort();
    docker->socket = copy(url + strlen(scheme));
    docker->auth_file = auth_file ? copy(auth_file) : NULL;
    if (http_open(&docker->http, err) < 0) {
        docker_close(docker);
        return -1;
    }
    *ret = docker;
    return 0;
}

void docker_close(struct docker *docker)
{
    if (!docker)
        return;
    http_close(docker->http);
    registry_auth_free(docker->auth);
    free(docker->socket);
    free(docker->auth_file);
    free(docker);
}

void docker_set_guard(struct docker *docker, int (*guard)(void *userdata, struct error *err), void *userdata)
{
    docker->guard = guard;
    docker->guard_userdata = userdata;
}

void docker_set_limit(struct docker *docker, int64_t limit_us)
{
    docker->limit_us = limit_us;
}

const char *docker_api_version(const struct docker *docker)
{
    return docker->version[0] ? docker->version : NULL;
}

bool docker_api_at_least(const struct docker *docker, unsigned minor)
{
    unsigned ours = 0;
    return sscanf(docker->version, "1.%u", &ours) == 1 && ours >= minor;
}

int docker_negotiate(struct docker *docker, struct error *err)
{
    if (docker->negotiated)
        return 0;
    const struct endpoint_info *ping = &endpoints[EP_PING];
    struct http_request request = {.method = ping->method,
                                   .url = "http://docker/_ping",
                                   .unix_socket = docker->socket,
                                   .timeout_us = ping->timeout_us,
                                   .max_body = ping->max_body};
    struct http_response response = {0};
    if (http_send(docker->http, &request, &response, err) < 0)
        return error_wrap(err, "%s", ping->doing);
    long status = response.status;
    unsigned major = 0, minor = 0;
    int fields = sscanf(response.api_version, "%u.%u", &major, &minor);
    http_response_release(&response);
    if (fields != 2 && status >= 400)
        return error_set(err, engine_error_kind(status, ""), (int)status, "%s: %s: HTTP status %ld",
                         ping->doing, docker->socket, status);
    if (fields != 2)
        return error_set(err, ERR_INVALID, 0, "%s: no Docker engine answers there", docker->socket);
    if (major == 1 && minor < API_MIN_MINOR)
        return error_set(err, ERR_INVALID, 0,
                         "the engine at %s speaks API 1.%u; at least 1.%u is needed (Docker 20.10)",
                         docker->socket, minor, API_MIN_MINOR);
    if (major != 1 || minor > API_MAX_MINOR)
        minor = API_MAX_MINOR;
    snprintf(docker->version, sizeof docker->version, "1.%u", minor);
    docker->negotiated = true;
    return 0;
}

/* "/v1.41/services/web/update?version=7" */
static int make_url(const struct docker *docker, const struct call *call, struct str *ret, struct error *err)
{
    const struct endpoint_info *info = &endpoints[call->endpoint];
    str_printf(ret, "http://docker/v%s", docker->version);
    const char *gap = strstr(info->path, "{}");
    if (!gap) {
        str_append(ret, info->path);
    } else {
        const char *object = call->object;
        /* An empty or dotted segment would be another endpoint. */
        if (!object || !object[0] || strcmp(object, ".") == 0 || strcmp(object, "..") == 0 ||
            strstr(object, "../") || object[0] == '/')
            return error_set(err, ERR_INVALID, 0, "%s \"%s\": no such name can exist", info->doing,
                             object ? object : "");
        str_append_n(ret, info->path, (size_t)(gap - info->path));
        percent_encode(ret, object, info->flags & EPF_NAME ? "/:@" : "");
        str_append(ret, gap + 2);
    }
    if (call->query.len)
        str_printf(ret, "?%s", call->query.data);
    return 0;
}

/* "reading service web" */
static const char *describe(struct arena *arena, const struct call *call)
{
    const struct endpoint_info *info = &endpoints[call->endpoint];
    const char *what = call->about ? call->about : call->object;
    if (!what)
        return info->doing;
    return arena_printf(arena, "%s %s", info->doing, str_clean(arena, what, strlen(what), true, 300));
}

static int answer_error(const struct call *call, const struct http_response *response, struct error *err)
{
    const struct endpoint_info *info = &endpoints[call->endpoint];
    cleanup_arena struct arena arena = {0};
    const char *text = engine_error_text(&arena, response->status, response->body.data, response->body.len);
    enum error_kind kind = info->flags & EPF_REGISTRY ? registry_error_kind(response->status, text)
                                                      : engine_error_kind(response->status, text);
    return error_set(err, kind, (int)response->status, "%s: %s", describe(&arena, call), text);
}

/* As if the connection had been refused, broken, or had led to nobody. */
static int inject(struct docker *docker, const struct call *call, const char *when, struct error *err)
{
    const struct endpoint_info *info = &endpoints[call->endpoint];
    int code = fault_errnof("engine %s %s%s", info->method, info->path, when);
    if (code == 0)
        return 0;
    cleanup_arena struct arena arena = {0};
    docker->negotiated = false;
    return error_set(err, code == ETIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, code, "%s: %s: %s",
                     describe(&arena, call), docker->socket, strerror(code));
}

/* Its answer is lost on the way: what the engine has done stays done. */
static int inject_lost(struct docker *docker, const struct call *call, const struct http_response *response,
                       struct error *err)
{
    bool effect = endpoints[call->endpoint].flags & EPF_EFFECT;
    return effect && response->status < 300 ? inject(docker, call, " lost", err) : 0;
}

/* What has to be known before a request can go. */
struct address {
    struct str url, auth; /* auth: empty, or a line of the head */
};

static int make_address(struct docker *docker, const struct call *call, struct address *ret,
                        struct error *err)
{
    if (make_url(docker, call, &ret->url, err) < 0)
        return -1;
    return call->image ? docker_auth_header(docker, call->image, &ret->auth, err) : 0;
}

static int send_request(struct docker *docker, const struct call *call, const struct address *to,
                        struct http_response *ret, struct error *err)
{
    const struct endpoint_info *info = &endpoints[call->endpoint];
    const char *headers[3] = {0};
    size_t n = 0;
    if (call->body)
        headers[n++] =
            call->body_is_tar ? "Content-Type: application/x-tar" : "Content-Type: application/json";
    if (to->auth.len > 0)
        headers[n++] = to->auth.data;
    int64_t timeout_us = call->timeout_us ? call->timeout_us : info->timeout_us;
    if (docker->limit_us && docker->limit_us < timeout_us)
        timeout_us = docker->limit_us;
    struct http_request request = {.method = info->method,
                                   .url = to->url.data,
                                   .unix_socket = docker->socket,
                                   .headers = headers,
                                   .body = call->body,
                                   .body_len = call->body_len,
                                   .timeout_us = timeout_us,
                                   .connect_timeout_us = 5 * US_PER_S,
                                   .stall_us = call->stall_us,
                                   .max_body = info->max_body,
                                   .stoppable = call->on_data != NULL,
                                   .on_data = call->on_data,
                                   .userdata = call->userdata};
    if (http_send(docker->http, &request, ret, err) < 0) {
        if (err->kind == ERR_UNAVAILABLE)
            docker->negotiated = false;
        cleanup_arena struct arena arena = {0};
        return error_wrap(err, "%s", describe(&arena, call));
    }
    return 0;
}

int docker_send(struct docker *docker, struct call *call, struct str *ret_body, struct error *err)
{
    struct http_response response = {0};
    struct address to = {0};
    bool guarded = docker->guard && (endpoints[call->endpoint].flags & EPF_EFFECT);
    int r = docker_negotiate(docker, err);
    if (r == 0)
        r = make_address(docker, call, &to, err);
    /* last of all: as little as can be lies between the answer and the request. A credential helper took its
     * time before */
    if (r == 0 && guarded)
        r = docker->guard(docker->guard_userdata, err);
    if (r == 0)
        r = inject(docker, call, "", err);
    if (r == 0)
        r = send_request(docker, call, &to, &response, err);
    if (r == 0)
        r = inject_lost(docker, call, &response, err);
    if (r == 0 && (response.status < 200 || response.status > 299))
        r = answer_error(call, &response, err);
    if (r == 0 && ret_body)
        *ret_body = TAKE(response.body);
    http_response_release(&response);
    str_release(&to.url);
    str_release(&to.auth);
    str_release(&call->query);
    return r;
}

int docker_send_json(struct docker *docker, struct call *call, json_type type, json_t **ret,
                     struct error *err)
{
    cleanup_str struct str body = {0};
    if (docker_send(docker, call, &body, err) < 0)
        return -1;
    cleanup_arena struct arena arena = {0};
    if (body.len == 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "%s: the engine's answer is empty", describe(&arena, call));
    cleanup_json json_t *value = engine_json_decode(body.data, body.len, err);
    if (!value)
        return error_wrap(err, "%s", describe(&arena, call));
    if (type == JSON_ARRAY && json_is_null(value)) { /* Go's nil slice */
        *ret = json_array();
        return 0;
    }
    if (json_typeof(value) != type)
        return error_set(err, ERR_UNAVAILABLE, 0, "%s: the engine's answer is not %s", describe(&arena, call),
                         type == JSON_ARRAY ? "a list" : "an object");
    *ret = TAKE(value);
    return 0;
}

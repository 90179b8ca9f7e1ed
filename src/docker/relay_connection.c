/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection through the relay: an exec of `/relay HOST PORT` in its container, whose upgraded stream is
 * joined to the client's socket. https://docs.docker.com/engine/api/v1.41/#operation/ContainerExec; the
 * upgrade is that of #operation/ContainerAttach. Written by hand because libcurl does not do it. Nothing here
 * blocks but connect(), which on a unix socket waits for nobody but a full queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "docker/client.h"
#include "docker/relay_internal.h"
#include "docker/stream.h"

#define OPENING_US (15 * US_PER_S)
#define HEAD_MAX   ((size_t)16 << 10)
#define PIECE      ((size_t)32 << 10)
#define CONNECTED  6 /* relay/relay.c's first byte */

enum state {
    CREATING, /* POST /containers/ID/exec, answered by the exec's ID */
    STARTING, /* POST /exec/ID/start, answered by 101 */
    OPENING,  /* the program connects */
    JOINED,
};

struct piece {
    size_t start, end;
    char data[PIECE];
};

struct connection {
    struct relay_order order;
    enum state state;
    int client, engine;
    int64_t deadline_us;
    struct str request; /* to the engine; sent so far: */
    size_t sent;
    struct str answer; /* HTTP head, and a body when it is short */
    struct demux demux;
    struct str words;      /* stderr of the program, or what came instead of CONNECTED */
    struct piece up, down; /* client → engine, engine → client */
    bool up_ended, down_ended, up_closed;
    struct relay_failure failure;
    bool told; /* that it is open */
};

static void fail(struct connection *c, const char *text)
{
    if (c->failure.text[0])
        return;
    struct arena arena = {0};
    size_t len = strlen(text);
    while (len > 0 && strchr("\r\n ", text[len - 1]))
        len--;
    snprintf(c->failure.text, sizeof c->failure.text, "%s",
             str_clean(&arena, text, len, true, sizeof c->failure.text - 1));
    arena_release(&arena);
}

static void fail_errno(struct connection *c, const char *what)
{
    char text[200];
    snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
    fail(c, text);
}

static int connect_engine(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct timeval limit = {.tv_sec = 2}; /* connect() waits for room in the queue of a stuck engine */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Both requests, from the endpoint table; `extra` are header lines. */
static void make_request(struct connection *c, enum endpoint endpoint, const char *object, const char *http,
                         const char *extra, json_t *body)
{
    const struct endpoint_info *info = &endpoints[endpoint];
    const char *gap = strstr(info->path, "{}");
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (!text || !gap)
        abort();
    str_clear(&c->request);
    str_printf(&c->request, "%s /v%s", info->method, c->order.api_version);
    str_append_n(&c->request, info->path, (size_t)(gap - info->path));
    percent_encode(&c->request, object, "");
    str_printf(&c->request,
               "%s HTTP/%s\r\nHost: docker\r\nUser-Agent: deploy-agent/" VERSION
               "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s",
               gap + 2, http, strlen(text), extra, text);
    free(text);
    c->sent = 0;
    str_clear(&c->answer);
}

static bool start_creating(struct connection *c)
{
    c->state = CREATING;
    c->engine = connect_engine(c->order.engine);
    if (c->engine < 0) {
        fail_errno(c, "the engine does not answer");
        return false;
    }
    /* HTTP/1.0: the answer is not chunked and ends with the connection */
    make_request(c, EP_EXEC_CREATE, c->order.container, "1.0", "",
                 json_pack("{s:b, s:b, s:b, s:b, s:[s, s, s]}", "AttachStdin", 1, "AttachStdout", 1,
                           "AttachStderr", 1, "Tty", 0, "Cmd", RELAY_PROGRAM, c->order.host, c->order.port));
    return true;
}

static bool start_starting(struct connection *c, const char *exec_id)
{
    close(c->engine);
    c->state = STARTING;
    c->engine = connect_engine(c->order.engine);
    if (c->engine < 0) {
        fail_errno(c, "the engine does not answer");
        return false;
    }
    make_request(c, EP_EXEC_START, exec_id, "1.1", "Connection: Upgrade\r\nUpgrade: tcp\r\n",
                 json_pack("{s:b, s:b}", "Detach", 0, "Tty", 0));
    return true;
}

static int on_output(void *userdata, unsigned stream, bool starts, const char *data, size_t len)
{
    (void)starts;
    struct connection *c = userdata;
    if (c->state == OPENING && stream == STREAM_STDOUT && len > 0 && c->words.len == 0 &&
        data[0] == CONNECTED) {
        c->state = JOINED;
        data++;
        len--;
    }
    if (stream == STREAM_STDOUT && c->state == JOINED) {
        /* `down` was empty when as many bytes as it holds were read, and frames only shrink */
        memcpy(c->down.data + c->down.end, data, len);
        c->down.end += len;
    } else if (c->words.len < sizeof c->failure.text) {
        str_append_n(&c->words, data, len);
    }
    return 0;
}

/* Bytes of the exec's stream. */
static bool take_stream(struct connection *c, const char *data, size_t len)
{
    if (demux_feed(&c->demux, data, len) == 0)
        return true;
    fail(c, "the engine's stream makes no sense");
    return false;
}

/* "HTTP/1.1 101 UPGRADED" → 101; 0: not HTTP */
static long status_of(const struct str *answer)
{
    int status = 0;
    return sscanf(str_text(answer), "HTTP/1.%*1d %3d", &status) == 1 ? status : 0;
}

static void fail_with_answer(struct connection *c, const char *body)
{
    struct arena arena = {0};
    long status = status_of(&c->answer);
    c->failure.relay_gone = status == 404 || status == 409; /* no such container; it is not running */
    fail(c, status == 0 ? "the engine closed the connection"
                        : engine_error_text(&arena, status, body, body ? strlen(body) : 0));
    arena_release(&arena);
}

static const char *body_of(const struct str *answer)
{
    char *end = answer->len ? memmem(answer->data, answer->len, "\r\n\r\n", 4) : NULL;
    return end ? end + 4 : NULL;
}

/* The whole answer to CREATING is there. */
static bool finish_creating(struct connection *c)
{
    const char *body = body_of(&c->answer);
    long status = status_of(&c->answer);
    json_t *value = body && status == 201 ? json_loads(body, 0, NULL) : NULL;
    const char *id = json_string_value(json_object_get(value, "Id"));
    bool ok = id && id[0] && strlen(id) <= 128;
    if (ok)
        ok = start_starting(c, id);
    else
        fail_with_answer(c, body);
    json_decref(value);
    return ok;
}

/* The head of the answer to STARTING may be there, with the first bytes of the stream behind it. */
static bool look_at_start(struct connection *c)
{
    const char *body = body_of(&c->answer);
    long status = status_of(&c->answer);
    if (!body || status != 101)
        return true; /* more to come, or an error whose body ends with the connection, see below */
    c->state = OPENING;
    c->demux = (struct demux){.fn = on_output, .userdata = c};
    return take_stream(c, body, c->answer.len - (size_t)(body - c->answer.data));
}

static bool engine_ended(struct connection *c)
{
    switch (c->state) {
    case CREATING:
        return finish_creating(c);
    case STARTING:
        fail_with_answer(c, body_of(&c->answer));
        return false;
    case OPENING:
        fail(c, c->words.len ? c->words.data : "the relay's program ended without a word");
        return false;
    default:
        c->down_ended = true;
        return true;
    }
}

static bool read_engine(struct connection *c)
{
    char data[PIECE];
    ssize_t n = recv(c->engine, data, sizeof data, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return engine_ended(c);
    if (c->state >= OPENING)
        return take_stream(c, data, (size_t)n);
    str_append_n(&c->answer, data, (size_t)n);
    if (c->answer.len > HEAD_MAX) {
        fail(c, "the engine's answer is too long");
        return false;
    }
    /* an error keeps an upgraded-to-be connection open: its head is enough to know, its body came with it */
    if (c->state == STARTING && body_of(&c->answer) && status_of(&c->answer) != 101)
        return engine_ended(c);
    return c->state == STARTING ? look_at_start(c) : true;
}

/* Sends what a piece holds; false: the receiver is gone. */
static bool flush(int fd, const char *data, size_t *start, size_t end)
{
    if (*start == end)
        return true;
    ssize_t n = send(fd, data + *start, end - *start, MSG_NOSIGNAL);
    if (n > 0)
        *start += (size_t)n;
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static bool move_up(struct connection *c, short client_events)
{
    if (c->up.start == c->up.end && !c->up_ended && client_events) {
        ssize_t n = recv(c->client, c->up.data, sizeof c->up.data, 0);
        c->up.start = 0;
        c->up.end = n > 0 ? (size_t)n : 0;
        c->up_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    if (!flush(c->engine, c->up.data, &c->up.start, c->up.end))
        c->up.start = c->up.end; /* the program ended; what it said is still to be read */
    if (c->up_ended && !c->up_closed && c->up.start == c->up.end) {
        shutdown(c->engine, SHUT_WR);
        c->up_closed = true;
    }
    /* both ways closed by the client: nobody is left to answer */
    return !(c->up_closed && (client_events & (POLLHUP | POLLERR)));
}

static bool move_down(struct connection *c, short engine_events)
{
    if (c->down.start == c->down.end) {
        c->down.start = c->down.end = 0;
        if (!c->down_ended && (engine_events & (POLLIN | POLLHUP | POLLERR)) && !read_engine(c))
            return false;
    }
    if (!flush(c->client, c->down.data, &c->down.start, c->down.end))
        return false;
    return !(c->down_ended && c->down.start == c->down.end);
}

void connection_poll(const struct connection *c, struct pollfd fds[2])
{
    bool request_waits = c->sent < c->request.len;
    bool up_waits = c->up.start < c->up.end, down_waits = c->down.start < c->down.end;
    short client = 0, engine = 0;
    if (c->state == JOINED && !c->up_ended && !up_waits)
        client |= POLLIN;
    if (down_waits)
        client |= POLLOUT;
    if (request_waits || up_waits)
        engine |= POLLOUT;
    if (!c->down_ended && !down_waits)
        engine |= POLLIN;
    fds[0] = (struct pollfd){.fd = c->client, .events = client};
    fds[1] = (struct pollfd){.fd = engine ? c->engine : -1, .events = engine};
}

bool connection_move(struct connection *c, const struct pollfd fds[2])
{
    if (c->state != JOINED) {
        if (fds[0].revents & (POLLHUP | POLLERR)) {
            fail(c, "given up by the client before the connection was open");
            return false;
        }
        if (fds[1].revents & POLLOUT && !flush(c->engine, c->request.data, &c->sent, c->request.len)) {
            fail_errno(c, "the engine closed the connection");
            return false;
        }
    }
    if (!move_down(c, fds[1].revents))
        return false;
    return c->state != JOINED || move_up(c, fds[0].revents);
}

struct connection *connection_open(const struct relay_order *order, int client, struct relay_failure *ret)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->order = *order;
    c->failure.number = order->number;
    c->client = client;
    c->deadline_us = mono_us() + OPENING_US;
    if (start_creating(c))
        return c;
    *ret = c->failure;
    connection_close(c);
    return NULL;
}

void connection_close(struct connection *c)
{
    if (c->engine >= 0)
        close(c->engine);
    close(c->client);
    str_release(&c->request);
    str_release(&c->answer);
    str_release(&c->words);
    free(c);
}

int64_t connection_deadline_us(const struct connection *c)
{
    return c->state == JOINED ? INT64_MAX : c->deadline_us;
}

bool connection_opened(struct connection *c, struct relay_failure *ret)
{
    if (c->state != JOINED || c->told)
        return false;
    c->told = true;
    *ret = (struct relay_failure){.number = c->order.number, .opened = true};
    return true;
}

bool connection_failure(const struct connection *c, struct relay_failure *ret)
{
    if (c->state == JOINED)
        return false;
    *ret = c->failure;
    if (!ret->text[0])
        snprintf(ret->text, sizeof ret->text, "the engine or the relay's program took too long");
    return true;
}

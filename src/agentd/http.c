/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/log.h"
#include "agentd/http_server.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

enum {
    MAX_CONNECTIONS = 64,
    /* of one connection, for line and headers together; what does not fit is refused by the library */
    MEMORY = 64 * 1024,
    SILENCE_S = 5,
};
static const int64_t whole_us = 10 * US_PER_S;
static const int64_t sweep_us = US_PER_S;
static const int64_t retry_us = 10 * US_PER_S;

struct http_peer { /* a connection */
    struct http *http;
    struct http_peer *next;
    int fd;
    int64_t since_us;
    bool ended;   /* its time was up */
    bool endless; /* it has none */
};

/* ---- the loop ---- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/*
 * All that can be done now; then the library says when it wants to be called without an event. What it does
 * not say: with all connections in use it stops listening, and begins again only when it is called after one
 * has closed.
 */
static void serve(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG ms;
    http->closed = false;
    MHD_run(http->daemon);
    bool more = MHD_get_timeout(http->daemon, &ms) == MHD_YES;
    if (http->closed || (more && ms == 0))
        http_serve_soon(http);
    else if (more)
        timer_set(http->manager->event, &http->timer, (int64_t)ms * 1000, on_timer, http);
    else
        timer_stop(http->timer);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    serve(userdata);
    return 0;
}

static int on_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source;
    (void)fd;
    (void)events;
    serve(userdata);
    return 0;
}

static int on_soon(sd_event_source *source, void *userdata)
{
    (void)source;
    serve(userdata);
    return 0;
}

/* Not by a timer of 0 ms: timers are as late as it suits the loop, a quarter of a second. */
void http_serve_soon(struct http *http)
{
    int r = http->soon ? sd_event_source_set_enabled(http->soon, SD_EVENT_ONESHOT)
                       : sd_event_add_defer(http->manager->event, &http->soon, on_soon, http);
    if (r < 0) /* as in timer_set() */
        abort();
}

void http_let_last(struct http_own *own)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(own->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_peer *peer = info->socket_context;
    peer->endless = true;
}

/* The library ends connections that are silent; those that trickle are ended here. */
static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct http *http = userdata;
    int64_t now = mono_us();
    (void)source;
    (void)usec;
    for (struct http_peer *p = http->peers; p; p = p->next)
        if (!p->ended && !p->endless && now - p->since_us > whole_us) {
            p->ended = true;
            shutdown(p->fd, SHUT_RDWR);
        }
    if (http->peers)
        timer_set(http->manager->event, &http->sweep, sweep_us, on_sweep, http);
    return 0;
}

static void on_connection(void *userdata, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = userdata;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct http_peer *p = calloc(1, sizeof *p);
        if (!p)
            abort();
        *p = (struct http_peer){
            .http = http, .next = http->peers, .fd = info->connect_fd, .since_us = mono_us()};
        if (!http->peers)
            timer_set(http->manager->event, &http->sweep, sweep_us, on_sweep, http);
        http->peers = *context = p;
        return;
    }
    http->closed = true;
    for (struct http_peer **place = &http->peers; *place; place = &(*place)->next)
        if (*place == *context) {
            *place = (*place)->next;
            free(*context);
            break;
        }
}

/* ---- opening ---- */

__attribute__((format(printf, 2, 0))) static void on_library_log(void *userdata, const char *format,
                                                                 va_list ap)
{
    cleanup_arena struct arena arena = {0};
    (void)userdata;
    const char *text = arena_vprintf(&arena, format, ap);
    log_debug("http: %s", str_clean(&arena, text, strlen(text), true, 400));
}

static int listen_on(const char *text, int *ret_fd, struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size;
    if (config_listen_address(text, &address, &size, err) < 0)
        return -1;
    cleanup_close int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)&address, size) < 0 || listen(fd, MAX_CONNECTIONS) < 0)
        return error_errno(err, "listening on %s", text);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int start(struct http *http, struct error *err)
{
    cleanup_close int fd = -1;
    if (listen_on(http->address, &fd, err) < 0)
        return -1;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_on_request, http,
        MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed,
        http, MHD_OPTION_URI_LOG_CALLBACK, http_on_request_line, http, MHD_OPTION_END);
    if (!http->daemon)
        return error_set(err, ERR_SYSTEM, 0, "listening on %s: libmicrohttpd does not start", http->address);
    (void)TAKE_FD(fd); /* the library's */
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int r = sd_event_add_io(http->manager->event, &http->io, info->epoll_fd, EPOLLIN, on_event, http);
    if (r >= 0)
        return 0;
    MHD_stop_daemon(TAKE(http->daemon));
    return error_set(err, ERR_SYSTEM, -r, "listening on %s: %s", http->address, strerror(-r));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct http *http = userdata;
    struct error err = {0};
    (void)source;
    (void)usec;
    if (start(http, &err) == 0) {
        log_notice("HTTP is served on %s", http->address);
        serve(http);
        return 0;
    }
    if (!http->said)
        log_error("HTTP is not served; deployments are not affected: %s. Free the address or choose another "
                  "with [http] listen, empty for none",
                  err.text);
    http->said = true;
    timer_set(http->manager->event, &http->retry, retry_us, on_retry, http);
    return 0;
}

void http_open(struct manager *manager)
{
    const char *address = manager->config.http_listen;
    if (manager->http && str_eq(manager->http->address, address))
        return;
    http_close(manager);
    if (!address)
        return;
    struct http *http = calloc(1, sizeof *http);
    if (!http)
        abort();
    http->manager = manager;
    set_text(&http->address, address);
    manager->http = http;
    on_retry(NULL, 0, http);
}

void http_close(struct manager *manager)
{
    struct http *http = manager->http;
    if (!http)
        return;
    http_resume_all(http);
    sd_event_source_disable_unref(http->io);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    sd_event_source_disable_unref(http->soon);
    sd_event_source_disable_unref(http->timer);
    sd_event_source_disable_unref(http->sweep);
    sd_event_source_disable_unref(http->retry);
    manager->http = NULL;
    free(http->address);
    free(http);
}

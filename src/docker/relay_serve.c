/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The splicing process behind a relay's sockets, the hidden verb `agent-worker relay-serve`: see
 * relay_internal.h. One thread, poll(2). It ends with its parent: by the death signal that proc_spawn() asked
 * for, and because the order channel closes.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/log.h"
#include "base/clock.h"
#include "docker/relay_internal.h"

#define CONNECTIONS_MAX 64

struct server {
    struct {
        int listener; /* -1: no order for this place */
        struct relay_order order;
    } * targets;
    size_t n_targets; /* places that orders came for, and those below them */
    struct connection *connections[CONNECTIONS_MAX];
    size_t n_connections;
    struct pollfd fds[1 + RELAY_TARGETS_MAX + 2 * CONNECTIONS_MAX];
};

/* The text of an order is not trusted to end. */
static void terminate_order(struct relay_order *order)
{
    order->engine[sizeof order->engine - 1] = '\0';
    order->api_version[sizeof order->api_version - 1] = '\0';
    order->container[sizeof order->container - 1] = '\0';
    order->host[sizeof order->host - 1] = '\0';
    order->port[sizeof order->port - 1] = '\0';
}

/* false: the parent is gone */
static bool take_order(struct server *server)
{
    struct relay_order order;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {.iov_base = &order, .iov_len = sizeof order};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(RELAY_ORDER_FD, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(sizeof(int)))
        return true;
    int listener;
    memcpy(&listener, CMSG_DATA(c), sizeof listener);
    if (n != sizeof order || order.place >= RELAY_TARGETS_MAX) {
        close(listener);
        return true;
    }
    terminate_order(&order);
    /* who waits at the old listener is turned away; what it has accepted goes on to where it was meant to */
    if (server->targets[order.place].listener >= 0)
        close(server->targets[order.place].listener);
    server->targets[order.place].listener = listener;
    server->targets[order.place].order = order;
    if (order.place >= server->n_targets)
        server->n_targets = order.place + 1;
    return true;
}

/* Never waits: a parent that does not read failures does not miss them. */
static void report(const struct relay_failure *failure)
{
    if (send(RELAY_ORDER_FD, failure, sizeof *failure, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("relay: %s (and nobody reads it)", failure->text);
}

static void accept_client(struct server *server, size_t target)
{
    int client = accept4(server->targets[target].listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0)
        return;
    struct relay_failure failure;
    struct connection *c = connection_open(&server->targets[target].order, client, &failure);
    if (c)
        server->connections[server->n_connections++] = c;
    else
        report(&failure);
}

static void drop(struct server *server, size_t i)
{
    struct connection *c = server->connections[i];
    struct relay_failure failure;
    if (connection_failure(c, &failure))
        report(&failure); /* before the client sees the end, so that it finds the reason */
    connection_close(c);
    server->connections[i] = server->connections[--server->n_connections];
}

/* Orders, then listeners, then two per connection. Returns how many. */
static nfds_t fill_poll(struct server *server, int *ret_timeout_ms)
{
    nfds_t n = 0;
    int64_t deadline_us = INT64_MAX;
    bool room = server->n_connections < CONNECTIONS_MAX;
    server->fds[n++] = (struct pollfd){.fd = RELAY_ORDER_FD, .events = POLLIN};
    for (size_t i = 0; i < server->n_targets; i++)
        server->fds[n++] = (struct pollfd){.fd = room ? server->targets[i].listener : -1, .events = POLLIN};
    for (size_t i = 0; i < server->n_connections; i++) {
        connection_poll(server->connections[i], &server->fds[n]);
        n += 2;
        int64_t own_us = connection_deadline_us(server->connections[i]);
        deadline_us = own_us < deadline_us ? own_us : deadline_us;
    }
    int64_t left_us = deadline_us - mono_us();
    *ret_timeout_ms = deadline_us == INT64_MAX ? -1 : left_us > 0 ? (int)(left_us / 1000) + 1 : 0;
    return n;
}

static bool serve_once(struct server *server)
{
    int timeout_ms;
    nfds_t n = fill_poll(server, &timeout_ms);
    if (poll(server->fds, n, timeout_ms) < 0)
        return errno == EINTR;

    size_t targets = server->n_targets; /* what `fds` was filled with */
    const struct pollfd *pairs = &server->fds[1 + targets];
    int64_t now_us = mono_us();
    for (size_t i = server->n_connections; i-- > 0;) { /* backwards: drop() moves the last one here */
        bool goes_on = true;
        if (pairs[2 * i].revents || pairs[2 * i + 1].revents)
            goes_on = connection_move(server->connections[i], &pairs[2 * i]);
        struct relay_failure opened;
        if (connection_opened(server->connections[i], &opened))
            report(&opened);
        if (!goes_on || connection_deadline_us(server->connections[i]) < now_us)
            drop(server, i);
    }
    for (size_t i = 0; i < targets && server->n_connections < CONNECTIONS_MAX; i++)
        if (server->fds[1 + i].revents)
            accept_client(server, i);
    return !server->fds[0].revents || take_order(server);
}

int relay_serve_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(RELAY_ORDER_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
        log_error("relay-serve is started by the agent itself");
        return 64;
    }
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        abort();
    server->targets = calloc(RELAY_TARGETS_MAX, sizeof *server->targets);
    if (!server->targets)
        abort();
    for (size_t i = 0; i < RELAY_TARGETS_MAX; i++)
        server->targets[i].listener = -1;
    while (serve_once(server))
        ;
    while (server->n_connections > 0)
        connection_close(server->connections[--server->n_connections]);
    free(server->targets);
    free(server);
    return 0;
}

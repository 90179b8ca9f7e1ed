/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "agent/log.h"
#include "agentd/manager.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum { MAX_CLIENTS = 32, MAX_CLIENTS_OF_USER = 4 };
static const int64_t request_timeout_us = 5 * US_PER_S;
static const int64_t reply_timeout_us = 5 * US_PER_S;
static const char socket_group[] = "deploy-agent";

struct control {
    struct manager *manager;
    int fd;
    int spare_fd; /* given up for a moment to turn callers away when there are no descriptors left */
    sd_event_source *source;
    struct client *clients;
};

/* ---- clients ---- */

static void client_free(struct client *client)
{
    for (struct client **place = &client->control->clients; *place; place = &(*place)->next)
        if (*place == client) {
            *place = client->next;
            break;
        }
    if (client->worker) {
        client->worker->userdata = NULL;
        worker_stop(client->worker, US_PER_S); /* nobody wants to know any more */
    }
    sd_event_source_disable_unref(client->source);
    sd_event_source_disable_unref(client->timer);
    close(client->fd);
    str_release(&client->in);
    str_release(&client->out);
    control_request_release(&client->request);
    free(client);
}

static int on_client_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct client *client = userdata;
    (void)source;
    (void)usec;
    if (client->replying)
        client_free(client);
    else
        control_reply_error(client, EXIT_FAILED, "the request did not come within %d s",
                            (int)(request_timeout_us / US_PER_S));
    return 0;
}

static void client_write(struct client *client)
{
    while (client->sent < client->out.len) {
        ssize_t n = send(client->fd, client->out.data + client->sent, client->out.len - client->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            sd_event_source_set_io_events(client->source, EPOLLOUT);
            return;
        }
        if (n < 0)
            break;
        client->sent += (size_t)n;
        timer_set(client->manager->event, &client->timer, reply_timeout_us, on_client_timeout, client);
    }
    /* closing while something of the caller's is unread would reset the connection before the reply was
     * fetched */
    client->draining = true;
    if (shutdown(client->fd, SHUT_WR) < 0)
        client_free(client);
    else
        sd_event_source_set_io_events(client->source, EPOLLIN);
}

static void client_drain(struct client *client)
{
    char buffer[4096];
    ssize_t n = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        client_free(client);
}

void control_reply(struct client *client, json_t *reply)
{
    if (!json_object_get(reply, "ok"))
        json_object_set_new(reply, "ok", json_true());
    if (!json_object_get(reply, "exit"))
        json_object_set_new(reply, "exit", json_integer(EXIT_GOOD));
    char *text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    if (!text)
        abort();
    client->replying = true;
    client->worker = NULL;
    client->sync = NULL;
    str_append(&client->out, text);
    str_append_char(&client->out, '\n');
    free(text);
    if (client->out.len > CONTROL_REPLY_MAX) {
        str_clear(&client->out);
        str_append(&client->out,
                   "{\"ok\":false,\"exit\":1,\"error\":\"the answer is larger than 16 MiB\"}\n");
    }
    /* written from the loop: whoever called us may still hold the client */
    timer_set(client->manager->event, &client->timer, reply_timeout_us, on_client_timeout, client);
    sd_event_source_set_io_events(client->source, EPOLLOUT);
}

void control_reply_error(struct client *client, int exit_code, const char *format, ...)
{
    cleanup_arena struct arena arena = {0};
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(&arena, format, ap);
    va_end(ap);
    text = str_clean(&arena, text, strlen(text), false, 0);
    json_t *reply = json_pack("{s:b, s:i, s:s}", "ok", 0, "exit", exit_code, "error", text);
    if (!reply)
        abort();
    control_reply(client, reply);
}

static void client_request(struct client *client, size_t len)
{
    struct error err = {0};
    timer_stop(client->timer);
    /* from here on only its leaving is of interest */
    sd_event_source_set_io_events(client->source, 0);
    if (client->in.len > len + 1)
        control_reply_error(client, EXIT_BAD_USAGE, "one request per connection");
    else if (control_request_parse(client->in.data, len, &client->request, &err) < 0)
        control_reply_error(client, EXIT_BAD_USAGE, "%s", err.text);
    else
        method_call(client);
}

static void client_read(struct client *client)
{
    char buffer[4096];
    ssize_t n = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0) {
        client_free(client);
        return;
    }
    if (n == 0) {
        if (client->in.len == 0)
            client_free(client);
        else
            control_reply_error(client, EXIT_BAD_USAGE, "the request ends without a newline");
        return;
    }
    size_t before = client->in.len;
    str_append_n(&client->in, buffer, (size_t)n);
    const char *newline = memchr(client->in.data + before, '\n', (size_t)n);
    if (newline)
        client_request(client, (size_t)(newline - client->in.data));
    else if (client->in.len > CONTROL_REQUEST_MAX)
        control_reply_error(client, EXIT_BAD_USAGE, "the request is longer than %d bytes",
                            CONTROL_REQUEST_MAX);
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct client *client = userdata;
    (void)source;
    (void)fd;
    if (client->draining)
        client_drain(client);
    else if (client->replying)
        client_write(client);
    else if (events & EPOLLIN)
        client_read(client);
    else if (events & (EPOLLHUP | EPOLLERR))
        client_free(client);
    return 0;
}

/* ---- accepting ---- */

static void turn_away(int fd, const char *why)
{
    /* a request left unread would reset the connection; a few bytes fit into the buffer of a new socket */
    char buffer[4096];
    if (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) < 0 && errno != EAGAIN)
        log_debug("a caller left: %s", strerror(errno));
    if (send(fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("turning a caller away: %s", strerror(errno));
    close(fd);
}

static const char *too_many(const struct control *control, uid_t uid)
{
    unsigned all = 0, of_user = 0;
    for (const struct client *c = control->clients; c; c = c->next) {
        all++;
        of_user += c->uid == uid;
    }
    if (all >= MAX_CLIENTS)
        return "{\"ok\":false,\"exit\":1,\"error\":\"agentd is busy: too many connections; try again\"}\n";
    if (of_user >= MAX_CLIENTS_OF_USER)
        return "{\"ok\":false,\"exit\":1,\"error\":\"you have too many connections to agentd; try again\"}\n";
    return NULL;
}

static void client_new(struct control *control, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        close(fd);
        return;
    }
    const char *why = too_many(control, peer.uid);
    if (why) {
        turn_away(fd, why);
        return;
    }
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        abort();
    *client = (struct client){.control = control,
                              .manager = control->manager,
                              .next = control->clients,
                              .fd = fd,
                              .uid = peer.uid,
                              .pid = peer.pid};
    control->clients = client;
    if (sd_event_add_io(control->manager->event, &client->source, fd, EPOLLIN, on_client, client) < 0) {
        client_free(client);
        return;
    }
    timer_set(control->manager->event, &client->timer, request_timeout_us, on_client_timeout, client);
}

static int on_connection(sd_event_source *source, int listen_fd, uint32_t events, void *userdata)
{
    struct control *control = userdata;
    (void)source;
    (void)events;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        client_new(control, fd);
    } else if ((errno == EMFILE || errno == ENFILE) && control->spare_fd >= 0) {
        close(control->spare_fd);
        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            turn_away(fd, "{\"ok\":false,\"exit\":1,\"error\":\"agentd has no file descriptors left\"}\n");
        control->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    return 0;
}

/* ---- opening ---- */

/* Does somebody answer there? Two agents with one run_dir would take each other's socket away. */
static int refuse_live_socket(const struct sockaddr_un *address, struct error *err)
{
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, "making a socket");
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
        return error_set(err, ERR_CONFLICT, 0, "another agentd answers on %s; give each its own run_dir",
                         address->sun_path);
    return 0;
}

static int bind_socket(int fd, const struct sockaddr_un *address, struct error *err)
{
    const char *path = address->sun_path;
    struct stat st;
    if (refuse_live_socket(address, err) < 0)
        return -1;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return error_set(err, ERR_INVALID, 0, "%s is in the way: it is no socket", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_errno(err, "removing the old socket %s", path);
    mode_t old = umask(0117); /* 0660 from its first moment on */
    int r = bind(fd, (const struct sockaddr *)address, sizeof *address);
    int saved = errno;
    umask(old);
    errno = saved;
    if (r < 0)
        return error_errno(err, "making the control socket %s", path);
    /* under the unit this is our own group already; root running agentd by hand gives it away */
    const struct group *group = getgrnam(socket_group);
    if (group && group->gr_gid != getegid() && chown(path, (uid_t)-1, group->gr_gid) < 0)
        log_warning("%s: the group %s cannot use it: %s", path, socket_group, strerror(errno));
    return listen(fd, 4 * MAX_CLIENTS) < 0 ? error_errno(err, "listening on %s", path) : 0;
}

int control_open(struct manager *manager, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = config_control_path(&arena, &manager->config);
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, ERR_INVALID, 0, "%s: too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path));
    struct control *control = calloc(1, sizeof *control);
    if (!control)
        abort();
    *control = (struct control){.manager = manager, .spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};
    manager->control = control;
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0)
        return error_errno(err, "making a socket");
    if (bind_socket(control->fd, &address, err) < 0) {
        close(TAKE_FD(control->fd));
        return -1;
    }
    int r = sd_event_add_io(manager->event, &control->source, control->fd, EPOLLIN, on_connection, control);
    return r < 0 ? error_set(err, ERR_SYSTEM, -r, "listening on %s: %s", path, strerror(-r)) : 0;
}

void control_close(struct manager *manager)
{
    cleanup_arena struct arena arena = {0};
    struct control *control = TAKE(manager->control);
    if (!control)
        return;
    while (control->clients) {
        struct client *client = control->clients;
        if (client->worker) /* dies with us; the loop is over, and no timer can be set that would watch its
                               end */
            TAKE(client->worker)->userdata = NULL;
        client_free(client);
    }
    sd_event_source_disable_unref(control->source);
    if (control->fd >= 0) {
        close(control->fd);
        unlink(config_control_path(&arena, &manager->config));
    }
    if (control->spare_fd >= 0)
        close(control->spare_fd);
    free(control);
}

/* ---- replies that had to wait for a poll ---- */

static void reply_to_sync(struct client *client, const struct watch *w, const struct poll_result *result)
{
    bool good = result->verdict == POLL_UNCHANGED || result->verdict == POLL_REQUESTED ||
                result->verdict == POLL_NOTHING;
    if (result->verdict == POLL_ERROR) {
        control_reply_error(client, EXIT_FAILED, "%s", result->message);
        return;
    }
    cleanup_arena struct arena arena = {0};
    const char *message = str_clean(&arena, result->message, strlen(result->message), false, 0);
    /* with --wait, what is being deployed already counts as well */
    int64_t deployment = result->verdict == POLL_HELD    ? 0
                         : result->deployment            ? result->deployment
                         : result->verdict != POLL_ALARM ? w->running
                                                         : 0;
    json_t *reply = json_pack("{s:i, s:s, s:s, s:I}", "exit", good ? EXIT_GOOD : EXIT_FAILED, "result",
                              poll_verdict_name(result->verdict), "message", message, "deployment",
                              (json_int_t)deployment);
    if (!reply)
        abort();
    if (result->verdict == POLL_HELD)
        json_object_set_new(reply, "held", json_integer(result->deployment));
    control_reply(client, reply);
}

void control_sync_done(struct watch *watch, const struct poll_result *result, const char *text)
{
    struct control *control = watch->manager->control;
    for (struct client *c = control ? control->clients : NULL; c; c = c->next) {
        if (c->sync != watch || (result && (int)(watch->syncs_started - c->sync_turn) < 0))
            continue;
        if (result)
            reply_to_sync(c, watch, result);
        else
            control_reply_error(c, EXIT_FAILED, "%s", text ? text : "the poll did not take place");
    }
}

void control_watch_gone(struct watch *watch)
{
    struct control *control = watch->manager->control;
    for (struct client *c = control ? control->clients : NULL; c; c = c->next)
        if (c->sync == watch)
            control_reply_error(c, EXIT_FAILED, "the stack's section was removed");
}

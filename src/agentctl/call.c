/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static int connect_to(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, ERR_INVALID, 0, "%s: too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* connect() to a listener with a full queue would wait for ever */
    struct timeval patience = {.tv_sec = 5};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
        return error_errno(err, "making a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return error_set(err, ERR_NOT_FOUND, errno, "agentd is not running (nobody answers on %s)", path);
        if (errno == EACCES)
            return error_set(err, ERR_REFUSED, errno,
                             "you may not talk to agentd: %s is for root and the group deploy-agent; mend it "
                             "with: sudo usermod -aG deploy-agent $USER, and log in again",
                             path);
        return error_errno(err, "connecting to agentd on %s", path);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int send_request(int fd, const json_t *request, struct error *err)
{
    cleanup_free char *text = json_dumps(request, JSON_COMPACT);
    if (!text)
        return error_set(err, ERR_INTERNAL, 0, "the request cannot be written");
    cleanup_str struct str line = {0};
    str_append(&line, text);
    str_append_char(&line, '\n');
    if (line.len > CONTROL_REQUEST_MAX)
        return error_set(err, ERR_INVALID, 0, "the request is longer than %d KiB",
                         CONTROL_REQUEST_MAX / 1024);
    for (size_t sent = 0; sent < line.len;) {
        ssize_t n = send(fd, line.data + sent, line.len - sent, MSG_NOSIGNAL);
        /* EPIPE: agentd has answered already and turned us away; its answer is there to be read */
        if (n < 0 && errno == EPIPE)
            return 0;
        if (n < 0 && errno != EINTR)
            return error_errno(err, "writing to agentd");
        sent += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Up to the newline or the end. */
static int receive_line(int fd, int64_t deadline, struct str *line, struct error *err)
{
    char buffer[16384];
    while (line->len <= CONTROL_REPLY_MAX) {
        int64_t left_ms = (deadline - mono_us()) / 1000;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int r = left_ms > 0 ? poll(&p, 1, left_ms < 3600000 ? (int)left_ms : 3600000) : 0;
        if (r == 0)
            return error_set(err, ERR_TIMEOUT, 0, "agentd has not answered in time");
        ssize_t n = r < 0 ? -1 : recv(fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, "reading from agentd");
        if (n == 0)
            break;
        str_append_n(line, buffer, (size_t)n);
        if (memchr(buffer, '\n', (size_t)n))
            return 0;
    }
    if (line->len > CONTROL_REPLY_MAX)
        return error_set(err, ERR_INTERNAL, 0, "agentd's answer is longer than %d MiB",
                         CONTROL_REPLY_MAX >> 20);
    return line->len ? 0
                     : error_set(err, ERR_UNAVAILABLE, 0, "agentd closed the connection without an answer");
}

int control_call(const char *socket_path, const json_t *request, int64_t timeout_us, json_t **ret_reply,
                 struct error *err)
{
    cleanup_close int fd = -1;
    cleanup_str struct str line = {0};
    int64_t deadline = mono_us() + timeout_us;
    if (connect_to(socket_path, &fd, err) < 0 || send_request(fd, request, err) < 0 ||
        receive_line(fd, deadline, &line, err) < 0)
        return -1;
    cleanup_json json_t *reply = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(reply))
        return error_set(err, ERR_INTERNAL, 0, "agentd's answer is no JSON object");
    *ret_reply = TAKE(reply);
    return 0;
}

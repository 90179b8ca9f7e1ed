/* SPDX-License-Identifier: Apache-2.0 */
#include "base/journald.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

static const struct timeval patience = {.tv_usec = 200000};
static const int buffer_size = 1 << 20;

enum { MAX_FIELDS = 8, PARTS = 5 };

static int journal_socket(void)
{
    static int fd = -1;
    if (fd >= 0)
        return fd;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof buffer_size) < 0 ||
                    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0))
        return fd; /* longer lines are lost, or the first one waits */
    return fd;
}

static struct iovec piece(const void *at, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)at, len};
}

/* NAME=VALUE and a newline; a value that has newlines itself goes with its length. */
static size_t add_field(struct iovec *iov, const char *field, uint64_t *length)
{
    const char *equals = strchr(field, '=');
    size_t n = 0;
    if (equals && strchr(equals, '\n')) {
        size_t len = strlen(equals + 1);
        *length = htole64(len);
        iov[n++] = piece(field, (size_t)(equals - field));
        iov[n++] = piece("\n", 1);
        iov[n++] = piece(length, sizeof *length);
        iov[n++] = piece(equals + 1, len);
    } else {
        iov[n++] = piece(field, strlen(field));
    }
    iov[n++] = piece("\n", 1);
    return n;
}

int journald_send(const char *const *fields, size_t n)
{
    static bool stalled;
    static const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                               .sun_path = "/run/systemd/journal/socket"};
    struct iovec iov[MAX_FIELDS * PARTS];
    uint64_t lengths[MAX_FIELDS];
    struct msghdr message = {
        .msg_name = (void *)(uintptr_t)&address, .msg_namelen = sizeof address, .msg_iov = iov};
    int fd = journal_socket();
    if (fd < 0)
        return -1;
    for (size_t i = 0; i < n && i < MAX_FIELDS; i++)
        message.msg_iovlen += add_field(iov + message.msg_iovlen, fields[i], &lengths[i]);
    stalled = sendmsg(fd, &message, MSG_NOSIGNAL | (stalled ? MSG_DONTWAIT : 0)) < 0;
    return stalled ? -1 : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/check.h"
#include "base/clock.h"

static const int look_interval_ms = 20;

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Something to read is either what the peer sent, or the end: then it has failed, or was accepted and closed.
 */
static bool wait_for(int fd, int64_t until_us, bool (*opened)(void *userdata), void *userdata)
{
    for (bool ended = false; !ended && mono_us() < until_us;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        ended = poll(&pfd, 1, look_interval_ms) > 0;
        if (opened(userdata))
            return true;
    }
    return false;
}

void check_tcp(const char *socket, int64_t timeout_us, bool (*opened)(void *userdata), void *userdata,
               struct check_result *ret)
{
    *ret = (struct check_result){0};
    (void)opened(userdata); /* an earlier attempt's */
    int fd = connect_to(socket);
    if (fd < 0) {
        ret->unasked = true;
        snprintf(ret->text, sizeof ret->text, "the relay's socket: %s", strerror(errno));
        return;
    }
    ret->passed = wait_for(fd, mono_us() + timeout_us, opened, userdata);
    close(fd);
    snprintf(ret->text, sizeof ret->text, ret->passed ? "connected" : "no connection");
}

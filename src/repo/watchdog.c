/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/watchdog.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/poll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"

#define FD_LIMIT 4096 /* descriptors above are not ours to cut */
#define TICK_MS  250

struct watchdog {
    pthread_t thread;
    int done_fd; /* readable: the guarded call returned */
    _Atomic int64_t deadline_us;
    bool before[FD_LIMIT]; /* TCP connections that were there already */
    _Atomic enum watchdog_verdict verdict;
};

static bool is_tcp(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    int type;
    socklen_t type_len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_STREAM)
        return false;
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

static void each_tcp(struct watchdog *watchdog, void (*fn)(struct watchdog *, int))
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (end != entry->d_name && fd >= 0 && fd < FD_LIMIT && is_tcp((int)fd))
            fn(watchdog, (int)fd);
    }
    closedir(dir);
}

static void remember(struct watchdog *watchdog, int fd)
{
    watchdog->before[fd] = true;
}

static void cut(struct watchdog *watchdog, int fd)
{
    if (!watchdog->before[fd])
        shutdown(fd, SHUT_RDWR);
}

static void *watch(void *userdata)
{
    struct watchdog *watchdog = userdata;
    struct pollfd poll_fd = {.fd = watchdog->done_fd, .events = POLLIN};
    for (;;) {
        if (poll(&poll_fd, 1, TICK_MS) > 0)
            return NULL;
        if (watchdog->verdict == WATCHDOG_QUIET) {
            if (mono_us() >= watchdog->deadline_us)
                watchdog->verdict = WATCHDOG_DEADLINE;
            else if (proc_stop_requested())
                watchdog->verdict = WATCHDOG_STOPPED;
        }
        if (watchdog->verdict != WATCHDOG_QUIET)
            each_tcp(watchdog, cut);
    }
}

int watchdog_start(int64_t deadline_us, struct watchdog **ret, struct error *err)
{
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (!watchdog)
        abort();
    watchdog->deadline_us = deadline_us;
    each_tcp(watchdog, remember);
    watchdog->done_fd = eventfd(0, EFD_CLOEXEC);
    if (watchdog->done_fd < 0) {
        error_errno(err, "eventfd");
        free(watchdog);
        return -1;
    }

    /* Signals are for the thread that works. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int r = pthread_create(&watchdog->thread, NULL, watch, watchdog);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0) {
        close(watchdog->done_fd);
        free(watchdog);
        errno = r;
        return error_errno(err, "starting a thread");
    }
    *ret = watchdog;
    return 0;
}

void watchdog_move(struct watchdog *watchdog, int64_t deadline_us)
{
    if (watchdog)
        watchdog->deadline_us = deadline_us;
}

enum watchdog_verdict watchdog_verdict(const struct watchdog *watchdog)
{
    return watchdog ? watchdog->verdict : WATCHDOG_QUIET;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    if (eventfd_write(watchdog->done_fd, 1) < 0)
        abort(); /* cannot happen: the counter is 0 */
    pthread_join(watchdog->thread, NULL);
    close(watchdog->done_fd);
    free(watchdog);
}

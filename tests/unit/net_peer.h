/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A peer that says fixed bytes on a unix socket: what a real server does not say on demand (cuts, silence,
 * nonsense, more than anybody reads).
 */

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Answers each of `connections` connections, once its request's head is there, with `answer`. */
struct peer {
    char folder[40], path[60];
    int listener;
    pthread_t thread;
    const char *answer;
    int connections; /* how many are expected */
    int pause_ms;    /* between the answer and the end */
    char request[4096];
    int accepted;
};

static void *serve(void *userdata)
{
    struct peer *peer = userdata;
    for (int i = 0; i < peer->connections; i++) {
        int fd = accept(peer->listener, NULL, NULL);
        if (fd < 0)
            break;
        peer->accepted++;
        size_t n = 0;
        ssize_t got;
        while (n < sizeof peer->request - 1 && !strstr(peer->request, "\r\n\r\n") &&
               (got = read(fd, peer->request + n, sizeof peer->request - 1 - n)) > 0) {
            n += (size_t)got;
            peer->request[n] = '\0';
        }
        size_t len = strlen(peer->answer), sent = 0;
        while (sent < len && (got = send(fd, peer->answer + sent, len - sent, MSG_NOSIGNAL)) > 0)
            sent += (size_t)got;
        usleep((useconds_t)peer->pause_ms * 1000);
        close(fd);
    }
    return NULL;
}

static void peer_start(struct peer *peer)
{
    snprintf(peer->folder, sizeof peer->folder, "/tmp/test-net-XXXXXX");
    assert_non_null(mkdtemp(peer->folder));
    snprintf(peer->path, sizeof peer->path, "%s/s", peer->folder);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", peer->path);
    peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 8), 0);
    if (peer->connections == 0)
        peer->connections = 1;
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

static void peer_stop(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    unlink(peer->path);
    rmdir(peer->folder);
}

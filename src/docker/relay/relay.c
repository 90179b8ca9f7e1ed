/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one program of the relay image, static, with no libc of a distribution beside it.
 *
 *     relay             does nothing until SIGTERM; it is PID 1 of the relay's task, so it collects orphans
 *     relay HOST PORT   connects, and joins the connection to its stdin and stdout; run by exec in that task
 *
 * The first byte on stdout is CONNECTED, so that words of the engine (it writes its own failures there) are
 * not taken for the peer's. End of stdin ends our sending only; end of the connection ends the program. Exit
 * 1 with one line on stderr when there is no connection within CONNECT_S seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTED 6 /* ASCII ACK; the same in relay_connection.c */
#define CONNECT_S 5
/* After the end of stdin nobody may be there any more: the engine does not tell an exec that its client went
   away. A peer that then stays silent for so long is left. */
#define LINGER_MS 30000

static const char *volatile late_text = "the name does not resolve in time\n";

static void on_late(int signal_number)
{
    (void)signal_number;
    if (write(STDERR_FILENO, late_text, strlen(late_text)) < 0)
        _exit(2);
    _exit(1);
}

static int idle(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        int signal_number = 0;
        if (sigwait(&set, &signal_number) == 0 && signal_number != SIGCHLD)
            return 0;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(host, port, &hints, &list);
    if (code != 0) {
        fprintf(stderr, "%s: %s\n", host, gai_strerror(code));
        return -1;
    }
    late_text = "no connection in time\n";
    int saved = 0;
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            return fd; /* the list is freed by exit */
        saved = errno;
        if (fd >= 0)
            close(fd);
    }
    fprintf(stderr, "%s:%s: %s\n", host, port, strerror(saved));
    return -1;
}

/* One direction. */
struct flow {
    int from, to;
    char data[32768];
    size_t start, end;
    bool ended; /* nothing more to read */
    bool done;  /* and all of it written */
};

/* false: the receiver is gone */
static bool move(struct flow *f, short can_read, short can_write)
{
    if (f->start == f->end && !f->ended && can_read) {
        ssize_t n = read(f->from, f->data, sizeof f->data);
        if (n > 0) {
            f->start = 0;
            f->end = (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            f->ended = true;
        }
        can_write = 1;
    }
    if (f->start < f->end && can_write) {
        ssize_t n = write(f->to, f->data + f->start, f->end - f->start);
        if (n > 0)
            f->start += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
    }
    return true;
}

static int join(int peer)
{
    static struct flow out, in; /* stdin → peer, peer → stdout */
    out.from = STDIN_FILENO;
    out.to = in.from = peer;
    in.to = STDOUT_FILENO;
    in.data[0] = CONNECTED;
    in.end = 1;
    const int fds_of_ours[] = {peer, STDIN_FILENO, STDOUT_FILENO};
    for (int i = 0; i < 3; i++)
        fcntl(fds_of_ours[i], F_SETFL, fcntl(fds_of_ours[i], F_GETFL) | O_NONBLOCK);
    while (!in.done) {
        bool out_waits = out.start < out.end, in_waits = in.start < in.end;
        short peer_events = (short)((out_waits ? POLLOUT : 0) | (in_waits || in.ended ? 0 : POLLIN));
        struct pollfd fds[] = {
            {.fd = out.ended || out_waits ? -1 : STDIN_FILENO, .events = POLLIN},
            {.fd = peer_events ? peer : -1, .events = peer_events},
            {.fd = in_waits ? STDOUT_FILENO : -1, .events = POLLOUT},
        };
        int n = poll(fds, 3, out.done ? LINGER_MS : -1);
        if (n == 0)
            return 0;
        if (n < 0)
            continue;
        short broken = POLLERR | POLLHUP;
        if (!out.done && !move(&out, fds[0].revents, (short)(fds[1].revents & (POLLOUT | broken)))) {
            out.ended = true; /* the peer reads no more; it may still speak */
            out.start = out.end;
        }
        if (!move(&in, (short)(fds[1].revents & (POLLIN | broken)), fds[2].revents))
            return 0;
        if (out.ended && !out.done && out.start == out.end) {
            shutdown(peer, SHUT_WR);
            out.done = true;
        }
        in.done = in.ended && in.start == in.end;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return idle();
    if (argc != 3) {
        fputs("usage: relay [HOST PORT]\n", stderr);
        return 64;
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    struct sigaction late = {.sa_handler = on_late};
    sigaction(SIGALRM, &late, NULL);
    alarm(CONNECT_S);
    int peer = connect_to(argv[1], argv[2]);
    alarm(0);
    return peer < 0 ? 1 : join(peer);
}

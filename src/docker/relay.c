/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay's handle: where its sockets are, and the process behind them. Sockets are
 *
 *     RUN_DIR/relay/STACK/SLOT/TARGET/.s.PGSQL.PORT
 *
 * A slot belongs to one handle (flock on its folder, gone with the process), so that two processes may reach
 * into one stack; what a killed one left is removed by the next that gets its slot. The name is the one libpq
 * looks for in a folder (https://www.postgresql.org/docs/15/libpq-connect.html, host), and as good as any for
 * everybody else.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/proc.h"
#include "docker/client.h"
#include "docker/relay_internal.h"

#define SLOTS_MAX 64
/* Within a deployment's checks: they have a deadline of their own, and ask again. */
#define SETTLE_AGAIN_US (15 * US_PER_S)

struct target {
    struct relay_order order;
    char *socket; /* path */
    int listener;
    uint64_t asked; /* when last, counted in questions */
    char failure[300];
    bool opened;
};

struct relay {
    struct arena arena;
    struct docker *docker;
    const char *stack;
    const char **networks; /* names, NULL-terminated */
    struct relay_place place;
    bool found;               /* not made by us: nor made anew */
    bool gone;                /* a connection found the container missing */
    struct relay_order order; /* engine, version and container: the same for all targets */
    const char *folder;       /* of the slot */
    int folder_fd;            /* locked */
    struct target *targets[RELAY_TARGETS_MAX];
    uint32_t n_targets, n_numbers;
    uint64_t n_asked;
    pid_t server;  /* 0: not running */
    int orders_fd; /* -1 */
};

/* ---- folders ---- */

/* Stack names may be longer than a socket's path bears. */
static const char *short_name(struct arena *arena, const char *stack)
{
    if (strlen(stack) <= 24)
        return stack;
    char hash[SHA256_HEX_SIZE];
    sha256_hex(stack, strlen(stack), hash);
    return arena_printf(arena, "%.15s-%.8s", stack, hash);
}

/* Empties a folder of target folders, each with one socket. */
static void empty_slot(int folder_fd)
{
    int copy = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (const struct dirent *d; (d = readdir(dir));) {
        if (d->d_name[0] == '.')
            continue;
        cleanup_close int target =
            openat(folder_fd, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *inner = target >= 0 ? fdopendir(dup(target)) : NULL;
        for (const struct dirent *s; inner && (s = readdir(inner));)
            if (str_starts(s->d_name, ".s.PGSQL."))
                unlinkat(target, s->d_name, 0);
        if (inner)
            closedir(inner);
        unlinkat(folder_fd, d->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

static int take_slot(struct relay *relay, const char *run_dir, const char *stack, struct error *err)
{
    const char *parent =
        arena_printf(&relay->arena, "%s/relay/%s", run_dir, short_name(&relay->arena, stack));
    if (fs_mkdir(parent, 0700, err) < 0)
        return -1;
    for (int i = 0; i < SLOTS_MAX; i++) {
        const char *folder = arena_printf(&relay->arena, "%s/%d", parent, i);
        if (fs_mkdir(folder, 0700, err) < 0)
            return -1;
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return error_errno(err, "%s", folder);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            relay->folder = folder;
            relay->folder_fd = fd;
            empty_slot(fd);
            return 0;
        }
        close(fd);
    }
    return error_set(err, ERR_CONFLICT, 0, "%s: all %d slots are in use", parent, SLOTS_MAX);
}

/* ---- the process behind the sockets ---- */

static int send_order(const struct relay *relay, const struct target *target)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct relay_order order = target->order;
    struct iovec data = {.iov_base = &order, .iov_len = sizeof order};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &target->listener, sizeof(int));
    ssize_t n;
    if (fault_errno("relay.order"))
        return -1;
    do
        n = sendmsg(relay->orders_fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

static void stop_server(struct relay *relay)
{
    if (relay->orders_fd >= 0)
        close(relay->orders_fd); /* it ends by itself */
    relay->orders_fd = -1;
    if (relay->server <= 0)
        return;
    for (int i = 0; i < 100; i++) {
        pid_t pid = waitpid(relay->server, NULL, WNOHANG);
        if (pid == relay->server || (pid < 0 && errno != EINTR)) {
            relay->server = 0;
            return;
        }
        sleep_us(US_PER_S / 50);
    }
    kill(relay->server, SIGKILL);
    while (waitpid(relay->server, NULL, 0) < 0 && errno == EINTR)
        ;
    relay->server = 0;
}

static int start_server(struct relay *relay, struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_errno(err, "socketpair");
    const char *const argv[] = {proc_sibling(&relay->arena, "agent-worker"), "relay-serve", NULL};
    struct proc_options options = {
        .argv = argv, .stdout_fd = ends[1], .stderr_fd = -1, .die_with_parent = true};
    int r = proc_spawn(&options, &relay->server, err);
    close(ends[1]);
    if (r < 0) {
        close(ends[0]);
        return -1;
    }
    relay->orders_fd = ends[0];
    for (uint32_t i = 0; i < relay->n_targets; i++) {
        if (send_order(relay, relay->targets[i]) < 0) {
            error_errno(err, "the process behind the relay's sockets");
            stop_server(relay);
            return -1;
        }
    }
    return 0;
}

/* Starts it when it is not there, or no longer. */
static int need_server(struct relay *relay, struct error *err)
{
    if (relay->server > 0 && waitpid(relay->server, NULL, WNOHANG) == 0)
        return 0;
    relay->server = 0;
    stop_server(relay);
    return start_server(relay, err);
}

/* ---- targets ---- */

static int listen_at(const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, ERR_INVALID, 0,
                         "%s: longer than a socket's path may be; choose a shorter run_dir", path);
    memcpy(address.sun_path, path, strlen(path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fault_errno("relay.listen") ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0)
        return error_errno(err, "%s", path);
    return TAKE_FD(fd);
}

static bool is_host(const char *host)
{
    size_t len = strlen(host);
    if (len == 0 || len > 253)
        return false;
    for (const char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(".:_-", *p))
            return false;
    return true;
}

/*
 * The one that was asked for least recently, when all places are taken. Whoever still has its socket's path
 * finds nothing there: a number, and so a path, is never given twice. Connections through it go on.
 */
static uint32_t find_place(const struct relay *relay)
{
    uint32_t oldest = 0;
    if (relay->n_targets < RELAY_TARGETS_MAX)
        return relay->n_targets;
    for (uint32_t i = 1; i < relay->n_targets; i++)
        if (relay->targets[i]->asked < relay->targets[oldest]->asked)
            oldest = i;
    return oldest;
}

static void forget_target(struct target *target)
{
    cleanup_arena struct arena arena = {0};
    const char *folder =
        arena_strndup(&arena, target->socket, (size_t)(strrchr(target->socket, '/') - target->socket));
    close(target->listener);
    unlink(target->socket);
    rmdir(folder);
}

static int add_target(struct relay *relay, const char *host, unsigned port, struct target **ret,
                      struct error *err)
{
    uint32_t place = find_place(relay);
    struct target target = {.order = relay->order};
    target.order.place = place;
    target.order.number = relay->n_numbers++;
    snprintf(target.order.host, sizeof target.order.host, "%s", host);
    snprintf(target.order.port, sizeof target.order.port, "%u", port);

    cleanup_arena struct arena arena = {0};
    const char *folder = arena_printf(&arena, "%s/%u", relay->folder, target.order.number);
    target.socket = arena_printf(&relay->arena, "%s/.s.PGSQL.%u", folder, port);
    if (fs_mkdir(folder, 0700, err) < 0)
        return -1;
    target.listener = listen_at(target.socket, err);
    if (target.listener < 0) {
        rmdir(folder);
        return -1;
    }
    if (place == relay->n_targets)
        relay->targets[relay->n_targets++] = arena_alloc(&relay->arena, sizeof target);
    else
        forget_target(relay->targets[place]);
    *relay->targets[place] = target;
    *ret = relay->targets[place];
    return 0;
}

static struct target *find_target(const struct relay *relay, const char *host, const char *port)
{
    for (uint32_t i = 0; i < relay->n_targets; i++)
        if (str_eq(relay->targets[i]->order.host, host) && str_eq(relay->targets[i]->order.port, port))
            return relay->targets[i];
    return NULL;
}

static struct target *numbered(const struct relay *relay, uint32_t number)
{
    for (uint32_t i = 0; i < relay->n_targets; i++)
        if (relay->targets[i]->order.number == number)
            return relay->targets[i];
    return NULL;
}

/* What the process reported since the last look. */
static void read_failures(struct relay *relay)
{
    struct relay_failure failure;
    while (relay->orders_fd >= 0 &&
           recv(relay->orders_fd, &failure, sizeof failure, MSG_DONTWAIT) == (ssize_t)sizeof failure) {
        failure.text[sizeof failure.text - 1] = '\0';
        relay->gone |= failure.relay_gone;
        struct target *target = numbered(relay, failure.number);
        if (target && failure.opened)
            target->opened = true;
        else if (target)
            memcpy(target->failure, failure.text, sizeof failure.text);
    }
}

const char *relay_failure(struct relay *relay, const char *socket)
{
    read_failures(relay);
    for (uint32_t i = 0; i < relay->n_targets; i++) {
        struct target *target = relay->targets[i];
        if (!str_eq(target->socket, socket) || !target->failure[0])
            continue;
        const char *text = arena_strdup(&relay->arena, target->failure);
        target->failure[0] = '\0';
        return text;
    }
    return NULL;
}

bool relay_opened(struct relay *relay, const char *socket)
{
    read_failures(relay);
    for (uint32_t i = 0; i < relay->n_targets; i++) {
        struct target *target = relay->targets[i];
        if (!str_eq(target->socket, socket))
            continue;
        bool opened = target->opened;
        target->opened = false;
        return opened;
    }
    return false;
}

/* The service's task, and where targets lead from now on. */
static int settle(struct relay *relay, int64_t timeout_us, struct error *err)
{
    int r = relay->found
                ? relay_service_find(relay->docker, &relay->arena, relay->stack, &relay->place, err)
                : relay_service_ensure(relay->docker, &relay->arena, relay->stack,
                                       (const char *const *)relay->networks, timeout_us, &relay->place, err);
    if (r < 0)
        return relay->found ? -1 : error_wrap(err, "relay of stack %s", relay->stack);
    struct relay_order *order = &relay->order;
    snprintf(order->engine, sizeof order->engine, "%s", relay->docker->socket);
    snprintf(order->api_version, sizeof order->api_version, "%s", relay->docker->version);
    snprintf(order->container, sizeof order->container, "%s", relay->place.container_id);
    for (uint32_t i = 0; i < relay->n_targets; i++)
        memcpy(relay->targets[i]->order.container, order->container, sizeof order->container);
    return 0;
}

/* An engine that was restarted, or somebody, ended the relay's task: a new one, and a new process for it. */
static int need_place(struct relay *relay, struct error *err)
{
    read_failures(relay);
    if (!relay->gone)
        return 0;
    if (settle(relay, SETTLE_AGAIN_US, err) < 0)
        return -1;
    stop_server(relay);
    relay->gone = false;
    return 0;
}

int relay_target(struct relay *relay, const char *host, unsigned port, const char **ret_socket,
                 struct error *err)
{
    if (!is_host(host) || port == 0 || port > 65535)
        return error_set(err, ERR_INVALID, 0, "%s:%u is not a host and port", host, port);
    if (need_place(relay, err) < 0 || need_server(relay, err) < 0)
        return -1;
    char number[8];
    snprintf(number, sizeof number, "%u", port);
    struct target *target = find_target(relay, host, number);
    if (!target) {
        if (add_target(relay, host, port, &target, err) < 0)
            return -1;
        if (send_order(relay, target) < 0) {
            error_errno(err, "the process behind the relay's sockets");
            stop_server(relay); /* the next one gets the orders for all targets, this one's, too */
            return -1;
        }
    }
    target->asked = ++relay->n_asked;
    *ret_socket = target->socket;
    return 0;
}

/* ---- the handle ---- */

bool relay_on_network(const struct relay *relay, const char *network_id)
{
    for (const char *const *id = relay->place.networks; id && *id; id++)
        if (str_eq(*id, network_id))
            return true;
    return false;
}

static const char **copy_names(struct arena *arena, const char *const *names)
{
    size_t n = 0;
    while (names && names[n])
        n++;
    const char **copy = arena_array(arena, n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = arena_strdup(arena, names[i]);
    return copy;
}

static struct relay *new_relay(struct docker *docker, const char *stack)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        abort();
    relay->folder_fd = relay->orders_fd = -1;
    relay->docker = docker;
    relay->stack = arena_strdup(&relay->arena, stack);
    return relay;
}

int relay_find(struct docker *docker, const char *stack, const char *run_dir, struct relay **ret,
               struct error *err)
{
    struct relay *relay = new_relay(docker, stack);
    relay->found = true;
    if (settle(relay, 0, err) < 0 || take_slot(relay, run_dir, stack, err) < 0) {
        relay_close(relay);
        return -1;
    }
    *ret = relay;
    return 0;
}

int relay_ensure(struct docker *docker, const char *stack, const char *const *networks, int64_t timeout_us,
                 const char *run_dir, struct relay **ret, struct error *err)
{
    struct relay *relay = new_relay(docker, stack);
    relay->networks = copy_names(&relay->arena, networks);
    if (settle(relay, timeout_us, err) < 0 || take_slot(relay, run_dir, stack, err) < 0) {
        relay_close(relay);
        return -1;
    }
    *ret = relay;
    return 0;
}

void relay_close(struct relay *relay)
{
    if (!relay)
        return;
    stop_server(relay);
    for (uint32_t i = 0; i < relay->n_targets; i++)
        close(relay->targets[i]->listener);
    if (relay->folder_fd >= 0) {
        empty_slot(relay->folder_fd);
        close(relay->folder_fd);
    }
    arena_release(&relay->arena);
    free(relay);
}

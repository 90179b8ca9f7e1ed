/* SPDX-License-Identifier: Apache-2.0 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

extern char **environ;

static const char *const passed_on[] = {
    "TZ",           "JOURNAL_STREAM",        "FAULTS", "ASAN_OPTIONS", "UBSAN_OPTIONS",
    "LSAN_OPTIONS", "CREDENTIALS_DIRECTORY", "HOME"};

static const char **minimal_environment(struct arena *arena)
{
    const char **env = arena_array(arena, ARRAY_SIZE(passed_on) + 3, sizeof *env);
    size_t n = 0;
    env[n++] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    env[n++] = "LANG=C.UTF-8";
    for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
        if (getenv(passed_on[i]))
            env[n++] = arena_printf(arena, "%s=%s", passed_on[i], getenv(passed_on[i]));
    return env;
}

/* Only async-signal-safe calls between fork and exec. */
static void child(const struct proc_options *o, const char *const *env, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < SIGRTMIN; sig++) {
        struct sigaction dfl = {.sa_handler = SIG_DFL};
        sigaction(sig, &dfl, NULL);
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (o->die_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(127);
    }
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0)
        _exit(127);
    if (o->stdout_fd >= 0 && dup2(o->stdout_fd, 1) < 0)
        _exit(127);
    if (o->stderr_fd >= 0 && dup2(o->stderr_fd, 2) < 0)
        _exit(127);
    close_range(3, ~0U, 0);
    execve(o->argv[0], (char *const *)(uintptr_t)o->argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

int proc_spawn(const struct proc_options *options, pid_t *ret_pid, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *const *env = options->env ? options->env : minimal_environment(&arena);
    if (access(options->argv[0], X_OK) < 0)
        return error_errno(err, "%s", options->argv[0]);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return error_errno(err, "starting %s", options->argv[0]);
    if (pid == 0)
        child(options, env, parent);
    *ret_pid = pid;
    return 0;
}

/* Waits for the child until the deadline; then TERM, two seconds, KILL. */
static int reap(pid_t pid, int64_t deadline, int *ret_status)
{
    bool timed_out = false;
    for (int64_t kill_at = 0;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return timed_out ? -1 : 0;
        int64_t now = mono_us();
        if (!timed_out && now >= deadline) {
            timed_out = true;
            kill_at = now + 2 * US_PER_S;
            kill(pid, SIGTERM);
        } else if (timed_out && now >= kill_at) {
            kill(pid, SIGKILL);
        }
        sleep_us(5000);
    }
}

static void drain(int fd, int64_t deadline, size_t max, struct str *output)
{
    char buffer[4096];
    for (;;) {
        int64_t left = (deadline - mono_us()) / 1000;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return;
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        size_t room = max - output->len;
        str_append_n(output, buffer, (size_t)n < room ? (size_t)n : room);
    }
}

int proc_run(const char *const *argv, int64_t timeout_us, size_t max_output, struct str *ret_output,
             int *ret_status, struct error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, "a pipe for %s", argv[0]);
    cleanup_close int in = fds[0];
    int64_t deadline = mono_us() + timeout_us;
    pid_t pid;
    struct proc_options options = {
        .argv = argv, .stdout_fd = fds[1], .stderr_fd = -1, .die_with_parent = true};
    int r = proc_spawn(&options, &pid, err);
    close(fds[1]);
    if (r < 0)
        return -1;
    drain(in, deadline, max_output, ret_output);
    if (reap(pid, deadline, ret_status) < 0)
        return error_set(err, ERR_TIMEOUT, 0, "%s did not end within %lld s", argv[0],
                         (long long)(timeout_us / US_PER_S));
    return 0;
}

char *proc_sibling(struct arena *arena, const char *name)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        char *path = arena_printf(arena, "%.*s/%s", (int)(slash - self), self, name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return arena_printf(arena, "%s/%s", PKGLIBEXECDIR, name);
}

static volatile sig_atomic_t stop_requested;

/* Only ends a wait early: what it is about is read from the journal. */
static void on_nudge(int sig)
{
    (void)sig;
}

static void on_stop(int sig)
{
    (void)sig;
    stop_requested = 1;
}

void proc_catch_stop(void)
{
    /* no SA_RESTART: a wait in progress must notice */
    struct sigaction sa = {.sa_handler = on_stop};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    struct sigaction nudge = {.sa_handler = on_nudge};
    sigaction(SIGUSR1, &nudge, NULL);
}

bool proc_stop_requested(void)
{
    return stop_requested;
}

static void (*on_alive)(void);

void proc_on_alive(void (*handler)(void))
{
    on_alive = handler;
}

void proc_alive(void)
{
    if (on_alive)
        on_alive();
}

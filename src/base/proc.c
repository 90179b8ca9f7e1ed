/* SPDX-License-Identifier: Apache-2.0 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/str.h"

static const char *const passed_on[] = {
    "TZ",           "JOURNAL_STREAM",        "FAULTS", "ASAN_OPTIONS", "UBSAN_OPTIONS",
    "LSAN_OPTIONS", "CREDENTIALS_DIRECTORY", "HOME"};

static const char **minimal_environment(struct arena *arena, bool no_journal)
{
    const char **env = arena_array(arena, ARRAY_SIZE(passed_on) + 3, sizeof *env);
    size_t n = 0;
    env[n++] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    env[n++] = "LANG=C.UTF-8";
    for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
        if (getenv(passed_on[i]) && !(no_journal && str_eq(passed_on[i], "JOURNAL_STREAM")))
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
    const char *const *env = minimal_environment(&arena, options->no_journal);
    if (access(options->argv[0], X_OK) < 0)
        return error_errno(err, "%s", options->argv[0]);
    pid_t parent = getpid(), pid = fault_errno("proc.spawn") ? -1 : fork();
    if (pid < 0)
        return error_errno(err, "starting %s", options->argv[0]);
    if (pid == 0)
        child(options, env, parent);
    *ret_pid = pid;
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

int proc_heed_stop(void *userdata, struct error *err)
{
    (void)userdata;
    proc_alive();
    return proc_stop_requested() ? error_set(err, ERR_CANCELLED, 0, "stopped by a signal") : 0;
}

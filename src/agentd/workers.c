/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/log.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"

enum { MAX_LINE = 64 * 1024, MAX_OUTPUT = 4 * 1024 * 1024, MAX_ARGUMENTS = 24 };
static const int64_t kill_grace_us = 5 * US_PER_S;
static const int64_t run_kill_grace_us =
    30 * US_PER_S; /* it may be able to say in the record that it stops */

static bool captures(const struct worker *worker)
{
    return worker->kind == WORKER_PLAN || worker->kind == WORKER_CHECK || worker->kind == WORKER_HEALTH;
}

/* ---- its output ---- */

static void pipe_close(struct worker_pipe *p)
{
    p->source = sd_event_source_disable_unref(p->source);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static void take_line(struct worker *worker, const char *line, size_t len)
{
    json_t *hint = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(hint)) {
        log_debug("agent-worker %d wrote a line that is no hint", (int)worker->pid);
        json_decref(hint);
        return;
    }
    json_decref(worker->hint);
    worker->hint = hint;
    worker_set_silence(worker, worker->silence_us);
    if (worker->hinted)
        worker->hinted(worker);
}

static void take_lines(struct worker_pipe *p, const char *bytes, size_t n)
{
    while (n) {
        const char *newline = memchr(bytes, '\n', n);
        size_t len = newline ? (size_t)(newline - bytes) : n;
        if (p->text.len + len > MAX_LINE)
            p->skipping = true;
        if (!p->skipping)
            str_append_n(&p->text, bytes, len);
        if (newline) {
            if (!p->skipping)
                take_line(p->worker, str_text(&p->text), p->text.len);
            str_clear(&p->text);
            p->skipping = false;
            len++;
        }
        bytes += len;
        n -= len;
    }
}

/* Reads what is there; false: nothing more will come. */
static bool pipe_read(struct worker_pipe *p, unsigned rounds)
{
    char buffer[16 * 1024];
    for (; p->fd >= 0 && rounds; rounds--) {
        ssize_t n = read(p->fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        if (!captures(p->worker))
            take_lines(p, buffer, (size_t)n);
        else if (p->text.len < MAX_OUTPUT)
            str_append_n(&p->text, buffer, (size_t)n);
    }
    return true;
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct worker_pipe *p = userdata;
    (void)source;
    (void)fd;
    (void)events;
    /* one read per turn: a worker that floods its pipe must not keep the loop */
    if (!pipe_read(p, 1))
        pipe_close(p);
    return 0;
}

static int pipe_open(struct worker *worker, struct worker_pipe *p, int *ret_write_fd, struct error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, "a pipe for agent-worker");
    *p = (struct worker_pipe){.worker = worker, .fd = fds[0]};
    *ret_write_fd = fds[1];
    int r = fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (r >= 0)
        r = sd_event_add_io(worker->manager->event, &p->source, fds[0], EPOLLIN, on_output, p);
    if (r >= 0) /* before the child's end, so that its last words are read */
        r = sd_event_source_set_priority(p->source, SD_EVENT_PRIORITY_NORMAL - 10);
    return r < 0 ? error_set(err, ERR_SYSTEM, -r, "a pipe for agent-worker: %s", strerror(-r)) : 0;
}

/* ---- its end ---- */

static void worker_free(struct worker *worker)
{
    for (struct worker **place = &worker->manager->workers; *place; place = &(*place)->next)
        if (*place == worker) {
            *place = worker->next;
            break;
        }
    sd_event_source_disable_unref(worker->child);
    sd_event_source_disable_unref(worker->deadline);
    sd_event_source_disable_unref(worker->silence);
    pipe_close(&worker->out);
    pipe_close(&worker->err);
    str_release(&worker->out.text);
    str_release(&worker->err.text);
    json_decref(worker->hint);
    free(worker);
}

static int on_exit_of_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
    struct worker *worker = userdata;
    struct manager *manager = worker->manager;
    (void)source;
    /* a grandchild may hold the pipe open: what is not there by now does not count */
    pipe_read(&worker->out, MAX_OUTPUT / MAX_LINE);
    pipe_read(&worker->err, MAX_OUTPUT / MAX_LINE);
    worker->exit_code = info->si_code == CLD_EXITED ? info->si_status : -1;
    worker->signal = info->si_code == CLD_EXITED ? 0 : info->si_status;
    worker->ended(worker);
    worker_free(worker);
    manager_collect(manager);
    manager_show_status(manager);
    if (manager->stopping && !manager->workers)
        sd_event_exit(manager->event, EXIT_SUCCESS);
    return 0;
}

static void give_up(struct worker *worker)
{
    worker->timed_out = true;
    worker_stop(worker, worker->kind == WORKER_RUN ? run_kill_grace_us : kill_grace_us);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct worker *worker = userdata;
    (void)source;
    (void)usec;
    if (worker->term_sent) {
        worker_signal(worker, SIGKILL);
        return 0;
    }
    if (!worker->overdue || worker->overdue(worker))
        give_up(worker);
    return 0;
}

static int on_silence(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct worker *worker = userdata;
    (void)source;
    (void)usec;
    if (worker->term_sent)
        return 0;
    worker->silent = true;
    give_up(worker);
    return 0;
}

void worker_signal(const struct worker *worker, int sig)
{
    /* not reaped before on_exit_of_child() ran: the pid is still its own */
    if (kill(worker->pid, sig) < 0)
        log_debug("signal %d for agent-worker %d: %s", sig, (int)worker->pid, strerror(errno));
}

void worker_stop(struct worker *worker, int64_t grace_us)
{
    worker->term_sent = true;
    worker_signal(worker, SIGTERM);
    worker_signal(worker, SIGCONT); /* one that was stopped would never see it */
    if (grace_us)
        timer_set(worker->manager->event, &worker->deadline, grace_us, on_deadline, worker);
    else
        timer_stop(worker->deadline);
}

void worker_set_timeout(struct worker *worker, int64_t timeout_us)
{
    if (worker->term_sent)
        return;
    if (timeout_us)
        timer_set(worker->manager->event, &worker->deadline, timeout_us, on_deadline, worker);
    else
        timer_stop(worker->deadline);
}

void worker_set_silence(struct worker *worker, int64_t silence_us)
{
    worker->silence_us = silence_us;
    if (silence_us)
        timer_set(worker->manager->event, &worker->silence, silence_us, on_silence, worker);
}

const char *worker_end_text(struct arena *arena, const struct worker *worker)
{
    if (worker->silent)
        return "gave no sign of life and was stopped";
    if (worker->timed_out)
        return "took too long and was stopped";
    if (worker->exit_code < 0)
        return arena_printf(arena, "was ended by signal %d (%s)", worker->signal, strsignal(worker->signal));
    if (worker->exit_code == 127)
        return "could not be started";
    return arena_printf(arena, "ended with code %d", worker->exit_code);
}

/* ---- its start ---- */

static int spawn(struct worker *worker, const struct worker_options *options, struct error *err)
{
    cleanup_close int out = -1;
    cleanup_close int errors = -1;
    struct manager *manager = worker->manager;
    /* check looks at the file that a person edits, everything else at the one that was accepted */
    const char *config = worker->kind == WORKER_CHECK ? manager->config_path : manager->worker_config;
    const char *argv[MAX_ARGUMENTS] = {manager->worker_program, "--config", config};
    for (size_t i = 0; options->arguments[i] && i + 4 < ARRAY_SIZE(argv); i++)
        argv[i + 3] = options->arguments[i];
    if (pipe_open(worker, &worker->out, &out, err) < 0 ||
        (captures(worker) && pipe_open(worker, &worker->err, &errors, err) < 0))
        return -1;
    struct proc_options spawn_options = {
        .argv = argv,
        .no_journal = captures(worker), /* we hand on what they have to say */
        .stdout_fd = out,
        .stderr_fd = errors,
        /* a deployment goes on when agentd dies; the next agentd waits for it */
        .die_with_parent = worker->kind != WORKER_RUN,
    };
    return proc_spawn(&spawn_options, &worker->pid, err);
}

int worker_start(struct manager *manager, const struct worker_options *options, struct worker **ret,
                 struct error *err)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        abort();
    *worker = (struct worker){.manager = manager,
                              .next = manager->workers,
                              .kind = options->kind,
                              .watch = options->watch,
                              .out = {.fd = -1},
                              .err = {.fd = -1},
                              .hinted = options->hinted,
                              .ended = options->ended,
                              .overdue = options->overdue,
                              .userdata = options->userdata};
    manager->workers = worker;
    if (spawn(worker, options, err) < 0) {
        worker_free(worker);
        return -1;
    }
    int r =
        sd_event_add_child(manager->event, &worker->child, worker->pid, WEXITED, on_exit_of_child, worker);
    if (r < 0) {
        worker_signal(worker, SIGKILL);
        waitpid(worker->pid, NULL, 0);
        worker_free(worker);
        return error_set(err, ERR_SYSTEM, -r, "watching agent-worker: %s", strerror(-r));
    }
    worker_set_timeout(worker, options->timeout_us);
    worker_set_silence(worker, options->silence_us);
    *ret = worker;
    return 0;
}

unsigned workers_count(const struct manager *manager, enum worker_kind kind)
{
    unsigned n = 0;
    for (const struct worker *w = manager->workers; w; w = w->next)
        n += w->kind == kind;
    return n;
}

void workers_free(struct manager *manager)
{
    while (manager->workers)
        worker_free(manager->workers);
}

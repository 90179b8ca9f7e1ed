/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/job_wait.h"

#include <signal.h>
#include <string.h>

#include "agent/log.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/persist.h"
#include "steps/send.h"

static const int64_t log_interval_us = US_PER_S;
/* Its log cannot be read though the engine answers. */
static const int64_t log_patience_us = 30 * US_PER_S;
static const int64_t noting_interval_us = 5 * US_PER_S;

static void follow_output(struct job *job)
{
    struct error ignored = {0};
    if (job->removed) /* the engine reads logs by the service */
        return;
    /* an engine that is away costs lines only for now: the position stays where it is */
    if (output_follow(job->ctx, job->step, job->id, &job->position, job->last_line, sizeof job->last_line,
                      &ignored) < 0)
        log_debug("log of %s: %s", job->name, ignored.text);
}

/*
 * All of it, before the job goes, which is the only witness. A node that does not answer must not stand in
 * the way for ever. An engine that is away does: removing the job waits for it, too.
 */
static int finish_output(struct job *job, struct error *err)
{
    struct error why = {0};
    for (int64_t until = mono_us() + log_patience_us; !job->removed;) {
        cleanup_json json_t *tasks = NULL;
        struct error away = {0};
        if (output_follow(job->ctx, job->step, job->id, &job->position, job->last_line, sizeof job->last_line,
                          &why) == 0) {
            step_waiting(job->ctx, NULL);
            return 0;
        }
        /* was it the journal? Then this waits for it */
        int64_t before = mono_us();
        if (step_save_progress(job->ctx, job->step, job->progress, err) < 0)
            return -1;
        until += mono_us() - before;
        if (job_tasks(job->ctx, job->id, &tasks, &job->removed, &away) < 0 && send_is_transient(&away))
            until = mono_us() + log_patience_us;
        if (mono_us() >= until)
            break;
        if (step_stop_reason(job->ctx) != STOP_NONE)
            return step_should_stop(job->ctx, err);
        step_waiting(job->ctx, "%s %s: its log cannot be read: %s", job->request->word, job->step->name,
                     why.text);
        step_sleep(log_interval_us);
    }
    step_waiting(job->ctx, NULL);
    cleanup_arena struct arena arena = {0};
    const char *note = arena_printf(&arena, "(the rest of its log could not be read: %s)\n",
                                    job->removed ? "the job was removed by someone else" : why.text);
    return PERSIST(journal_step_append_output(job->ctx->journal, job->step->deployment, job->step->seq, note,
                                              strlen(note), err),
                   err);
}

/* For the next worker: not to write the same lines again, and not to give the job all of its time again. */
static void note_position(struct job *job)
{
    struct error ignored = {0};
    struct log_position before = output_position(job->progress);
    bool moved = before.out_ns != job->position.out_ns || before.err_ns != job->position.err_ns;
    int64_t spent_us = job->request->timeout_us - (job->deadline_us - mono_us());
    if (!moved && spent_us - job->noted_us < noting_interval_us)
        return;
    job->noted_us = spent_us;
    json_object_set_new(job->progress, "spent_us", json_integer(spent_us));
    output_note_position(job->progress, &job->position);
    json_object_set_new(job->progress, "last", json_string(job->last_line));
    cleanup_free char *text = json_dumps(job->progress, JSON_COMPACT);
    if (journal_step_progress(job->ctx->journal, job->step->deployment, job->step->seq, text, &ignored) < 0)
        log_debug("position in the log of %s: %s", job->name, ignored.text);
}

/* For whoever looks on: why it does not run yet, or the last that it said. */
static void tell(const struct job *job, const json_t *task)
{
    cleanup_arena struct arena arena = {0};
    const char *state = json_path_string(task, "Status", "State", NULL),
               *why = json_path_string(task, "Status", "Err", NULL), *note = job->last_line;
    if (!job->removed && state && !str_eq(state, "running") && !task_ended(task))
        note = arena_printf(&arena, "%s%s%s", state, why && *why ? ": " : "", why && *why ? why : "");
    const char *title = job->request->title;
    step_live(job->ctx, &(struct progress){.doing = str_eq(title, job->step->name) ? NULL : title,
                                           .deadline_us = job->deadline_us,
                                           .note = note});
}

/* What the shell's way of counting says: 128 and the signal. */
static const char *killed_by(json_int_t code)
{
    if (code == 128 + SIGKILL)
        return " (killed: by the kernel when it needed more memory than its limit, or from outside)";
    return code == 128 + SIGSEGV ? " (it crashed: SIGSEGV)" : code == 128 + SIGABRT ? " (it aborted)" : "";
}

static int describe_failure(const struct job *job, const json_t *task, struct error *err)
{
    json_int_t code = json_path_integer(task, 0, "Status", "ContainerStatus", "ExitCode");
    const char *state = json_path_string(task, "Status", "State", NULL),
               *text = json_path_string(task, "Status", "Err", NULL);
    cleanup_arena struct arena arena = {0};
    const char *why = text && *text ? str_clean(&arena, text, strlen(text), true, 400) : "";
    if (job->removed)
        return error_set(err, ERR_FAILED, (int)code,
                         "the job was removed by someone else, and its task ended: exit %lld (%s)",
                         (long long)code, state ? state : "");
    if (code)
        return error_set(err, ERR_FAILED, (int)code, "exit %lld%s: %s", (long long)code, killed_by(code),
                         *job->last_line ? job->last_line : why);
    return error_set(err, ERR_FAILED, 0, "%s: %s", state ? state : "ended", *why ? why : job->last_line);
}

static int timed_out(struct job *job, const json_t *task, struct error *err)
{
    const char *state = json_path_string(task, "Status", "State", NULL),
               *why = json_path_string(task, "Status", "Err", NULL),
               *node = json_path_string(task, "NodeID", NULL);
    cleanup_arena struct arena arena = {0};
    const char *took = duration_text(&arena, job->request->timeout_us);
    if (!why || !*why)
        why = json_path_string(task, "Status", "Message", NULL);
    bool says_more = why && *why && !str_eq(why, state); /* "starting" has "starting" for its message */
    if (!str_eq(state, "running"))
        return error_set(err, ERR_TIMEOUT, 0, "did not start within %s: %s%s%s", took,
                         state ? state : "no task", says_more ? ": " : "", says_more ? why : "");
    if (job->removed)
        return error_set(
            err, ERR_TIMEOUT, 0,
            "timed out after %s; its job was removed by someone else, so it could not be stopped and "
            "still runs: docker rm -f on node %.12s",
            took, node ? node : "");
    return error_set(err, ERR_TIMEOUT, 0, "timed out after %s and was stopped%s%s", took,
                     *job->last_line ? "; last line: " : "", job->last_line);
}

/* While the engine does not answer, the clock of the timeout stands still. */
static void note_absence(struct job *job, const struct error *err)
{
    if (!job->away_since_us)
        job->away_since_us = mono_us();
    step_waiting(job->ctx, "%s %s: the engine does not answer: %s", job->request->word, job->step->name,
                 err->text);
}

static void note_presence(struct job *job)
{
    if (job->away_since_us)
        job->deadline_us += mono_us() - job->away_since_us;
    job->away_since_us = 0;
    step_waiting(job->ctx, NULL);
}

static bool may_start_again(const struct job *job)
{
    return !job->removed && !job->last_start && mono_us() < job->deadline_us;
}

int job_wait(struct job *job, struct error *err)
{
    for (int64_t next_log = 0;;) {
        cleanup_json json_t *tasks = NULL;
        const json_t *task = NULL;
        enum job_end end = JOB_RUNNING;
        if (job_tasks(job->ctx, job->id, &tasks, &job->removed, err) == 0) {
            note_presence(job);
            if (job->removed && json_array_size(tasks) == 0)
                return error_set(
                    err, ERR_CONFLICT, 0,
                    "the job %s was removed by someone else; whether it ended well is not known, so "
                    "it was not run again. Look at %s, then: agentctl retry %s",
                    job->name, job->request->look_at, job->ctx->stack->name);
            end = job_state(tasks, &task);
            if (end == JOB_FAILED && may_start_again(job) && tasks_never_ran(tasks)) {
                (void)describe_failure(job, task, err);
                return 1;
            }
        } else if (!send_is_transient(err)) {
            return -1;
        } else {
            note_absence(job, err);
        }
        bool late = mono_us() >= job->deadline_us, over = end != JOB_RUNNING || late;
        if (tasks && (over || mono_us() >= next_log)) {
            if (!over || !task_container(task)) /* without one there never was any output */
                follow_output(job);
            else if (finish_output(job, err) < 0)
                return -1;
            note_position(job);
            tell(job, task);
            next_log = mono_us() + log_interval_us;
        }
        if (end == JOB_SUCCEEDED)
            return 0;
        if (end == JOB_FAILED)
            return describe_failure(job, task, err);
        if (step_stop_reason(job->ctx) != STOP_NONE)
            return step_should_stop(job->ctx, err);
        if (tasks && late)
            return timed_out(job, task, err);
        step_sleep(job_look_interval_us);
    }
}

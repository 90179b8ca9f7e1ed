/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/output.h"

#include <stdio.h>
#include <string.h>

#include "agent/log.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/secret.h"
#include "base/str.h"

/* Lines are collected to pieces of this size, so that a job that prints 100 MB costs few transactions. */
static const size_t piece_size = 128 * 1024;

struct collector {
    struct step_ctx *ctx;
    const struct step *step;
    struct log_position *position; /* up to which all is in the journal */
    struct log_position seen;
    struct str piece;
    struct error *err;
    char *last_line;
    size_t size;
};

static int flush(struct collector *c)
{
    if (c->piece.len == 0)
        return 0;
    int r = journal_step_append_output(c->ctx->journal, c->step->deployment, c->step->seq, c->piece.data,
                                       c->piece.len, c->err);
    str_clear(&c->piece);
    if (r == 0)
        *c->position = c->seen;
    return r;
}

/*
 * Of all that a failing command prints one line goes into the reason. Tracebacks end in the exception, but
 * stdout that was held back may come after it ("  Applying tracker.0003…"), so a line that names an error
 * outlives one that does not.
 */
static bool says_error(const char *line)
{
    static const char *const marks[] = {"Error", "ERROR", "FATAL", "error:", "Exception"};
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (*line != ' ' && strstr(line, marks[i]))
            return true;
    return false;
}

static int collect(void *userdata, int64_t timestamp_ns, bool is_stderr, const char *line, size_t len)
{
    struct collector *c = userdata;
    int64_t *seen_ns = is_stderr ? &c->seen.err_ns : &c->seen.out_ns;
    if (timestamp_ns > *seen_ns)
        *seen_ns = timestamp_ns;
    cleanup_arena struct arena arena = {0};
    const char *text = secret_redact(&arena, str_clean(&arena, line, len, true, 16384));
    str_append(&c->piece, text);
    str_append_char(&c->piece, '\n');
    if (c->last_line && *text && (says_error(text) || !says_error(c->last_line)))
        snprintf(c->last_line, c->size, "%s", text + strspn(text, " "));
    return c->piece.len >= piece_size ? flush(c) : 0;
}

struct log_position output_position(const json_t *progress)
{
    json_int_t out_ns = json_path_integer(progress, 0, "log_ns", NULL, NULL);
    /* workers of before knew one position for both */
    return (struct log_position){.out_ns = out_ns,
                                 .err_ns = json_path_integer(progress, out_ns, "log_err_ns", NULL, NULL)};
}

void output_note_position(json_t *progress, const struct log_position *position)
{
    json_object_set_new(progress, "log_ns", json_integer(position->out_ns));
    json_object_set_new(progress, "log_err_ns", json_integer(position->err_ns));
}

int output_follow(struct step_ctx *ctx, const struct step *step, const char *service_id,
                  struct log_position *position, char *last_line, size_t size, struct error *err)
{
    struct collector c = {.ctx = ctx,
                          .step = step,
                          .position = position,
                          .seen = *position,
                          .err = err,
                          .last_line = last_line,
                          .size = size};
    int r = docker_service_logs(ctx->docker, service_id, position, 0, collect, &c, err);
    if (flush(&c) < 0)
        r = -1;
    str_release(&c.piece);
    return r;
}

static void task_tail(struct collector *c, const json_t *task)
{
    enum { TAIL_LINES = 20 };
    const char *id = json_path_string(task, "ID", NULL),
               *state = json_path_string(task, "Status", "State", NULL);
    str_printf(&c->piece, "task %.12s, %s:\n", id ? id : "", state ? state : "");
    if (id && docker_task_logs(c->ctx->docker, id, TAIL_LINES, collect, c, c->err) < 0)
        str_printf(&c->piece, "(its log could not be read: %s)\n", c->err->text);
}

void output_new_tasks_tail(struct step_ctx *ctx, const struct step *step, const char *service_id,
                           const json_t *before)
{
    enum { MAX_TASKS = 3 };
    cleanup_json json_t *tasks = NULL;
    struct error err = {0};
    struct log_position position = {0};
    struct collector c = {.ctx = ctx, .step = step, .err = &err, .position = &position};
    if (!service_id || docker_tasks(ctx->docker, service_id, false, &tasks, &err) < 0)
        return;
    unsigned n = 0;
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (n < MAX_TASKS && !task_is_in(before, task)) {
            task_tail(&c, task);
            n++;
        }
    }
    if (flush(&c) < 0)
        log_warning("%s", err.text);
    str_release(&c.piece);
}

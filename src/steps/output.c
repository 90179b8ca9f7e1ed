/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/output.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "base/str.h"

/* Lines are collected to pieces of this size, so that a job that prints 100 MB costs few transactions. */
static const size_t piece_size = 128 * 1024;

struct collector {
    struct step_ctx *ctx;
    const struct step *step;
    struct output_position *position;
    struct str piece;
    struct error *err;
    char *last_line;
    size_t size;
};

static int flush(struct collector *c)
{
    if (c->piece.len == 0)
        return 0;
    int r = journal_step_append_output(c->ctx->journal, c->step->deployment, c->step->seq, c->piece.data, c->piece.len, c->err);
    str_clear(&c->piece);
    return r;
}

static int collect(void *userdata, int64_t timestamp_ns, bool is_stderr, const char *line, size_t len)
{
    struct collector *c = userdata;
    (void)is_stderr;
    /* the engine's `since` includes the moment itself */
    if (timestamp_ns && timestamp_ns <= c->position->last_ns)
        return 0;
    if (timestamp_ns)
        c->position->last_ns = timestamp_ns;
    cleanup_arena struct arena arena = {0};
    const char *text = secret_redact(&arena, str_clean(&arena, line, len, true, 16384));
    str_append(&c->piece, text);
    str_append_char(&c->piece, '\n');
    if (c->last_line && *text)
        snprintf(c->last_line, c->size, "%s", text);
    return c->piece.len >= piece_size ? flush(c) : 0;
}

int output_follow(struct step_ctx *ctx, const struct step *step, const char *service_id, struct output_position *position,
                  char *last_line, size_t size, struct error *err)
{
    struct collector c = {.ctx = ctx, .step = step, .position = position, .err = err, .last_line = last_line, .size = size};
    int r = docker_service_logs(ctx->docker, service_id, position->last_ns, 0, collect, &c, err);
    if (flush(&c) < 0)
        r = -1;
    str_release(&c.piece);
    return r;
}

void output_service_tail(struct step_ctx *ctx, const struct step *step, const char *service_id)
{
    enum { TAIL_LINES = 50 };
    struct error err = {0};
    struct output_position position = {0};
    struct collector c = {.ctx = ctx, .step = step, .position = &position, .err = &err};
    if (!service_id)
        return;
    if (docker_service_logs(ctx->docker, service_id, 0, TAIL_LINES, collect, &c, &err) < 0)
        str_printf(&c.piece, "(its log could not be read: %s)\n", err.text);
    if (flush(&c) < 0)
        fprintf(stderr, "%s\n", err.text);
    str_release(&c.piece);
}

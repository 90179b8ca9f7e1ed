/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/log.h"
#include "agent/step.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/* A row for a change, and one a second at most: each is a write that waits for the disk. */
static const int64_t interval_us = US_PER_S;
/* The two clocks drift against each other; a deadline that moved by less is the same one. */
static const int64_t same_deadline_us = 2 * US_PER_S;

void step_live_begin(struct step_ctx *ctx, unsigned seq)
{
    ctx->live = (struct step_live){.seq = seq};
}

static int64_t wall_deadline(struct step_live *live, int64_t deadline_us)
{
    int64_t wall = deadline_us ? wall_us() + deadline_us - mono_us() : 0, moved = wall - live->deadline_us;
    if (!wall || moved > same_deadline_us || moved < -same_deadline_us)
        live->deadline_us = wall / US_PER_S * US_PER_S;
    return live->deadline_us;
}

static int write_live(struct step_ctx *ctx, const char *text)
{
    struct error ignored = {0};
    if (journal_step_live(ctx->journal, ctx->deployment->id, ctx->live.seq, text, &ignored) == 0)
        return 0;
    log_debug("%s", ignored.text);
    return -1;
}

void step_live(struct step_ctx *ctx, const struct progress *progress)
{
    struct step_live *live = &ctx->live;
    struct progress p = *progress;
    cleanup_arena struct arena arena = {0};
    if (!live->seq)
        return;
    p.deadline_us = wall_deadline(live, p.deadline_us);
    const char *text = progress_text(&arena, &p);
    if (strlen(text) >= sizeof live->pending)
        return;
    bool is_news = strcmp(text, live->said) != 0;
    memcpy(live->pending, is_news ? text : "", is_news ? strlen(text) + 1 : 1);
    step_live_flush(ctx);
}

void step_live_flush(struct step_ctx *ctx)
{
    struct step_live *live = &ctx->live;
    int64_t now = mono_us();
    if (!live->seq || !live->pending[0] || now < live->next_us)
        return;
    live->next_us = now + interval_us;
    if (write_live(ctx, live->pending) < 0)
        return;
    memcpy(live->said, live->pending, sizeof live->said);
    live->pending[0] = '\0';
}

void step_live_end(struct step_ctx *ctx)
{
    if (ctx->live.seq && ctx->live.said[0])
        (void)write_live(ctx, NULL);
    ctx->live = (struct step_live){.seq = 0};
}

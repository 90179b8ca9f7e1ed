/* SPDX-License-Identifier: Apache-2.0 */
#include "agentctl/live.h"

#include <stdlib.h>
#include <string.h>

void live_open(struct live *live, FILE *to)
{
    const char *term = getenv("TERM");
    *live = (struct live){.to = to, .terminal = text_terminal(to) > 0 && term && strcmp(term, "dumb") != 0};
}

void live_clear(struct live *live)
{
    if (live->shown)
        fputs("\r\033[K", live->to);
    live->shown = false;
}

static void draw(struct live *live, const char *text)
{
    struct arena arena = {0};
    size_t columns = text_terminal(live->to);
    live_clear(live);
    /* the last column stays free: some terminals begin a new line there */
    fputs(text_cut(&arena, text, columns > 1 ? columns - 1 : 1), live->to);
    live->shown = true;
    arena_release(&arena);
}

void live_show(struct live *live, const char *text, const char *change)
{
    if (live->terminal) {
        draw(live, text);
    } else if (change && !str_eq(change, live->said)) {
        arena_release(&live->arena);
        live->said = arena_strdup(&live->arena, change);
        fprintf(live->to, "%s\n", change);
    }
    fflush(live->to);
}

void live_close(struct live *live)
{
    live_clear(live);
    fflush(live->to);
    arena_release(&live->arena);
}

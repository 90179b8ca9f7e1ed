/* SPDX-License-Identifier: Apache-2.0 */
#include "agentctl/view.h"

#include "base/clock.h"

int view_load(struct ctl *ctl, struct arena *arena, const struct deployment *d, struct view *ret,
              struct error *err)
{
    return view_read(ctl->journal, arena, d, ret, err);
}

enum colour view_colour(enum deployment_state state)
{
    switch (state) {
    case DEPLOYMENT_SUCCEEDED:
        return COLOUR_GOOD;
    case DEPLOYMENT_FAILED:
    case DEPLOYMENT_HALTED:
    case DEPLOYMENT_STUCK:
        return COLOUR_BAD;
    case DEPLOYMENT_ROLLED_BACK:
    case DEPLOYMENT_CANCELLED:
    case DEPLOYMENT_INTERRUPTED:
        return COLOUR_CAREFUL;
    case DEPLOYMENT_SUPERSEDED:
        return COLOUR_FAINT;
    case DEPLOYMENT_REQUESTED:
    case DEPLOYMENT_PLANNED:
    case DEPLOYMENT_RUNNING:
        break;
    }
    return COLOUR_NONE;
}

/* ---- the history table ---- */

enum { AUTHOR_MAX = 12, STACK_MAX = 20 };

struct table view_table(struct arena *arena, bool with_stack)
{
    static const char *const titles[] = {"ID",         "STACK",   "WHEN", "COMMIT", "AUTHOR",
                                         "MIGRATIONS", "VERDICT", "TOOK", "WHY"};
    static const unsigned char goes[] = {0, 2, 1, 3, 6, 5, 0, 4, 0};
    struct table t = {.arena = arena};
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        if (i == 1 && !with_stack)
            continue;
        t.goes[t.n_columns] = goes[i];
        if (str_eq(titles[i], "AUTHOR"))
            t.caps[t.n_columns] = AUTHOR_MAX;
        if (str_eq(titles[i], "STACK"))
            t.caps[t.n_columns] = STACK_MAX;
        if (str_eq(titles[i], "MIGRATIONS"))
            t.gives_way = t.n_columns;
        t.titles[t.n_columns++] = titles[i];
    }
    return t;
}

void view_add_row(struct table *table, const struct view *v)
{
    struct arena *arena = table->arena;
    const struct deployment *d = &v->d;
    const char *migrations = view_migrations(arena, v);
    struct cell cells[TABLE_COLUMNS_MAX];
    size_t n = 0;
    cells[n++] = (struct cell){arena_printf(arena, "%lld", (long long)d->id), COLOUR_NONE};
    if (str_eq(table->titles[1], "STACK"))
        cells[n++] = (struct cell){text_safe(arena, d->stack), COLOUR_NONE};
    cells[n++] =
        (struct cell){local_minute(arena, d->started_us ? d->started_us : d->requested_us), COLOUR_NONE};
    cells[n++] = (struct cell){arena_printf(arena, "%.7s", text_safe(arena, d->commit)), COLOUR_NONE};
    cells[n++] = (struct cell){d->author ? text_safe(arena, d->author) : "-", COLOUR_NONE};
    cells[n++] = (struct cell){migrations, str_starts(migrations, "FAILED") ? COLOUR_BAD : COLOUR_NONE};
    cells[n++] = (struct cell){view_verdict(arena, d->state), view_colour(d->state)};
    cells[n++] = (struct cell){view_took(arena, v), COLOUR_NONE};
    cells[n++] = (struct cell){view_why(arena, v), COLOUR_NONE};
    table_add(table, cells);
}

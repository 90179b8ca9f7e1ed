/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fold.h"

#include <stdio.h>
#include <string.h>

static bool is_over(const struct fold_kind *kind, int64_t now_us)
{
    return now_us - kind->since_us >= FOLD_WINDOW_US;
}

/* NULL: all places are taken by kinds that still have something to tell. */
static struct fold_kind *find(struct fold *fold, const void *what, const char *stack, int64_t now_us)
{
    struct fold_kind *place = NULL;
    for (struct fold_kind *k = fold->kinds; k < fold->kinds + FOLD_KINDS; k++) {
        if (k->what == what && strcmp(k->stack, stack) == 0)
            return k;
        bool is_free = !k->what || (is_over(k, now_us) && k->hidden == 0);
        if (is_free && !place)
            place = k;
    }
    if (place) {
        *place = (struct fold_kind){.what = what, .since_us = now_us, .allowed = FOLD_FIRST};
        snprintf(place->stack, sizeof place->stack, "%s", stack);
    }
    return place;
}

static void begin_anew(struct fold_kind *kind, int64_t now_us)
{
    kind->allowed = kind->hidden ? FOLD_LATER : FOLD_FIRST;
    kind->since_us = now_us;
    kind->written = kind->hidden = 0;
}

bool fold_hides(struct fold *fold, const void *what, const char *stack, int level, const char *text,
                int64_t now_us)
{
    struct fold_kind *kind = find(fold, what, stack, now_us);
    if (!kind)
        return false;
    if (is_over(kind, now_us) && kind->hidden == 0) /* else fold_due() tells first */
        begin_anew(kind, now_us);
    if (kind->written < kind->allowed) {
        kind->written++;
        return false;
    }
    kind->hidden++;
    kind->level = level;
    snprintf(kind->last, sizeof kind->last, "%s", text);
    return true;
}

const struct fold_kind *fold_due(struct fold *fold, int64_t now_us)
{
    static struct fold_kind told;
    for (struct fold_kind *k = fold->kinds; k < fold->kinds + FOLD_KINDS; k++)
        if (k->what && k->hidden > 0 && is_over(k, now_us)) {
            told = *k;
            begin_anew(k, now_us);
            return &told;
        }
    return NULL;
}

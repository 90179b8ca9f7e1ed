/* SPDX-License-Identifier: Apache-2.0 */
#include "view/at_work.h"

#include <string.h>

#include "agent/plan.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "view/json.h"
#include "view/view.h"

/* What is not at work has told nothing: the journal forgets it with the step's end. */
void at_work_find(struct arena *arena, const struct deployment *deployment, const struct step *steps,
                  size_t n, struct at_work *ret)
{
    struct at_work w = {.of = (unsigned)n, .stands = deployment->state != DEPLOYMENT_RUNNING};
    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        bool runs = s->state == STEP_RUNNING;
        if (!runs && (!s->live || (w.step && !w.back)))
            continue;
        w.step = s;
        w.number = (unsigned)i + 1;
        w.back = !runs;
        if (runs)
            break;
    }
    if (w.step)
        w.told = progress_parse(arena, w.step->live, &w.progress);
    *ret = w;
}

int at_work_load(struct journal *journal, struct arena *arena, const struct deployment *deployment,
                 struct at_work *ret, struct error *err)
{
    struct step *steps;
    size_t n;
    if (journal_steps(journal, arena, deployment->id, &steps, &n, err) < 0)
        return -1;
    at_work_find(arena, deployment, steps, n, ret);
    return 0;
}

/* ---- words ---- */

const char *at_work_title(struct arena *arena, const struct step *step)
{
    return arena_printf(arena, "%s %s", text_safe(arena, step->kind), text_safe(arena, step->name));
}

/* "0m12s of at most 5m00s". When putting a service back began is not on record: only until when it may take.
 */
static const char *clocks(struct arena *arena, const struct at_work *w)
{
    int64_t now = wall_us(), deadline = w->progress.deadline_us, started = w->step->started_us;
    if (w->stands)
        return "stopped";
    if (w->back)
        return deadline ? arena_printf(arena, "at most until %s",
                                       time_local(arena, deadline) + strlen("2026-08-23 "))
                        : "";
    const char *elapsed = duration_text(arena, now > started ? now - started : 0);
    if (deadline <= started)
        return elapsed;
    return arena_printf(arena, "%s of %s%s", elapsed, str_eq(w->step->kind, STEP_SOAK) ? "" : "at most ",
                        duration_text(arena, deadline - started));
}

/* Both may be empty. A note alone is what somebody says, a count is more of the same sentence. */
static char *join(struct arena *arena, const char *before, const struct progress *p)
{
    const char *words = progress_words(arena, p), *between = p->doing || p->of || p->bytes ? ", " : ": ";
    return arena_printf(arena, "%s%s%s", before, *before && *words ? between : "", words);
}

char *at_work_words(struct arena *arena, const struct at_work *work)
{
    const char *times = clocks(arena, work);
    if (!work->back)
        return join(arena, times, &work->progress);
    return arena_printf(arena, "%s%s%s", progress_words(arena, &work->progress), *times ? "; " : "", times);
}

char *at_work_line(struct arena *arena, const struct at_work *work)
{
    const char *words = at_work_words(arena, work);
    return arena_printf(arena, "%s%s%s", at_work_title(arena, work->step), *words ? ", " : "", words);
}

/* What changes every moment is left out: bytes, and what a job prints. */
char *at_work_change(struct arena *arena, const struct at_work *work)
{
    struct progress p = work->progress;
    p.bytes = 0;
    if (str_eq(work->step->kind, STEP_RUN) || str_eq(work->step->kind, STEP_BACKUP))
        p.note = NULL;
    return join(arena, at_work_title(arena, work->step), &p);
}

/* ---- JSON ---- */

static json_t *number(int64_t n)
{
    return n > 0 ? json_integer(n) : json_null();
}

json_t *live_json(const char *live)
{
    struct arena arena = {0};
    struct progress p;
    json_t *o = NULL;
    if (progress_parse(&arena, live, &p)) {
        o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "doing", json_text(p.doing), "of", json_text(p.of),
                      "bytes", number(p.bytes), "bytes_total", number(p.bytes_total), "deadline_at",
                      json_time(p.deadline_us), "note", json_text(p.note));
        json_object_set_new(o, "done", p.of ? json_integer(p.done) : json_null());
        json_object_set_new(o, "total", p.of ? json_integer(p.total) : json_null());
    }
    arena_release(&arena);
    return o ? o : json_null();
}

json_t *at_work_json(const struct at_work *work)
{
    const struct step *s = work->step;
    if (!s)
        return json_null();
    json_t *o = json_pack("{s:I, s:I, s:o, s:o, s:b, s:o, s:o}", "seq", (json_int_t)s->seq, "of",
                          (json_int_t)work->of, "kind", json_text(s->kind), "name", json_text(s->name),
                          "putting_back", work->back, "started_at", json_time(s->started_us), "live",
                          live_json(s->live));
    return o;
}

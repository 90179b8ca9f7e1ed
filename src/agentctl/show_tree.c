/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The steps of a deployment as a tree: what each did, when and for how long; beneath it what it is at, why it
 * failed, the files it applied, the service it rolled, and the last lines it printed.
 */

#include <stdio.h>
#include <string.h>

#include "agent/plan.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "agentctl/show.h"
#include "base/clock.h"
#include "view/at_work.h"

enum { OUTPUT_LINES = 20, FILES_SHOWN = 10 };

struct tree {
    struct arena *arena;
    const struct page *page;
    struct at_work work;
    const char *rest; /* begins each line beneath a step */
    int state_width;
    bool logs;
};

/* ---- lines beneath a step ---- */

static void beneath(const struct tree *t, enum colour colour, const char *text)
{
    text_wrap(t->rest, t->rest, colour, text);
}

static bool is_of(const struct step *s, const char *kind, const char *name)
{
    return str_eq(s->kind, kind) && str_eq(s->name, name);
}

static bool is_migration_of(const struct step *s, const char *step)
{
    return is_of(s, STEP_RUN, step) || is_of(s, STEP_SQL, step);
}

/* ", 0.400 s, 12 rows" */
static const char *took_and_rows(struct arena *arena, const struct migration_record *m)
{
    if (m->took_us < 0)
        return "";
    const char *took = arena_printf(arena, ", %lld.%03lld s", (long long)(m->took_us / US_PER_S),
                                    (long long)(m->took_us % US_PER_S / 1000));
    return m->rows < 0
               ? took
               : arena_printf(arena, "%s, %lld row%s", took, (long long)m->rows, m->rows == 1 ? "" : "s");
}

static const char *migration_text(struct arena *arena, const struct migration_record *m)
{
    return arena_printf(arena, "%s%s%s%s%s: %s%s", m->schema ? text_safe(arena, m->schema) : "",
                        m->schema ? ": " : "", text_safe(arena, m->version), *m->version ? " " : "",
                        text_safe(arena, m->name), text_safe(arena, m->state), took_and_rows(arena, m));
}

/* What went well is counted beyond the first few; what did not is always told. */
static void print_migrations(const struct tree *t, const struct step *s)
{
    const struct view *v = &t->page->view;
    size_t shown = 0, hidden = 0;
    for (size_t i = 0; i < v->n_migrations; i++) {
        const struct migration_record *m = &v->migrations[i];
        bool failed = str_starts(m->state, "failed"), runs = str_eq(m->state, "running");
        if (!is_migration_of(s, m->step))
            continue;
        if (!failed && !runs && !t->logs && shown >= FILES_SHOWN) {
            hidden++;
            continue;
        }
        shown++;
        beneath(t, failed ? COLOUR_BAD : COLOUR_NONE, migration_text(t->arena, m));
    }
    if (hidden)
        beneath(t, COLOUR_FAINT, arena_printf(t->arena, "and %zu more: --logs, or --json", hidden));
}

static void print_schemas(const struct tree *t, const struct step *s)
{
    const struct view *v = &t->page->view;
    for (size_t i = 0; i < v->n_schemas; i++) {
        const struct schema_record *one = &v->schemas[i];
        bool moved = !str_eq(one->before, one->after);
        if (!is_of(s, STEP_SQL, one->step))
            continue;
        const char *where =
            one->schema ? arena_printf(t->arena, "%s: ", text_safe(t->arena, one->schema)) : "";
        const char *before = *one->before ? text_safe(t->arena, one->before) : "none",
                   *after = text_safe(t->arena, one->after);
        beneath(t, COLOUR_NONE,
                moved          ? arena_printf(t->arena, "%sversion %s → %s", where, before, after)
                : *one->before ? arena_printf(t->arena, "%sversion stays at %s", where, before)
                               : arena_printf(t->arena, "%sno version yet", where));
    }
}

/* ---- services ---- */

static const struct service_record *service_of(const struct page *page, const struct step *s)
{
    if (!str_eq(s->kind, STEP_ROLL) && !str_eq(s->kind, STEP_BEFORE))
        return NULL;
    for (size_t i = 0; i < page->n_services; i++)
        if (str_eq(page->services[i].service, s->name))
            return &page->services[i];
    return NULL;
}

bool show_has_step(const struct page *page, const struct service_record *service)
{
    for (size_t i = 0; i < page->n_steps; i++)
        if (service_of(page, &page->steps[i]) == service)
            return true;
    return false;
}

bool show_migration_has_step(const struct page *page, const char *step)
{
    for (size_t i = 0; i < page->n_steps; i++)
        if (is_migration_of(&page->steps[i], step))
            return true;
    return false;
}

/* With twelve digits of the digest: the whole is in the list of images. */
const char *show_image(struct arena *arena, const char *spec)
{
    const char *image = spec_image_of(arena, spec), *digest = image ? strstr(image, "@sha256:") : NULL;
    return digest ? arena_printf(arena, "%.*s", (int)(digest - image) + (int)strlen("@sha256:") + 12, image)
                  : image;
}

/* As it was sent, also where the record does not say what runs: it never came to that, or was put back. */
static const char *new_image(const struct tree *t, const struct service_record *s)
{
    const struct view *v = &t->page->view;
    if (s->after)
        return show_image(t->arena, s->after);
    for (size_t i = 0; i < v->n_images; i++)
        if (str_eq(v->images[i].service, s->service) && v->images[i].digest)
            return arena_printf(t->arena, "%s@%.19s", text_safe(t->arena, v->images[i].reference),
                                text_safe(t->arena, v->images[i].digest));
    return NULL;
}

static void print_images(const struct tree *t, const struct service_record *s)
{
    const char *before = show_image(t->arena, s->before), *after = new_image(t, s);
    if (!before && !after)
        return;
    if (!after || str_eq(before, after))
        beneath(t, COLOUR_NONE,
                arena_printf(t->arena, "%s%s", before,
                             after && !str_eq(s->before, s->after) ? ", other settings changed" : ""));
    else
        beneath(t, COLOUR_NONE, arena_printf(t->arena, "%s → %s", before ? before : "(new)", after));
}

static void print_service(const struct tree *t, const struct step *step)
{
    const struct service_record *s = service_of(t->page, step);
    if (!s)
        return;
    print_images(t, s);
    /* a note of before it was put back is about what does not run any more */
    const char *note = s->note && !str_eq(s->state, "rolled_back") ? text_safe(t->arena, s->note) : "";
    beneath(t, COLOUR_NONE,
            arena_printf(t->arena, "%s: %s%s%s", text_safe(t->arena, s->action),
                         view_words(t->arena, s->state), *note ? "; " : "", note));
    unsigned failures = page_failures_before(t->page, s->service);
    if (failures)
        beneath(t, COLOUR_CAREFUL, tasks_failed_words(t->arena, failures));
}

/* ---- what it printed ---- */

static bool output_matters(const struct tree *t, const struct step *s)
{
    return s->output && *s->output && (t->logs || s->state == STEP_FAILED || s->state == STEP_FAILED_ALLOWED);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        n++;
    return n;
}

static void print_output(const struct tree *t, const struct step *s)
{
    if (!output_matters(t, s))
        return;
    cleanup_str struct str text = {0};
    const char *clean = str_clean(t->arena, s->output, strlen(s->output), false, 0);
    size_t lines = count_lines(clean), shown = t->logs || lines < OUTPUT_LINES ? lines : OUTPUT_LINES;
    text_tail(&text, clean, shown, arena_printf(t->arena, "%s│ ", t->rest));
    if (shown < lines)
        beneath(t, COLOUR_FAINT,
                arena_printf(t->arena, "the last %zu of %zu lines; all of them: agentctl show %lld --logs",
                             shown, lines, (long long)t->page->view.d.id));
    fputs(str_text(&text), stdout);
}

/* ---- one step ---- */

static enum colour step_colour(enum step_state state)
{
    return state == STEP_FAILED                                   ? COLOUR_BAD
           : state == STEP_FAILED_ALLOWED || state == STEP_UNDONE ? COLOUR_CAREFUL
           : state == STEP_DONE                                   ? COLOUR_GOOD
                                                                  : COLOUR_FAINT;
}

/* One that its worker did not bring to an end lasts no longer than the deployment. */
static const char *step_took(struct arena *arena, const struct page *page, const struct step *s)
{
    const struct deployment *d = &page->view.d;
    int64_t end = s->finished_us ? s->finished_us : d->finished_us ? d->finished_us : wall_us();
    bool known = s->finished_us || d->state != DEPLOYMENT_INTERRUPTED;
    return s->started_us && known ? duration_text(arena, end - s->started_us) : "";
}

/* What has not begun when the deployment ends never will; what runs without a worker does not. */
static const char *step_word(const struct page *page, const struct step *s)
{
    enum deployment_state state = page->view.d.state;
    bool over = deployment_state_ended(state), runs = s->state == STEP_RUNNING;
    if (over && s->state == STEP_PENDING)
        return "not run";
    if (runs && (over || state == DEPLOYMENT_INTERRUPTED))
        return over ? "not ended" : "stopped";
    return step_state_name(s->state);
}

static void print_step(struct tree *t, const struct step *s, bool last)
{
    const char *when = s->started_us ? time_local(t->arena, s->started_us) + strlen("2026-08-23 ") : "";
    printf("  %s %2u  %-8s  %6s  %s%-*s%s  %s\n", last ? "└─" : "├─", s->seq, when,
           step_took(t->arena, t->page, s), colour_on(step_colour(s->state)), t->state_width,
           step_word(t->page, s), colour_off(), at_work_title(t->arena, s));
    if (s->state == STEP_PENDING)
        return;
    t->rest = last ? "         " : "  │      ";
    if (s->error)
        beneath(t, COLOUR_BAD, text_safe(t->arena, s->error));
    if (t->work.step == s && (t->work.told || t->work.back))
        beneath(t, COLOUR_BOLD, at_work_words(t->arena, &t->work));
    print_migrations(t, s);
    print_schemas(t, s);
    print_service(t, s);
    print_output(t, s);
}

void show_tree(struct arena *arena, const struct page *page, bool logs)
{
    struct tree t = {.arena = arena, .page = page, .logs = logs};
    if (page->n_steps == 0)
        return;
    if (!deployment_state_ended(page->view.d.state))
        at_work_find(arena, &page->view.d, page->steps, page->n_steps, &t.work);
    for (size_t i = 0; i < page->n_steps; i++) {
        int len = (int)strlen(step_word(page, &page->steps[i]));
        t.state_width = len > t.state_width ? len : t.state_width;
    }
    show_heading("steps");
    for (size_t i = 0; i < page->n_steps; i++)
        print_step(&t, &page->steps[i], i + 1 == page->n_steps);
}

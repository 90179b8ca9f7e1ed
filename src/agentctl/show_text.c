/* SPDX-License-Identifier: Apache-2.0 */

/* The page that `agentctl show` prints for people. */

#include <stdio.h>
#include <string.h>

#include "agent/spec.h"
#include "agent/tasks.h"
#include "agentctl/show.h"
#include "base/clock.h"

enum { OUTPUT_LINES = 20 };

void show_heading(const char *text)
{
    printf("\n%s%s%s\n", colour_on(COLOUR_BOLD), text, colour_off());
}

void show_field(const char *name, const char *value)
{
    if (value && *value)
        printf("  %-11s %s\n", name, value);
}

/* ---- head ---- */

static const char *who_asked(struct arena *arena, const struct deployment *d)
{
    cleanup_str struct str text = {0};
    str_append(&text, trigger_name(d->trigger));
    if (d->target_id)
        str_printf(&text, " of #%lld", (long long)d->target_id);
    /* what the agent has found by itself, a person has let through */
    if (d->requested_by)
        str_printf(&text, d->trigger == TRIGGER_POLL ? ", approved by %s" : ", by %s",
                   text_safe(arena, d->requested_by));
    return arena_strdup(arena, str_text(&text));
}

static const char *end_of(struct arena *arena, const struct view *v)
{
    if (!v->d.started_us)
        return v->d.finished_us ? time_local(arena, v->d.finished_us) : NULL;
    if (!v->d.finished_us)
        return arena_printf(arena, "not yet; running for %s", view_took(arena, v));
    return arena_printf(arena, "%s, took %s", time_local(arena, v->d.finished_us), view_took(arena, v));
}

static void print_head(struct arena *arena, const struct page *page)
{
    const struct view *v = &page->view;
    const struct deployment *d = &v->d;
    printf("%sdeployment %lld of %s: %s%s%s\n", colour_on(COLOUR_BOLD), (long long)d->id,
           text_safe(arena, d->stack), colour_on(view_colour(d->state)), view_verdict(arena, d->state),
           colour_off());
    show_field("commit", arena_printf(arena, "%s%s%s", text_safe(arena, d->commit), d->branch ? " on " : "",
                                      text_safe(arena, d->branch)));
    show_field("subject", text_safe(arena, d->subject));
    show_field("author", text_safe(arena, d->author));
    show_field("trigger", who_asked(arena, d));
    show_field("requested", time_local(arena, d->requested_us));
    show_field("started", d->started_us ? time_local(arena, d->started_us) : NULL);
    show_field("finished", end_of(arena, v));
    show_field("started on",
               d->base_id ? arena_printf(arena, "#%lld, the last success", (long long)d->base_id) : NULL);
    show_field("resumed",
               d->resumes ? arena_printf(arena, "%u times since its last progress", d->resumes) : NULL);
    show_field("cancel", d->cancel_requested && !deployment_state_ended(d->state) ? "requested" : NULL);
    show_field("waiting for", text_safe(arena, v->waiting));
    show_field("why", text_safe(arena, d->reason));
}

static void print_warnings(struct arena *arena, const struct page *page)
{
    size_t i;
    json_t *one;
    if (json_array_size(page->warnings) > 0)
        show_heading("warnings");
    json_array_foreach (page->warnings, i, one) {
        if (json_is_string(one))
            printf("  - %s\n", text_safe(arena, json_string_value(one)));
    }
}

/* ---- steps ---- */

static enum colour step_colour(enum step_state state)
{
    return state == STEP_FAILED                                   ? COLOUR_BAD
           : state == STEP_FAILED_ALLOWED || state == STEP_UNDONE ? COLOUR_CAREFUL
           : state == STEP_DONE                                   ? COLOUR_GOOD
                                                                  : COLOUR_FAINT;
}

static const char *step_took(struct arena *arena, const struct step *s)
{
    if (!s->started_us)
        return "";
    int64_t end = s->finished_us ? s->finished_us : s->state == STEP_RUNNING ? wall_us() : s->started_us;
    return duration_text(arena, end - s->started_us);
}

/* What has not begun when the deployment ends never will. */
static const char *step_word(const struct page *page, const struct step *s)
{
    bool never = s->state == STEP_PENDING && deployment_state_ended(page->view.d.state);
    return never ? "not run" : step_state_name(s->state);
}

static void print_steps(struct arena *arena, const struct page *page)
{
    int widest = 0;
    if (page->n_steps > 0)
        show_heading("plan");
    for (size_t i = 0; i < page->n_steps; i++) {
        int len = (int)strlen(step_word(page, &page->steps[i]));
        widest = len > widest ? len : widest;
    }
    for (size_t i = 0; i < page->n_steps; i++) {
        const struct step *s = &page->steps[i];
        const char *when = s->started_us ? time_local(arena, s->started_us) + strlen("2026-08-23 ") : "";
        printf("  %3u  %-8s  %6s  %s%-*s%s  %-8s %s\n", s->seq, when, step_took(arena, s),
               colour_on(step_colour(s->state)), widest, step_word(page, s), colour_off(),
               text_safe(arena, s->kind), text_safe(arena, s->name));
        if (s->error)
            printf("       %s\n", text_safe(arena, s->error));
    }
}

static bool output_matters(const struct step *s, bool logs)
{
    return s->output && (logs || s->state == STEP_FAILED || s->state == STEP_FAILED_ALLOWED);
}

static void print_outputs(struct arena *arena, const struct page *page, bool logs)
{
    for (size_t i = 0; i < page->n_steps; i++) {
        const struct step *s = &page->steps[i];
        if (!output_matters(s, logs))
            continue;
        cleanup_str struct str text = {0};
        text_tail(&text, str_clean(arena, s->output, strlen(s->output), false, 0),
                  logs ? SIZE_MAX : OUTPUT_LINES, "  | ");
        show_heading(arena_printf(arena, logs ? "output of step %u, %s %s" : "last output of step %u, %s %s",
                                  s->seq, text_safe(arena, s->kind), text_safe(arena, s->name)));
        fputs(str_text(&text), stdout);
    }
}

/* ---- what it was made of ---- */

/* ", 0.4 s, 12 rows" */
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

static void print_migrations(struct arena *arena, const struct view *v)
{
    if (v->n_migrations == 0 && v->n_schemas == 0)
        return;
    show_heading("migrations");
    for (size_t i = 0; i < v->n_migrations; i++) {
        const struct migration_record *m = &v->migrations[i];
        bool failed = str_starts(m->state, "failed");
        printf("  %s%s%s %s%s%s: %s%s%s%s%s%s\n", text_safe(arena, m->step), m->schema ? " in " : "",
               m->schema ? text_safe(arena, m->schema) : "", text_safe(arena, m->version),
               *m->version ? " " : "", text_safe(arena, m->name),
               colour_on(failed ? COLOUR_BAD : COLOUR_NONE), text_safe(arena, m->state),
               failed && v->failed_with ? ", " : "", failed && v->failed_with ? v->failed_with : "",
               failed ? colour_off() : "", took_and_rows(arena, m));
    }
    for (size_t i = 0; i < v->n_schemas; i++) {
        const struct schema_record *s = &v->schemas[i];
        bool moved = !str_eq(s->before, s->after);
        printf("  %s%s%s: %s%s%s%s\n", text_safe(arena, s->step), s->schema ? " in " : "",
               s->schema ? text_safe(arena, s->schema) : "",
               moved        ? ""
               : *s->before ? "stays at "
                            : "no version yet",
               text_safe(arena, s->before), moved ? " → " : "", moved ? text_safe(arena, s->after) : "");
    }
}

static void print_backup(struct arena *arena, const struct page *page)
{
    const char *file, *volume, *node, *restore,
        *note = json_string_value(json_object_get(page->backup, "note"));
    if (note) {
        show_heading("backup");
        printf("  %s\n", note);
    }
    if (!page->backup || json_unpack(page->backup, "{s:s, s:s, s:s, s:s}", "file", &file, "volume", &volume,
                                     "node", &node, "restore", &restore) < 0)
        return;
    show_heading("backup");
    printf("  %s, in volume %s\n  To restore it beside the database that is, on node %s:\n  %s\n",
           text_safe(arena, file), text_safe(arena, volume), text_safe(arena, node),
           text_safe(arena, restore));
}

static void print_images(struct arena *arena, const struct view *v)
{
    if (v->n_images == 0)
        return;
    show_heading("images");
    for (size_t i = 0; i < v->n_images; i++)
        printf("  %s: %s %s\n", text_safe(arena, v->images[i].service),
               text_safe(arena, v->images[i].reference), text_safe(arena, v->images[i].digest));
}

static const char *image_or(struct arena *arena, const char *spec, const char *otherwise)
{
    const char *image = spec_image_of(arena, spec);
    return image ? image : otherwise;
}

static void print_service(struct arena *arena, const struct service_record *s)
{
    bool none = str_eq(s->action, "none");
    printf("  %s: %s%s%s%s%s\n", text_safe(arena, s->service), none ? "" : text_safe(arena, s->action),
           none ? "" : ", ", view_words(arena, s->state), s->note ? "; " : "", text_safe(arena, s->note));
    if (!s->before && !s->after)
        return;
    const char *before = image_or(arena, s->before, "(none)"), *after = image_or(arena, s->after, NULL);
    if (after && str_eq(before, after))
        printf("      %s%s\n", before, str_eq(s->before, s->after) ? "" : ", other settings changed");
    else if (after)
        printf("      %s\n   →  %s\n", before, after);
    else
        printf("      before: %s\n", before);
}

/* Was it well before anything was touched? */
static void print_failures_before(struct arena *arena, const struct page *page,
                                  const struct service_record *s)
{
    unsigned failures = show_failures_before(page, s->service);
    if (failures)
        printf("      %s\n", tasks_failed_words(arena, failures));
}

static void print_services(struct arena *arena, const struct page *page)
{
    if (page->n_services > 0)
        show_heading("services");
    for (size_t i = 0; i < page->n_services; i++) {
        print_service(arena, &page->services[i]);
        print_failures_before(arena, page, &page->services[i]);
    }
}

/* How fast the checks were answered while the services were watched. */
static void print_latency(struct arena *arena, const struct page *page)
{
    size_t i;
    const json_t *one;
    if (json_array_size(page->latency) > 0)
        show_heading("answers");
    json_array_foreach (page->latency, i, one) {
        json_int_t was = json_path_integer(one, -1, "before_ms", NULL, NULL);
        printf("  %s: median %lld ms of %lld samples", text_safe(arena, json_path_string(one, "check", NULL)),
               (long long)json_path_integer(one, 0, "median_ms", NULL, NULL),
               (long long)json_path_integer(one, 0, "samples", NULL, NULL));
        if (was >= 0)
            printf(", was %lld ms of %lld%s", (long long)was,
                   (long long)json_path_integer(one, 0, "before_samples", NULL, NULL),
                   json_is_true(json_object_get(one, "slower")) ? ": slower" : "");
        fputs("\n", stdout);
    }
}

void show_text(struct arena *arena, const struct page *page, bool logs)
{
    print_head(arena, page);
    print_warnings(arena, page);
    print_steps(arena, page);
    print_backup(arena, page);
    print_migrations(arena, &page->view);
    print_images(arena, &page->view);
    print_services(arena, page);
    print_latency(arena, page);
    print_outputs(arena, page, logs);
    show_end(arena, page);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The page that `agentctl show` prints for people. */

#include <stdio.h>
#include <string.h>

#include "agent/spec.h"
#include "agent/tasks.h"
#include "agentctl/show.h"
#include "base/cleanup.h"
#include "base/clock.h"

void show_heading(const char *text)
{
    printf("\n%s%s%s\n", colour_on(COLOUR_BOLD), text, colour_off());
}

void show_field(const char *name, const char *value)
{
    cleanup_arena struct arena arena = {0};
    if (value && *value)
        text_wrap(arena_printf(&arena, "  %-11s ", name), "              ", COLOUR_NONE, value);
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
        return arena_printf(arena, "not yet; begun %s ago", view_took(arena, v));
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
            text_wrap("  - ", "    ", COLOUR_NONE, text_safe(arena, json_string_value(one)));
    }
}

/* ---- what it was made of ---- */

/* Those of steps that the plan does not have; the others stand beneath their steps. */
static void print_migrations(struct arena *arena, const struct page *page)
{
    const struct view *v = &page->view;
    bool any = false;
    for (size_t i = 0; i < v->n_migrations; i++) {
        const struct migration_record *m = &v->migrations[i];
        if (show_migration_has_step(page, m->step))
            continue;
        if (!any)
            show_heading("migrations");
        any = true;
        printf("  %s%s%s %s%s%s: %s\n", text_safe(arena, m->step), m->schema ? " in " : "",
               m->schema ? text_safe(arena, m->schema) : "", text_safe(arena, m->version),
               *m->version ? " " : "", text_safe(arena, m->name), text_safe(arena, m->state));
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

/* Those that no step of the plan rolls: unchanged, or to be removed. */
static void print_services(struct arena *arena, const struct page *page)
{
    bool any = false;
    for (size_t i = 0; i < page->n_services; i++) {
        const struct service_record *s = &page->services[i];
        if (show_has_step(page, s))
            continue;
        if (!any)
            show_heading("other services");
        any = true;
        bool none = str_eq(s->action, "none");
        printf("  %s: %s%s%s%s%s\n", text_safe(arena, s->service), none ? "" : text_safe(arena, s->action),
               none ? "" : ", ", view_words(arena, s->state), s->note ? "; " : "", text_safe(arena, s->note));
        unsigned failures = page_failures_before(page, s->service);
        if (failures)
            printf("      %s\n", tasks_failed_words(arena, failures));
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
    show_tree(arena, page, logs);
    print_backup(arena, page);
    print_migrations(arena, page);
    print_images(arena, &page->view);
    print_services(arena, page);
    print_latency(arena, page);
    show_end(arena, page);
}

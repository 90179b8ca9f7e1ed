/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How the page that `agentctl show` prints for people ends: after a bad end, what happened and what to do,
 * for somebody who was woken by it. Facts from the record alone, a line each.
 */

#include <stdio.h>
#include <string.h>

#include "agent/spec.h"
#include "agentctl/show.h"
#include "view/ending.h"

/* ---- which check, before and now ---- */

static const struct step *failed_step(const struct page *page)
{
    for (size_t i = 0; i < page->n_steps; i++)
        if (page->steps[i].state == STEP_FAILED)
            return &page->steps[i];
    return NULL;
}

static void print_cause(struct arena *arena, const struct page *page)
{
    const struct step *failed = failed_step(page);
    const json_t *before = json_object_get(page->regressed, "before");
    if (page->regressed) {
        show_field("check", text_safe(arena, json_path_string(page->regressed, "check", NULL)));
        show_field("before", view_samples(arena, before, ""));
        show_field("now", view_samples(arena, json_object_get(page->regressed, "now"), "the newest "));
    }
    if (failed)
        show_field(page->view.d.state == DEPLOYMENT_CANCELLED ? "stopped in" : "failed",
                   arena_printf(arena, "step %u, %s %s%s%s", failed->seq, text_safe(arena, failed->kind),
                                text_safe(arena, failed->name), page->regressed || !failed->error ? "" : ": ",
                                page->regressed ? "" : text_safe(arena, failed->error)));
}

/* ---- the services ---- */

static bool is_one_of(const char *state, const char *words)
{
    size_t len = strlen(state);
    for (const char *p = words; (p = strstr(p, state)); p += len)
        if ((p == words || p[-1] == ' ') && (p[len] == ' ' || !p[len]))
            return true;
    return false;
}

/* Names of the services in one of these states; `notes`: with what the record says of each. */
static void print_those(struct arena *arena, const struct page *page, const char *field, const char *states,
                        bool notes, const char *more)
{
    cleanup_str struct str text = {0};
    for (size_t i = 0; i < page->n_services; i++) {
        const struct service_record *s = &page->services[i];
        if (!s->state || !is_one_of(s->state, states))
            continue;
        str_printf(&text, "%s%s", text.len ? ", " : "", text_safe(arena, s->service));
        if (notes && s->note)
            str_printf(&text, " (%s)", text_safe(arena, s->note));
    }
    if (text.len)
        show_field(field, arena_printf(arena, "%s%s", str_text(&text), more));
}

/* "web: exactly as before, registry/web:1@sha256:91a2e0185391, and it passed its gate" */
static void print_put_back(struct arena *arena, const struct page *page)
{
    for (size_t i = 0; i < page->n_services; i++) {
        const struct service_record *s = &page->services[i];
        if (!str_eq(s->state, "rolled_back"))
            continue;
        const char *image = show_image(arena, s->before);
        show_field("put back",
                   arena_printf(arena, "%s: exactly as before%s%s, and it passed its gate",
                                text_safe(arena, s->service), image ? ", " : "", image ? image : ""));
    }
}

static void print_services_end(struct arena *arena, const struct page *page)
{
    print_put_back(arena, page);
    print_those(arena, page, "removed", "removed", false, ": new in this deployment");
    print_those(arena, page, "NOT back", "halted", true, "");
    print_those(arena, page, "runs new", "healthy degraded unverified failed", false, "");
    print_those(arena, page, "in between", "updating", false,
                ": its update was begun, and nobody has seen how it ended");
    print_those(arena, page, "not touched", "untouched unchanged pending", false, "");
}

/* ---- the database ---- */

enum { SHOWN = 5 };

static void add_versions(struct arena *arena, const struct view *v, struct str *text)
{
    for (size_t i = 0; i < v->n_schemas && i < SHOWN; i++) {
        const struct schema_record *s = &v->schemas[i];
        str_printf(text, "%s%s%s%s at %s", text->len ? ", " : "", text_safe(arena, s->step),
                   s->schema ? " in " : "", s->schema ? text_safe(arena, s->schema) : "",
                   *s->after ? text_safe(arena, s->after) : "no version");
        if (!str_eq(s->before, s->after))
            str_printf(text, " (%s%s before)", *s->before ? "" : "none", text_safe(arena, s->before));
        else
            str_append(text, " (as before)");
    }
    if (v->n_schemas > SHOWN)
        str_printf(text, ", and %zu more", v->n_schemas - SHOWN);
}

static bool has_version(const struct view *v, const struct migration_record *m)
{
    for (size_t i = 0; i < v->n_schemas; i++)
        if (str_eq(v->schemas[i].step, m->step) && str_eq(v->schemas[i].schema, m->schema))
            return true;
    return false;
}

/* Migrations of containers have no version of ours, and what failed is said in any case. */
static void add_others(struct arena *arena, const struct view *v, struct str *text)
{
    size_t shown = 0;
    for (size_t i = 0; i < v->n_migrations; i++) {
        const struct migration_record *m = &v->migrations[i];
        bool failed = str_starts(m->state, "failed");
        if (!failed && (!str_eq(m->state, "applied") || has_version(v, m)))
            continue;
        if (shown++ < SHOWN)
            str_printf(text, "%s%s%s%s %s", text->len ? ", " : "", text_safe(arena, m->step),
                       failed ? " " : "", failed ? text_safe(arena, m->name) : "",
                       text_safe(arena, m->state));
    }
    if (shown > SHOWN)
        str_printf(text, ", and %zu more", shown - SHOWN);
}

static void print_database(struct arena *arena, const struct page *page)
{
    const struct view *v = &page->view;
    const char *backup = json_string_value(json_object_get(page->backup, "file"));
    const struct ending_migrations ran = ending_migrations_of(v->migrations, v->n_migrations);
    cleanup_str struct str text = {0};
    if (v->n_migrations == 0 && v->n_schemas == 0)
        return;
    add_versions(arena, v, &text);
    add_others(arena, v, &text);
    if (ran.applied || ran.failed)
        str_append(&text, ": migrations are not undone");
    else
        str_printf(&text, "%sno migration ran", text.len ? "; " : "");
    show_field("database", str_text(&text));
    if (backup)
        show_field("backup", arena_printf(arena, "%s, from before the migrations; how to restore it is above",
                                          text_safe(arena, backup)));
}

/* ---- what next ---- */

static void print_next(const struct ending *ending)
{
    text_wrap("  ", "  ", COLOUR_NONE, ending->affected);
    for (size_t i = 0; i < ending->n_next; i++) {
        cleanup_str struct str text = {0};
        const struct ending_next *next = &ending->next[i];
        str_printf(&text, "%s%s%s", next->words, next->command ? ": " : "",
                   next->command ? next->command : "");
        text_wrap("  ", "  ", COLOUR_NONE, str_text(&text));
    }
}

void show_end(struct arena *arena, const struct page *page)
{
    enum deployment_state state = page->view.d.state;
    const struct view *v = &page->view;
    struct ending ending = ending_of(arena, &v->d, ending_migrations_of(v->migrations, v->n_migrations));
    bool planned = page->n_steps > 0 || page->n_services > 0; /* else the reason is all there is */
    if (deployment_state_holds(state) && planned) {
        show_heading("what happened");
        print_cause(arena, page);
        print_services_end(arena, page);
        print_database(arena, page);
    }
    if (ending.affected) {
        show_heading("what next");
        print_next(&ending);
    }
}

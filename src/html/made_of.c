/* SPDX-License-Identifier: Apache-2.0 */

/* What a deployment was made of: migrations, backup, services, images, answers. */

#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/clock.h"
#include "html/pages.h"

static void card(struct html *h, const char *id, const char *title)
{
    html(h, "<section class=\"card\" aria-labelledby=\"%s\"><h2 id=\"%s\">%s</h2>\n", id, id, title);
}

static void table(struct html *h, const char *caption, const char *const *columns)
{
    html(h,
         "<table role=\"table\" class=\"rows\"><caption class=\"unseen\">%s</caption>\n"
         "<thead role=\"rowgroup\"><tr role=\"row\">",
         caption);
    for (size_t i = 0; columns[i]; i++)
        html(h, "<th scope=\"col\" role=\"columnheader\">%s</th>", columns[i]);
    html(h, "</tr></thead>\n<tbody role=\"rowgroup\">\n");
}

/* A cell that narrow screens leave out when it has nothing to say. */
static void cell(struct html *h, const char *name, const char *text)
{
    html(h, "<td role=\"cell\" class=\"%s\" data-name=\"%s\">%s</td>", text && *text ? "" : "empty", name,
         text);
}

/* ---- migrations ---- */

static const char *took(struct arena *arena, const struct migration_record *m)
{
    return m->took_us < 0 ? ""
                          : arena_printf(arena, "%lld.%03lld s", (long long)(m->took_us / US_PER_S),
                                         (long long)(m->took_us % US_PER_S / 1000));
}

static enum tone tone_of_migration(const char *state)
{
    return str_eq(state, "applied")      ? TONE_GOOD
           : str_eq(state, "failed")     ? TONE_BAD
           : str_starts(state, "failed") ? TONE_CAREFUL
           : str_eq(state, "running")    ? TONE_BUSY
                                         : TONE_FAINT;
}

static void migration(struct html *h, const struct view *v, const struct migration_record *m)
{
    bool failed = str_starts(m->state, "failed") && v->failed_with;
    html(h, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">%s%s%s</th>", m->step,
         m->schema ? " in " : "", m->schema);
    cell(h, "version", m->version);
    html(h, "<td role=\"cell\"><code>%s</code></td><td role=\"cell\">", m->name);
    part_state(h, m->state, tone_of_migration(m->state));
    html(h, "%s%s</td>", failed ? " " : "", failed ? v->failed_with : "");
    cell(h, "took", took(h->arena, m));
    cell(h, "rows", m->rows < 0 ? "" : arena_printf(h->arena, "%lld", (long long)m->rows));
    html(h, "</tr>\n");
}

/* "schema in tenant_a: 0118 → 0119" */
static void schemas(struct html *h, const struct view *v)
{
    if (v->n_schemas == 0)
        return;
    html(h, "<ul class=\"group\">\n");
    for (size_t i = 0; i < v->n_schemas && !html_is_full(h); i++) {
        const struct schema_record *s = &v->schemas[i];
        html(h, "<li>%s%s%s: ", s->step, s->schema ? " in " : "", s->schema);
        if (str_eq(s->before, s->after))
            html(h, *s->before ? "stays at <code>%s</code>" : "no version yet%s", s->before);
        else
            html(h, "<code>%s</code> <span class=\"arrow\">→</span> <code>%s</code>",
                 *s->before ? s->before : "none", *s->after ? s->after : "none");
        html(h, "</li>\n");
    }
    html(h, "</ul>\n");
}

void part_migrations(struct html *h, const struct page *page)
{
    static const char *const columns[] = {"Step", "Version", "What", "Outcome", "Took", "Rows", NULL};
    const struct view *v = &page->view;
    if (v->n_migrations == 0 && v->n_schemas == 0)
        return;
    card(h, "migrations", "Migrations");
    if (v->n_migrations > 0) {
        table(h, "Migrations of this deployment, in the order they run", columns);
        for (size_t i = 0; i < v->n_migrations && !html_is_full(h); i++)
            migration(h, v, &v->migrations[i]);
        html(h, "</tbody></table>\n");
    }
    schemas(h, v);
    html(h, "</section>\n");
}

/* ---- backup ---- */

void part_backup(struct html *h, const struct page *page)
{
    const char *note = json_string_value(json_object_get(page->backup, "note")),
               *file = json_string_value(json_object_get(page->backup, "file")),
               *restore = json_string_value(json_object_get(page->backup, "restore"));
    if (!note && !file)
        return;
    card(h, "backup", "Backup");
    if (note)
        html(h, "<p>%s</p>\n", note);
    if (file)
        html(h, "<p><code>%s</code> in volume <code>%s</code></p>\n", file,
             json_string_value(json_object_get(page->backup, "volume")));
    if (restore) {
        html(h,
             "<details id=\"restore\"><summary>How to restore it</summary><p>Beside the database that is, on "
             "node "
             "%s:</p><pre tabindex=\"0\" role=\"region\" aria-label=\"Command that restores the backup\">",
             json_string_value(json_object_get(page->backup, "node")));
        html_lines(h, restore, HTML_TEXT_MAX);
        html(h, "</pre></details>\n");
    }
    html(h, "</section>\n");
}

/* ---- services and images ---- */

static void change(struct html *h, const struct service_record *s)
{
    const char *before = spec_image_of(h->arena, s->before), *after = spec_image_of(h->arena, s->after);
    html(h, "<td role=\"cell\" class=\"%s\">", before || after ? "" : "empty");
    if (before)
        part_digest(h, before);
    if (before && after && str_eq(before, after))
        html(h, " <span class=\"soft\">%s</span>",
             str_eq(s->before, s->after) ? "as before" : "as before, other settings changed");
    else if (after) {
        if (before)
            html(h, " <span class=\"arrow\">→</span> ");
        part_digest(h, after);
    }
    html(h, "</td>");
}

static void service(struct html *h, const struct page *page, const struct service_record *s)
{
    unsigned failures = page_failures_before(page, s->service);
    html(h, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">%s</th><td role=\"cell\">", s->service);
    part_state(h, view_words(h->arena, s->state), tone_of_service(s->state));
    html(h, "</td>");
    cell(h, "action", str_eq(s->action, "none") ? "" : s->action);
    change(h, s);
    html(h, "<td role=\"cell\" class=\"%s\">%s%s%s</td></tr>\n", s->note || failures ? "" : "empty", s->note,
         s->note && failures ? "; " : "", failures ? tasks_failed_words(h->arena, failures) : "");
}

void part_page_services(struct html *h, const struct page *page)
{
    static const char *const columns[] = {"Service", "Outcome", "Action", "Image, before → after",
                                          "Note",    NULL};
    if (page->n_services == 0)
        return;
    card(h, "services", "Services");
    table(h, "Services, and what became of each", columns);
    for (size_t i = 0; i < page->n_services && !html_is_full(h); i++)
        service(h, page, &page->services[i]);
    html(h, "</tbody></table></section>\n");
}

void part_images(struct html *h, const struct page *page)
{
    static const char *const columns[] = {"Service", "Image", "Digest", NULL};
    const struct view *v = &page->view;
    if (v->n_images == 0)
        return;
    card(h, "images", "Images");
    table(h, "Images, as the stack file names them and as they were resolved", columns);
    for (size_t i = 0; i < v->n_images && !html_is_full(h); i++)
        html(h,
             "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">%s</th><td "
             "role=\"cell\"><code>%s</code></td>"
             "<td role=\"cell\"><code class=\"digest\">%s</code></td></tr>\n",
             v->images[i].service, v->images[i].reference, v->images[i].digest);
    html(h, "</tbody></table></section>\n");
}

/* ---- how fast the checks were answered while the services were watched ---- */

void part_answers(struct html *h, const struct page *page)
{
    size_t i;
    const json_t *one;
    if (json_array_size(page->latency) == 0)
        return;
    card(h, "answers", "Answers");
    html(h, "<ul class=\"group\">\n");
    json_array_foreach (page->latency, i, one) {
        json_int_t was = json_path_integer(one, -1, "before_ms", NULL, NULL);
        if (html_is_full(h))
            break;
        html(h, "<li>%s: median %lld ms of %lld samples", json_path_string(one, "check", NULL),
             (long long)json_path_integer(one, 0, "median_ms", NULL, NULL),
             (long long)json_path_integer(one, 0, "samples", NULL, NULL));
        if (was >= 0)
            html(h, ", was %lld ms%s", (long long)was,
                 json_is_true(json_object_get(one, "slower")) ? ": slower" : "");
        html(h, "</li>\n");
    }
    html(h, "</ul></section>\n");
}

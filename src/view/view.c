/* SPDX-License-Identifier: Apache-2.0 */
#include "view/view.h"

#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "view/at_work.h"
#include "view/json.h"

/* ---- loading ---- */

static bool is_failed(const struct migration_record *m)
{
    return str_eq(m->state, "failed");
}

/* "exit N" in the error of the step whose migration failed. */
static const char *exit_in(struct arena *arena, const char *error)
{
    for (const char *p = error; p && (p = strstr(p, "exit ")); p++) {
        size_t digits = strspn(p + strlen("exit "), "0123456789");
        if (digits > 0)
            return arena_strndup(arena, p, strlen("exit ") + digits);
    }
    return NULL;
}

static int load_exit(struct journal *journal, struct arena *arena, struct view *v, struct error *err)
{
    const struct migration_record *failed = NULL;
    for (size_t i = 0; i < v->n_migrations && !failed; i++)
        if (is_failed(&v->migrations[i]))
            failed = &v->migrations[i];
    if (!failed)
        return 0;
    struct step *steps;
    size_t n;
    if (journal_steps(journal, arena, v->d.id, &steps, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && !v->failed_with; i++)
        if (str_eq(steps[i].kind, "run") && str_eq(steps[i].name, failed->step))
            v->failed_with = exit_in(arena, steps[i].error);
    return 0;
}

static int load_work(struct journal *journal, struct arena *arena, struct view *v, struct error *err)
{
    struct at_work work;
    if (at_work_load(journal, arena, &v->d, &work, err) < 0)
        return -1;
    if (work.step)
        v->at_work =
            arena_printf(arena, "step %u of %u: %s", work.number, work.of, at_work_line(arena, &work));
    return 0;
}

int view_read(struct journal *journal, struct arena *arena, const struct deployment *d, struct view *ret,
              struct error *err)
{
    struct view v = {.d = *d};
    if (journal_service_states(journal, arena, d->id, &v.services, &v.n_services, err) < 0 ||
        journal_images(journal, arena, d->id, &v.images, &v.n_images, err) < 0 ||
        journal_migrations(journal, arena, d->id, &v.migrations, &v.n_migrations, err) < 0 ||
        journal_schemas(journal, arena, d->id, &v.schemas, &v.n_schemas, err) < 0 ||
        load_exit(journal, arena, &v, err) < 0)
        return -1;
    if (!deployment_state_ended(d->state)) {
        struct stack_state s;
        int64_t running;
        if (journal_stack(journal, arena, d->stack, &s, err) < 0 ||
            journal_runnable(journal, d->stack, &running, err) < 0)
            return -1;
        v.waiting = running == d->id ? s.waiting : NULL;
        if (load_work(journal, arena, &v, err) < 0)
            return -1;
    }
    *ret = v;
    return 0;
}

/* ---- words ---- */

const char *text_safe(struct arena *arena, const char *text)
{
    return text ? str_clean(arena, text, strlen(text), true, 0) : "";
}

const char *view_words(struct arena *arena, const char *name)
{
    char *words = arena_strdup(arena, text_safe(arena, name));
    for (char *p = words; (p = strchr(p, '_'));)
        *p = ' ';
    return words;
}

const char *view_verdict(struct arena *arena, enum deployment_state state)
{
    return view_words(arena, deployment_state_name(state));
}

const char *spec_image_of(struct arena *arena, const char *spec)
{
    cleanup_json json_t *root = spec ? json_loads(spec, 0, NULL) : NULL;
    const char *image = NULL;
    if (root && json_unpack(root, "{s:{s:{s:s}}}", "TaskTemplate", "ContainerSpec", "Image", &image) == 0)
        return text_safe(arena, image);
    return NULL;
}

static size_t count_state(const struct view *v, const char *state)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n_migrations; i++) /* files without a version run each time: no news */
        n += *v->migrations[i].version && str_eq(v->migrations[i].state, state);
    return n;
}

const char *view_migrations(struct arena *arena, const struct view *v)
{
    static const char *const counted[] = {"applied", "failed (allowed)", "running", "pending", "not run"};
    cleanup_str struct str text = {0};
    for (size_t i = 0; i < v->n_migrations; i++)
        if (is_failed(&v->migrations[i]))
            return arena_printf(arena, "FAILED%s%s", v->failed_with ? " " : "",
                                v->failed_with ? v->failed_with : "");
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        size_t n = count_state(v, counted[i]);
        if (n)
            str_printf(&text, "%s%zu %s", text.len ? ", " : "", n, counted[i]);
    }
    return text.len ? arena_strdup(arena, str_text(&text)) : "none";
}

const char *view_took(struct arena *arena, const struct view *v)
{
    if (v->d.started_us == 0)
        return "-";
    return duration_text(arena, (v->d.finished_us ? v->d.finished_us : wall_us()) - v->d.started_us);
}

const char *view_why(struct arena *arena, const struct view *v)
{
    if (!deployment_state_ended(v->d.state) && v->waiting)
        return arena_printf(arena, "waiting: %s", text_safe(arena, v->waiting));
    if (v->d.reason)
        return text_safe(arena, v->d.reason);
    if (v->d.state == DEPLOYMENT_INTERRUPTED)
        return "resumes when agentd runs";
    return v->at_work ? v->at_work : "";
}

/* ---- JSON ---- */

static json_t *images_json(const struct view *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n_images; i++)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "service", json_text(v->images[i].service),
                                              "reference", json_text(v->images[i].reference), "digest",
                                              json_text(v->images[i].digest)));
    return list;
}

static json_t *migrations_json(const struct view *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n_migrations; i++) {
        const struct migration_record *m = &v->migrations[i];
        json_t *o =
            json_pack("{s:o, s:o, s:o, s:o}", "step", json_text(m->step), "version", json_text(m->version),
                      "name", json_text(m->name), "state", json_text(m->state));
        json_object_set_new(o, "schema", json_text(m->schema));
        json_object_set_new(o, "duration_s",
                            m->took_us < 0 ? json_null() : json_real((double)m->took_us / US_PER_S));
        json_object_set_new(o, "rows", m->rows < 0 ? json_null() : json_integer(m->rows));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *schemas_json(const struct view *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n_schemas; i++) {
        const struct schema_record *s = &v->schemas[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "step", json_text(s->step), "schema",
                                              json_text(s->schema), "before", json_text(s->before), "after",
                                              json_text(s->after)));
    }
    return list;
}

static json_t *services_json(const struct view *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n_services; i++) {
        const struct service_record *s = &v->services[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "name", json_text(s->service), "action",
                                              json_text(s->action), "state", json_text(s->state), "note",
                                              json_text(s->note)));
    }
    return list;
}

json_t *view_deployment_json(const struct deployment *d)
{
    json_t *o = json_pack("{s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:o}", "id", (json_int_t)d->id, "stack",
                          json_text(d->stack), "state", deployment_state_name(d->state), "commit",
                          json_text(d->commit), "branch", json_text(d->branch), "subject",
                          json_text(d->subject), "author", json_text(d->author), "trigger",
                          trigger_name(d->trigger), "reason", json_text(d->reason));
    json_object_set_new(o, "requested_at", json_time(d->requested_us));
    json_object_set_new(o, "started_at", json_time(d->started_us));
    json_object_set_new(o, "finished_at", json_time(d->finished_us));
    json_object_set_new(o, "duration_s", json_duration(d->started_us, d->finished_us));
    return o;
}

json_t *view_json(const struct view *v)
{
    json_t *o = view_deployment_json(&v->d);
    json_object_set_new(o, "images", images_json(v));
    json_object_set_new(o, "migrations", migrations_json(v));
    json_object_set_new(o, "schemas", schemas_json(v));
    json_object_set_new(o, "services", services_json(v));
    return o;
}

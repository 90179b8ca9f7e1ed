/* SPDX-License-Identifier: Apache-2.0 */
#include "view/page.h"

#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "view/at_work.h"
#include "view/json.h"

/* Newest bytes of each step's output in JSON without --logs. */
static const size_t output_tail = 16 * 1024;
/* and what is read for that: cleaning may leave less of it */
static const size_t output_read = 24 * 1024;

/* What the step of the backup has noted; NULL: there was none, or it failed. */
static json_t *load_backup(const struct page *page)
{
    for (size_t i = 0; i < page->n_steps; i++) {
        const struct step *s = &page->steps[i];
        cleanup_json json_t *noted =
            str_eq(s->kind, "backup") && s->progress ? json_loads(s->progress, 0, NULL) : NULL;
        const char *phase = json_string_value(json_object_get(noted, "phase"));
        if (str_eq(phase, "none"))
            return json_pack("{s:n, s:n, s:n, s:n, s:s}", "file", "volume", "node", "restore", "note",
                             "the database had no tables yet: nothing to back up");
        if (str_eq(phase, "done"))
            return json_pack("{s:O, s:O, s:O, s:O, s:n}", "file", json_object_get(noted, "file"), "volume",
                             json_object_get(noted, "volume"), "node", json_object_get(noted, "node"),
                             "restore", json_object_get(noted, "restore"), "note");
    }
    return NULL;
}

/* What a check said that got worse, as the step that failed has noted it. */
static json_t *load_regressed(const struct page *page)
{
    for (size_t i = 0; i < page->n_steps; i++) {
        const struct step *s = &page->steps[i];
        cleanup_json json_t *noted =
            s->state == STEP_FAILED && s->progress ? json_loads(s->progress, 0, NULL) : NULL;
        json_t *found = json_object_get(noted, "regressed");
        if (!found)
            continue;
        json_redact(found);
        return json_incref(found);
    }
    return NULL;
}

/* Without the single samples. */
static json_t *load_latency(const struct page *page)
{
    static const char *const members[] = {"check",     "service",        "median_ms", "samples",
                                          "before_ms", "before_samples", "slower"};
    json_t *list = json_array(), *entry;
    const char *key;
    for (size_t i = 0; i < page->n_steps; i++) {
        const struct step *s = &page->steps[i];
        cleanup_json json_t *noted =
            str_eq(s->kind, "soak") && s->progress ? json_loads(s->progress, 0, NULL) : NULL;
        json_object_foreach (json_object_get(noted, "speed"), key, entry) {
            json_t *o = json_object();
            for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
                json_t *value = json_object_get(entry, members[m]);
                json_object_set_new(o, members[m], value ? json_incref(value) : json_null());
            }
            json_array_append_new(list, o);
        }
    }
    return list;
}

unsigned page_failures_before(const struct page *page, const char *service)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(page->plan, "services"), i, one) {
        if (str_eq(json_path_string(one, "service", NULL), service))
            return (unsigned)json_path_integer(one, 0, "failures_before", NULL, NULL);
    }
    return 0;
}

int page_read_output(struct journal *journal, struct arena *arena, struct step *s, enum page_outputs outputs,
                     struct error *err)
{
    if (outputs == PAGE_NONE)
        return 0;
    if (outputs == PAGE_WHOLE)
        return journal_step_output(journal, arena, s->deployment, s->seq, &s->output, err);
    return journal_step_output_newest(journal, arena, s->deployment, s->seq, output_read, &s->output, err);
}

int page_read(struct journal *journal, struct arena *arena, const struct deployment *d,
              enum page_outputs outputs, struct page *page, struct error *err)
{
    *page = (struct page){0};
    if (view_read(journal, arena, d, &page->view, err) < 0 ||
        journal_steps(journal, arena, d->id, &page->steps, &page->n_steps, err) < 0 ||
        journal_services(journal, arena, d->id, &page->services, &page->n_services, err) < 0)
        return -1;
    for (size_t i = 0; i < page->n_steps; i++)
        if (page_read_output(journal, arena, &page->steps[i], outputs, err) < 0)
            return -1;
    page->backup = load_backup(page);
    page->regressed = load_regressed(page);
    page->latency = load_latency(page);
    page->plan = d->plan ? json_loads(d->plan, 0, NULL) : NULL;
    page->warnings = d->warnings ? json_loads(d->warnings, 0, NULL) : NULL;
    return 0;
}

void page_release(struct page *page)
{
    json_decref(page->warnings);
    json_decref(page->backup);
    json_decref(page->plan);
    json_decref(page->regressed);
    json_decref(page->latency);
    *page = (struct page){0};
}

/* ---- JSON ---- */

static json_t *output_json(const char *output, bool whole)
{
    size_t len = output ? strlen(output) : 0;
    if (!output || whole || len <= output_tail)
        return json_text(output);
    const char *p = output + len - output_tail;
    p += strcspn(p, "\n");
    /* from the start of a line, unless there is only one */
    return json_text(*p && p[1] ? p + 1 : output + len - output_tail);
}

json_t *page_step_json(const struct step *s, bool logs)
{
    json_t *o =
        json_pack("{s:I, s:o, s:o, s:s, s:o}", "seq", (json_int_t)s->seq, "kind", json_text(s->kind), "name",
                  json_text(s->name), "state", step_state_name(s->state), "error", json_text(s->error));
    json_object_set_new(o, "started_at", json_time(s->started_us));
    json_object_set_new(o, "finished_at", json_time(s->finished_us));
    json_object_set_new(o, "duration_s", json_duration(s->started_us, s->finished_us));
    json_object_set_new(o, "params", json_hidden(s->params));
    json_object_set_new(o, "live", live_json(s->live));
    json_object_set_new(o, "output", output_json(s->output, logs));
    return o;
}

json_t *page_service_json(const struct page *page, const struct service_record *s)
{
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", json_text(s->service), "swarm_name",
                          json_text(s->name), "action", json_text(s->action), "state", json_text(s->state),
                          "note", json_text(s->note));
    json_object_set_new(o, "failures_before", json_integer(page_failures_before(page, s->service)));
    json_object_set_new(o, "before", json_hidden(s->before));
    json_object_set_new(o, "after", json_hidden(s->after));
    return o;
}

json_t *page_head_json(const struct page *page)
{
    const struct deployment *d = &page->view.d;
    json_t *o = view_json(&page->view);
    json_object_del(o, "services"); /* they stand here with their specs */
    json_object_set_new(o, "requested_by", json_text(d->requested_by));
    json_object_set_new(o, "base", json_id(d->base_id));
    json_object_set_new(o, "target", json_id(d->target_id));
    json_object_set_new(o, "resumes", json_integer(d->resumes));
    json_object_set_new(o, "cancel_requested", json_boolean(d->cancel_requested));
    json_object_set_new(o, "warnings", page->warnings ? json_incref(page->warnings) : json_array());
    json_object_set_new(o, "plan", json_hidden(d->plan));
    json_object_set_new(o, "backup", page->backup ? json_incref(page->backup) : json_null());
    json_object_set_new(o, "regressed", page->regressed ? json_incref(page->regressed) : json_null());
    json_object_set_new(o, "latency", json_incref(page->latency));
    return o;
}

json_t *page_json(const struct page *page, bool logs)
{
    json_t *o = page_head_json(page), *steps = json_array(), *services = json_array();
    for (size_t i = 0; i < page->n_steps; i++)
        json_array_append_new(steps, page_step_json(&page->steps[i], logs));
    for (size_t i = 0; i < page->n_services; i++)
        json_array_append_new(services, page_service_json(page, &page->services[i]));
    json_object_set_new(o, "steps", steps);
    json_object_set_new(o, "services", services);
    return o;
}

const char *view_samples(struct arena *arena, const json_t *count, const char *which)
{
    const char *last = text_safe(arena, json_path_string(count, "last", NULL));
    if (!count)
        return "not asked: a new service, or a new check";
    return arena_printf(arena, "%lld of %s%lld samples passed%s%s",
                        (long long)json_path_integer(count, 0, "passed", NULL, NULL), which,
                        (long long)json_path_integer(count, 0, "asked", NULL, NULL),
                        *last ? ", the last: " : "", last);
}

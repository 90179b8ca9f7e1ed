/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl status: the journal's stack rows, and what only agentd knows when it runs. */

#include <stdio.h>
#include <string.h>

#include "agentctl/show.h"
#include "agentctl/verbs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"

static const int64_t ask_timeout_us = 5 * US_PER_S;

struct status {
    struct stack_state row;
    struct deployment deployed; /* the last success; id 0: none */
    struct service_record *services;
    size_t n_services;
    struct deployment under_way; /* id 0: none */
    struct deployment held;      /* id 0: none */
    const json_t *agentd;        /* its object for this stack, borrowed; NULL: down, or not its stack */
    int64_t frozen_until_us;     /* 0: not frozen */
};

/* ---- loading ---- */

static int load_deployment(struct ctl *ctl, int64_t id, struct deployment *ret, struct error *err)
{
    bool found;
    *ret = (struct deployment){0};
    return id ? journal_deployment(ctl->journal, &ctl->arena, id, ret, &found, err) : 0;
}

/* After `rollback` the tip is held without a deployment that failed: the rollback itself is what holds it. */
static int load_held(struct ctl *ctl, struct status *s, struct error *err)
{
    if (load_deployment(ctl, s->row.held_id, &s->held, err) < 0)
        return -1;
    if (!s->held.id && s->row.hold_absolute)
        s->held = s->deployed;
    return 0;
}

/* agentd's word, as the settings that it has read count; when it is down, what the file says now. */
static int64_t frozen_until(const struct ctl *ctl, const char *stack, const json_t *agentd)
{
    const struct stack_config *config = config_stack(&ctl->config, stack);
    const char *text = json_string_value(json_object_get(agentd, "frozen_until"));
    struct error ignored = {0};
    int64_t until;
    if (agentd)
        return text && time_parse(text, &until, &ignored) == 0 ? until : 0;
    return config ? freeze_until(&config->freeze, wall_us()) : 0;
}

static int load(struct ctl *ctl, const char *stack, const json_t *agentd, struct status *ret,
                struct error *err)
{
    struct status s = {.agentd = agentd, .frozen_until_us = frozen_until(ctl, stack, agentd)};
    int64_t running;
    if (!ctl->journal) { /* agentd has never run: nothing is known yet */
        s.row.stack = stack;
        *ret = s;
        return 0;
    }
    if (journal_stack(ctl->journal, &ctl->arena, stack, &s.row, err) < 0 ||
        journal_last(ctl->journal, &ctl->arena, stack, DEPLOYMENT_SUCCEEDED, &s.deployed, err) < 0 ||
        journal_runnable(ctl->journal, stack, &running, err) < 0 ||
        load_deployment(ctl, running, &s.under_way, err) < 0 || load_held(ctl, &s, err) < 0)
        return -1;
    if (s.deployed.id &&
        journal_services(ctl->journal, &ctl->arena, s.deployed.id, &s.services, &s.n_services, err) < 0)
        return -1;
    *ret = s;
    return 0;
}

static const json_t *find_stack(const json_t *reply, const char *stack)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(reply, "stacks"), i, one) {
        if (str_eq(json_string_value(json_object_get(one, "stack")), stack))
            return one;
    }
    return NULL;
}

static bool tip_is_deployed(const struct status *s)
{
    return s->deployed.id && str_eq(s->deployed.commit, s->row.tip);
}

/* What is held may have left something else running than the last success did, also of the same commit: a new
 * image, another env_file, a retry. */
static bool in_step(const struct status *s)
{
    return tip_is_deployed(s) && !s->held.id && !s->row.hold_absolute;
}

/* The newest error of polling: the journal has the first of a row and each other text, agentd what it met
 * last. */
static const char *poll_error(const struct status *s)
{
    const char *text = json_string_value(json_object_get(s->agentd, "poll_error"));
    return text ? text : s->row.poll_error;
}

static bool pause_is_on(const struct stack_state *row)
{
    return row->paused && (row->paused_until_us == 0 || row->paused_until_us > wall_us());
}

/* ---- JSON ---- */

static json_t *borrowed(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : json_null();
}

static json_t *held_json(const struct status *s)
{
    if (!s->held.id && !s->row.hold_absolute)
        return json_null();
    const char *commit = s->row.hold_absolute ? s->row.tip : s->held.commit;
    return json_pack("{s:o, s:o, s:b}", "deployment", s->held.id ? json_integer(s->held.id) : json_null(),
                     "commit", json_text(commit), "absolute", s->row.hold_absolute);
}

static json_t *paused_json(const struct status *s)
{
    if (!pause_is_on(&s->row))
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "reason", json_text(s->row.pause_reason), "since",
                     json_time(s->row.paused_since_us), "until", json_time(s->row.paused_until_us));
}

static json_t *frozen_json(const struct status *s)
{
    if (!s->frozen_until_us)
        return json_null();
    return json_pack("{s:o}", "until", json_time(s->frozen_until_us));
}

static json_t *drift_json(const struct status *s)
{
    json_t *drift = s->row.drift ? json_loads(s->row.drift, 0, NULL) : NULL;
    if (!drift)
        return json_null();
    json_object_set_new(drift, "since", json_time(s->row.drift_since_us));
    return drift;
}

static json_t *services_json(struct arena *arena, const struct status *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_services; i++) {
        const struct service_record *r = &s->services[i];
        if (str_eq(r->action, "remove"))
            continue;
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o}", "name", json_text(r->service), "state", json_text(r->state),
                            "image", json_text(spec_image_of(arena, r->after ? r->after : r->before))));
    }
    return list;
}

static json_t *status_json(struct arena *arena, const struct status *s)
{
    bool deployed = s->deployed.id != 0, under_way = s->under_way.id != 0;
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:b}", "stack", json_text(s->row.stack), "commit",
                          json_text(deployed ? s->deployed.commit : NULL), "deployment",
                          deployed ? json_integer(s->deployed.id) : json_null(), "tip", json_text(s->row.tip),
                          "in_step", in_step(s));
    json_object_set_new(o, "deployed_at", json_time(s->deployed.finished_us));
    json_object_set_new(o, "running", under_way ? json_integer(s->under_way.id) : json_null());
    json_object_set_new(o, "state", json_text(under_way ? deployment_state_name(s->under_way.state) : NULL));
    json_object_set_new(o, "waiting", json_text(s->row.waiting));
    json_object_set_new(o, "next_poll", borrowed(s->agentd, "next_poll"));
    json_object_set_new(o, "last_poll", borrowed(s->agentd, "last_poll"));
    json_object_set_new(o, "poll_error", json_text(poll_error(s)));
    json_object_set_new(o, "poll_failing_since", json_time(s->row.poll_failing_since_us));
    json_object_set_new(o, "held", held_json(s));
    json_object_set_new(o, "paused", paused_json(s));
    json_object_set_new(o, "frozen", frozen_json(s));
    json_object_set_new(o, "alarm", json_text(s->row.alarm));
    json_object_set_new(o, "drift", drift_json(s));
    json_object_set_new(o, "services", services_json(arena, s));
    return o;
}

/* ---- for people ---- */

static void field(const char *name, const char *value, enum colour colour)
{
    if (value && *value)
        printf("  %-10s %s%s%s\n", name, colour_on(colour), value, colour_off());
}

static const char *short_commit(struct arena *arena, const char *commit)
{
    return arena_printf(arena, "%.7s", text_safe(arena, commit));
}

static void print_head(struct arena *arena, const struct status *s)
{
    const char *word = !s->deployed.id      ? "not deployed yet"
                       : in_step(s)         ? s->row.drift ? "in step, but changed by others" : "in step"
                       : tip_is_deployed(s) ? "held"
                       : s->row.tip         ? "behind"
                                            : "branch not seen yet";
    printf("%s%s%s: %s%s%s\n", colour_on(COLOUR_BOLD), text_safe(arena, s->row.stack), colour_off(),
           colour_on(in_step(s) && !s->row.drift ? COLOUR_GOOD : COLOUR_CAREFUL), word, colour_off());
    if (s->deployed.id)
        field("deployed",
              arena_printf(arena, "%s by #%lld, %s  %s", short_commit(arena, s->deployed.commit),
                           (long long)s->deployed.id, time_local(arena, s->deployed.finished_us),
                           text_safe(arena, s->deployed.subject)),
              COLOUR_NONE);
    if (s->row.tip)
        field("branch",
              arena_printf(arena, "%s, first seen %s", short_commit(arena, s->row.tip),
                           time_local(arena, s->row.tip_seen_us)),
              COLOUR_NONE);
}

static void print_services(struct arena *arena, const struct status *s)
{
    cleanup_str struct str text = {0};
    for (size_t i = 0; i < s->n_services; i++)
        if (!str_eq(s->services[i].action, "remove"))
            str_printf(&text, "%s%s %s", text.len ? ", " : "", text_safe(arena, s->services[i].service),
                       view_words(arena, s->services[i].state));
    if (text.len)
        str_append(&text, " (when deployed)");
    field("services", str_text(&text), COLOUR_NONE);
}

static void print_under_way(struct arena *arena, const struct status *s)
{
    const struct deployment *d = &s->under_way;
    if (d->id)
        field("running",
              arena_printf(arena, "#%lld %s, %s%s%s", (long long)d->id, short_commit(arena, d->commit),
                           deployment_state_name(d->state), d->started_us ? " for " : "",
                           d->started_us ? duration_text(arena, wall_us() - d->started_us) : ""),
              COLOUR_NONE);
    if (s->row.waiting)
        field("waiting",
              arena_printf(arena, "%s (for %s)", text_safe(arena, s->row.waiting),
                           duration_text(arena, wall_us() - s->row.waiting_since_us)),
              COLOUR_CAREFUL);
}

static void print_polls(struct arena *arena, const struct status *s)
{
    const char *next = json_string_value(json_object_get(s->agentd, "next_poll")), *error = poll_error(s);
    struct error ignored = {0};
    int64_t at;
    if (next && time_parse(next, &at, &ignored) == 0) {
        int64_t left = at - wall_us();
        field("next poll", arena_printf(arena, "in %s", duration_text(arena, left > 0 ? left : 0)),
              COLOUR_NONE);
    }
    if (error)
        field("polling",
              arena_printf(arena, "fails since %s: %s", time_local(arena, s->row.poll_failing_since_us),
                           text_safe(arena, error)),
              COLOUR_BAD);
}

/* After a rollback nothing failed: what is held is the commit that was rolled back, if it is still the tip.
 */
static const char *rollback_text(struct arena *arena, const struct status *s)
{
    cleanup_str struct str text = {0};
    str_append(&text, "after a rollback");
    if (s->held.id)
        str_printf(&text, " (#%lld, %s)", (long long)s->held.id, view_verdict(arena, s->held.state));
    if (s->row.tip && !tip_is_deployed(s))
        str_printf(&text, ", %s is not deployed", short_commit(arena, s->row.tip));
    str_printf(&text, "; until a new commit, or: agentctl resume %s", text_safe(arena, s->row.stack));
    return arena_strdup(arena, str_text(&text));
}

static void print_held(struct arena *arena, const struct status *s)
{
    if (s->row.hold_absolute)
        field("held", rollback_text(arena, s), COLOUR_CAREFUL);
    else if (s->held.id)
        field("held",
              arena_printf(arena,
                           "%s, #%lld %s: %s\n             until a new commit, or: agentctl retry %lld",
                           short_commit(arena, s->held.commit), (long long)s->held.id,
                           view_verdict(arena, s->held.state), text_safe(arena, s->held.reason),
                           (long long)s->held.id),
              COLOUR_BAD);
}

static void print_paused(struct arena *arena, const struct status *s)
{
    const struct stack_state *row = &s->row;
    if (!pause_is_on(row))
        return;
    const char *until =
        row->paused_until_us ? arena_printf(arena, " until %s", time_local(arena, row->paused_until_us)) : "";
    field("paused",
          arena_printf(arena, "since %s%s%s%s; end it with: agentctl resume %s",
                       time_local(arena, row->paused_since_us), until, row->pause_reason ? ": " : "",
                       text_safe(arena, row->pause_reason), text_safe(arena, row->stack)),
          COLOUR_CAREFUL);
}

static void print_frozen(struct arena *arena, const struct status *s)
{
    const char *stack = text_safe(arena, s->row.stack);
    if (!s->frozen_until_us)
        return;
    const char *waits =
        s->row.tip && !tip_is_deployed(s)
            ? arena_printf(arena, "; %s waits, to deploy it now: agentctl approve %s --commit %.12s",
                           short_commit(arena, s->row.tip), stack, text_safe(arena, s->row.tip))
            : "";
    field("frozen", arena_printf(arena, "until %s%s", time_local(arena, s->frozen_until_us), waits),
          COLOUR_CAREFUL);
}

/* A line for each service, then why they stay so. */
static void print_drift(struct arena *arena, const struct status *s)
{
    cleanup_json json_t *drift = s->row.drift ? json_loads(s->row.drift, 0, NULL) : NULL;
    const char *note = json_string_value(json_object_get(drift, "note"));
    const json_t *entry;
    size_t i;
    if (!drift)
        return;
    json_array_foreach (json_object_get(drift, "services"), i, entry)
        field(i ? "" : "drift", text_safe(arena, json_string_value(json_object_get(entry, "text"))),
              COLOUR_CAREFUL);
    field("",
          arena_printf(arena, "seen since %s%s%s", time_local(arena, s->row.drift_since_us), note ? "; " : "",
                       text_safe(arena, note)),
          COLOUR_NONE);
}

static void print_text(struct arena *arena, const struct status *s)
{
    print_head(arena, s);
    print_services(arena, s);
    print_drift(arena, s);
    print_under_way(arena, s);
    print_polls(arena, s);
    print_held(arena, s);
    print_paused(arena, s);
    print_frozen(arena, s);
    field("alarm", text_safe(arena, s->row.alarm), COLOUR_BAD);
}

/* ---- the verb ---- */

static void print_disk(struct ctl *ctl)
{
    struct fs_space space;
    struct error ignored = {0};
    if (fs_space(ctl->config.state_dir, &space, &ignored) == 0 && fs_space_is_low(&space))
        printf("\n%sthe disk of %s is nearly full: %s%s\n", colour_on(COLOUR_CAREFUL),
               text_safe(&ctl->arena, ctl->config.state_dir), fs_space_text(&ctl->arena, &space),
               colour_off());
}

static void print_agentd(struct arena *arena, const json_t *reply, const struct error *why)
{
    const json_t *agentd = json_object_get(reply, "agentd");
    const char *version = json_string_value(json_object_get(agentd, "version")),
               *trouble = json_string_value(json_object_get(agentd, "journal_error"));
    if (!agentd)
        printf("agentd: %s\n", why->kind == ERR_NOT_FOUND ? "not running" : why->text);
    else
        printf("agentd: running, version %s, process %lld\n", text_safe(arena, version),
               (long long)json_integer_value(json_object_get(agentd, "pid")));
    if (trouble)
        printf("        %s%s%s\n", colour_on(COLOUR_BAD), text_safe(arena, trouble), colour_off());
}

/* All of them are loaded before the first is printed: half an answer with an exit code of 1 helps nobody. */
static int print_all(struct ctl *ctl, const char *const *names, size_t n, const json_t *reply, bool json,
                     const struct error *why, struct error *err)
{
    struct arena *arena = &ctl->arena;
    struct status *all = arena_array(arena, n, sizeof *all);
    for (size_t i = 0; i < n; i++)
        if (load(ctl, names[i], find_stack(reply, names[i]), &all[i], err) < 0)
            return -1;
    if (json) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, status_json(arena, &all[i]));
        cleanup_json json_t *o = json_pack("{s:o, s:o}", "agentd", borrowed(reply, "agentd"), "stacks", list);
        json_dumpf(o, stdout, JSON_INDENT(2));
        fputs("\n", stdout);
        return 0;
    }
    print_agentd(arena, reply, why);
    for (size_t i = 0; i < n; i++) {
        fputs("\n", stdout);
        print_text(arena, &all[i]);
    }
    print_disk(ctl);
    return 0;
}

int verb_status(struct ctl *ctl, const struct args *args)
{
    struct error err = {0}, why = {0};
    const char *one = NULL;
    const char *const *names = &one;
    size_t n = 1;
    cleanup_json json_t *reply = NULL;
    if (ctl_journal(ctl, &err) < 0 && (err.kind != ERR_NOT_FOUND || !ctl->has_config))
        return ctl_fail(&err);
    int r = args->n ? ctl_stack(ctl, args->words[0], &one, &err) : ctl_stacks(ctl, &names, &n, &err);
    if (r < 0)
        return ctl_fail(&err);
    if (ctl_ask(ctl, "status", NULL, NULL, ask_timeout_us, &reply, &why) == 0 &&
        !json_is_true(json_object_get(reply, "ok")))
        error_set(&why, ERR_REFUSED, 0, "it gives no answer");
    return print_all(ctl, names, n, reply, args_get(args, "--json") != NULL, &why, &err) < 0 ? ctl_fail(&err)
                                                                                             : EXIT_GOOD;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl status: the journal's stack rows, and what only agentd knows when it runs. */

#include <stdio.h>
#include <string.h>

#include "agentctl/show.h"
#include "agentctl/verbs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "view/receivers.h"
#include "view/status.h"

static const int64_t ask_timeout_us = 5 * US_PER_S;

/* ---- for people ---- */

static void field(const char *name, const char *value, enum colour colour)
{
    cleanup_arena struct arena arena = {0};
    if (value && *value)
        text_wrap(arena_printf(&arena, "  %-10s ", name), "             ", colour, value);
}

static const char *short_commit(struct arena *arena, const char *commit)
{
    return arena_printf(arena, "%.7s", text_safe(arena, commit));
}

static const char *head_word(const struct status *s)
{
    if (!s->deployed.id)
        return "not deployed yet";
    if (!status_tip_is_deployed(s))
        return s->row.tip ? "behind" : "branch not seen yet";
    if (s->held.id || s->row.hold_absolute)
        return "held";
    if (!status_in_step(s))
        return "in step when the branch was last seen";
    return s->row.drift ? "in step, but changed by others" : "in step";
}

static void print_head(struct arena *arena, const struct status *s)
{
    const char *word = head_word(s);
    printf("%s%s%s: %s%s%s\n", colour_on(COLOUR_BOLD), text_safe(arena, s->row.stack), colour_off(),
           colour_on(str_eq(word, "in step") ? COLOUR_GOOD : COLOUR_CAREFUL), word, colour_off());
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

/* "running for 0m32s"; of others when they began. */
static const char *since_when(struct arena *arena, const struct deployment *d)
{
    const char *state = deployment_state_name(d->state);
    if (!d->started_us)
        return arena_printf(arena, "%s ago", duration_text(arena, wall_us() - d->requested_us));
    const char *begun = duration_text(arena, wall_us() - d->started_us);
    return d->state == DEPLOYMENT_INTERRUPTED ? arena_printf(arena, "%s, begun %s ago", state, begun)
                                              : arena_printf(arena, "%s for %s", state, begun);
}

static void print_under_way(struct arena *arena, const struct status *s)
{
    const struct deployment *d = &s->under_way;
    if (d->id)
        field(d->started_us ? "running" : "requested",
              arena_printf(arena, "#%lld %s, %s  %s", (long long)d->id, short_commit(arena, d->commit),
                           since_when(arena, d), text_safe(arena, d->subject)),
              COLOUR_NONE);
    if (d->id && s->work.step)
        field("",
              arena_printf(arena, "step %u of %u: %s", s->work.number, s->work.of,
                           at_work_line(arena, &s->work)),
              COLOUR_BOLD);
    if (d->id && !s->agentd)
        field("", "agentd does not answer: this is what the record last said", COLOUR_CAREFUL);
    if (s->row.waiting)
        field("waiting",
              arena_printf(arena, "%s (for %s)", text_safe(arena, s->row.waiting),
                           duration_text(arena, wall_us() - s->row.waiting_since_us)),
              COLOUR_CAREFUL);
}

static void print_polls(struct arena *arena, const struct status *s)
{
    const char *next = json_string_value(json_object_get(s->agentd, "next_poll")),
               *error = status_poll_error(s);
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
    if (s->row.tip && !status_tip_is_deployed(s))
        str_printf(&text, ", %s is not deployed", short_commit(arena, s->row.tip));
    str_printf(&text, "; until a new commit, or: agentctl resume %s", text_safe(arena, s->row.stack));
    return arena_strdup(arena, str_text(&text));
}

static void print_failed(struct arena *arena, const struct status *s)
{
    field("held",
          arena_printf(arena, "%s, #%lld %s: %s", short_commit(arena, s->held.commit), (long long)s->held.id,
                       view_verdict(arena, s->held.state), text_safe(arena, s->held.reason)),
          COLOUR_BAD);
    struct ending ending = ending_of(arena, &s->held, s->held_migrations);
    field("", ending.affected, COLOUR_BAD);
    field("",
          ending.half_way
              ? arena_printf(arena, "what happened, and what to do now: agentctl show %lld",
                             (long long)s->held.id)
              : arena_printf(arena,
                             "what happened: agentctl show %lld; until a new commit, or: agentctl retry "
                             "%lld",
                             (long long)s->held.id, (long long)s->held.id),
          COLOUR_BAD);
}

static void print_held(struct arena *arena, const struct status *s)
{
    if (s->row.hold_absolute)
        field("held", rollback_text(arena, s), COLOUR_CAREFUL);
    else if (s->held.id)
        print_failed(arena, s);
}

static void print_paused(struct arena *arena, const struct status *s)
{
    const struct stack_state *row = &s->row;
    if (!status_pause_is_on(row))
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
        s->row.tip && !status_tip_is_deployed(s)
            ? arena_printf(arena, "; %s waits, to deploy it now: agentctl approve %s --commit %.12s",
                           short_commit(arena, s->row.tip), stack, text_safe(arena, s->row.tip))
            : "";
    field("frozen", arena_printf(arena, "until %s%s", time_local(arena, s->frozen_until_us), waits),
          COLOUR_CAREFUL);
}

/* A line for each service, then why they stay so. */
static void print_drift(struct arena *arena, const struct status *s)
{
    struct status_drift drift;
    if (!status_drift(arena, s, &drift))
        return;
    for (size_t i = 0; i < drift.n; i++)
        field(i ? "" : "drift", drift.services[i], COLOUR_CAREFUL);
    field("",
          arena_printf(arena, "seen since %s%s%s", time_local(arena, s->row.drift_since_us),
                       *drift.note ? "; " : "", drift.note),
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

/* Those that cannot be told: everybody believes that no news are good news. */
static void print_receivers(struct arena *arena, const struct receiver_view *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct receiver *r = &all[i].row;
        int64_t left = r->next_us - wall_us();
        if (!r->failing_since_us)
            continue;
        printf("        %s%s fails since %s: %s; %lld waiting%s%s%s\n", colour_on(COLOUR_BAD),
               text_safe(arena, r->name), time_local(arena, r->failing_since_us), text_safe(arena, r->error),
               (long long)all[i].events,
               left > 0 ? arena_printf(arena, ", next try in %s", duration_text(arena, left)) : "",
               r->dropped ? arena_printf(arena, ", %lld dropped", (long long)r->dropped) : "", colour_off());
    }
}

/* Where agentd is down: what it would read. */
static int64_t frozen_by_the_file(const struct ctl *ctl, const char *stack)
{
    const struct stack_config *config = config_stack(&ctl->config, stack);
    return config ? freeze_until(&config->freeze, wall_us()) : 0;
}

/* All of them are loaded before the first is printed: half an answer with an exit code of 1 helps nobody. */
static int print_all(struct ctl *ctl, const char *const *names, size_t n, const json_t *reply, bool json,
                     const struct error *why, struct error *err)
{
    struct arena *arena = &ctl->arena;
    struct status *all = arena_array(arena, n, sizeof *all);
    struct receiver_view *receivers;
    size_t n_receivers;
    if (receivers_read(ctl->journal, arena, 0, &receivers, &n_receivers, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (status_read(ctl->journal, arena, names[i], reply, &all[i], err) < 0)
            return -1;
        if (!all[i].agentd)
            all[i].frozen_until_us = frozen_by_the_file(ctl, names[i]);
    }
    if (json) {
        cleanup_json json_t *o = status_json(arena, reply, all, n);
        json_object_set_new(o, "receivers", receivers_json(receivers, n_receivers));
        json_dumpf(o, stdout, JSON_INDENT(2));
        fputs("\n", stdout);
        return 0;
    }
    print_agentd(arena, reply, why);
    print_receivers(arena, receivers, n_receivers);
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

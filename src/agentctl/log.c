/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl log: the history. */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentctl/interrupt.h"
#include "agentctl/live.h"
#include "agentctl/log_records.h"
#include "agentctl/verbs.h"
#include "agentctl/view.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "view/at_work.h"

static const int64_t poll_us = US_PER_S / 2;
static const unsigned follow_default = 10; /* older ones shown before following */

struct options {
    struct deployment_filter filter;
    enum deployment_state state;
    bool json, follow, wide, records;
};

static int parse_number(const char *text, unsigned *ret)
{
    if (!ctl_is_id(text) || strlen(text) > 9 || strtoul(text, NULL, 10) == 0)
        return -1;
    *ret = (unsigned)strtoul(text, NULL, 10);
    return 0;
}

static int parse(struct ctl *ctl, const struct args *args, struct options *o)
{
    struct error err = {0};
    const char *number = args_get(args, "--number"), *state = args_get(args, "--state"),
               *since = args_get(args, "--since");
    o->json = args_get(args, "--json") != NULL;
    o->follow = args_get(args, "--follow") != NULL;
    o->wide = args_get(args, "--wide") != NULL;
    o->records = args_get(args, "--records") != NULL;
    if (o->records && o->follow)
        return ctl_misuse(
            "--follow reads the journal of this host; the records of all hosts are asked once: leave "
            "out --follow or --records");
    if (number && parse_number(number, &o->filter.limit) < 0)
        return ctl_misuse("-n needs a number above 0, not '%s'", number);
    if (state && deployment_state_parse(state, &o->state) < 0)
        return ctl_misuse(
            "--state: there is no state '%s'; there are requested, planned, running, interrupted, succeeded, "
            "failed, rolled_back, halted, cancelled, superseded, stuck",
            state);
    if (since && time_parse(since, &o->filter.since_us, &err) < 0)
        return ctl_misuse("--since: %s", err.text);
    if (state)
        o->filter.state = &o->state;
    if (args->n && o->records)
        o->filter.stack = args->words[0];
    else if (args->n && ctl_stack(ctl, args->words[0], &o->filter.stack, &err) < 0)
        return ctl_fail(&err);
    return EXIT_GOOD;
}

/* ---- printing ---- */

static int print_json(struct ctl *ctl, const struct deployment *rows, size_t n, struct error *err)
{
    fputs("[", stdout);
    for (size_t i = 0; i < n; i++) {
        cleanup_arena struct arena arena = {0};
        struct view v;
        if (view_load(ctl, &arena, &rows[i], &v, err) < 0)
            return -1;
        cleanup_json json_t *o = view_json(&v);
        fputs(i ? ",\n" : "\n", stdout);
        json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
    }
    fputs(n ? "\n]\n" : "]\n", stdout);
    return 0;
}

/* A column for the stack only where it tells something. */
static bool several_stacks(const struct deployment *rows, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (!str_eq(rows[i].stack, rows[0].stack))
            return true;
    return false;
}

static int print_table(struct ctl *ctl, const struct options *o, const struct deployment *rows, size_t n,
                       struct error *err)
{
    struct table table = view_table(&ctl->arena, several_stacks(rows, n));
    table.wide = o->wide;
    for (size_t i = 0; i < n; i++) {
        struct view v;
        if (view_load(ctl, &ctl->arena, &rows[i], &v, err) < 0)
            return -1;
        view_add_row(&table, &v);
    }
    table_print(&table, true);
    return 0;
}

/* ---- following ---- */

/* Later lines are printed one by one: columns are as wide as the first rows need and as is usual. */
static void set_usual_widths(struct table *table)
{
    static const struct {
        const char *title;
        size_t width;
    } usual[] = {{"ID", 4}, {"AUTHOR", 8}, {"MIGRATIONS", 13}, {"VERDICT", 11}, {"TOOK", 6}};
    for (size_t i = 0; i < table->n_columns; i++)
        for (size_t k = 0; k < ARRAY_SIZE(usual); k++)
            if (str_eq(table->titles[i], usual[k].title) && table->widths[i] < usual[k].width)
                table->widths[i] = usual[k].width;
}

struct follower {
    struct ctl *ctl;
    const struct options *o;
    struct table table;
    int64_t newest; /* all up to here are printed or in `open` */
    int64_t *open;  /* not ended when last looked at */
    size_t n_open;
    struct live live; /* on a terminal: what runs */
};

static int written(struct error *err)
{
    return fflush(stdout) < 0 || ferror(stdout) ? error_errno(err, "writing the output") : 0;
}

static int print_line(struct follower *f, const struct deployment *d, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct view v;
    if (view_load(f->ctl, &arena, d, &v, err) < 0)
        return -1;
    live_clear(&f->live);
    if (f->o->json) {
        cleanup_json json_t *o = view_json(&v);
        json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
        fputs("\n", stdout);
    } else {
        struct table line = f->table; /* its widths, rows of its own */
        line.arena = &arena;
        line.rows = NULL;
        line.n_rows = 0;
        view_add_row(&line, &v);
        table_print(&line, false);
    }
    return written(err);
}

static void keep_open(struct follower *f, int64_t id)
{
    f->open = arena_grow(&f->ctl->arena, f->open, f->n_open, sizeof *f->open);
    f->open[f->n_open++] = id;
}

/* Prints what has ended of those that were open. */
static int look_at_open(struct follower *f, struct arena *arena, struct error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n_open; i++) {
        struct deployment d;
        bool found;
        if (journal_deployment(f->ctl->journal, arena, f->open[i], &d, &found, err) < 0)
            return -1;
        if (found && !deployment_state_ended(d.state))
            f->open[kept++] = f->open[i];
        else if (found && (!f->o->filter.state || d.state == f->o->state) && print_line(f, &d, err) < 0)
            return -1;
    }
    f->n_open = kept;
    return 0;
}

static int look_at_new(struct follower *f, struct arena *arena, struct error *err)
{
    struct deployment_filter filter = {.stack = f->o->filter.stack, .after_id = f->newest};
    struct deployment *rows;
    size_t n;
    if (journal_deployments(f->ctl->journal, arena, &filter, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        f->newest = rows[i].id;
        if (!deployment_state_ended(rows[i].state))
            keep_open(f, rows[i].id);
        else if ((!f->o->filter.state || rows[i].state == f->o->state) && print_line(f, &rows[i], err) < 0)
            return -1;
    }
    return 0;
}

/* Oldest first, without those under way: they are printed when they end. */
static int print_start(struct follower *f, const struct deployment *rows, size_t n, struct error *err)
{
    f->table = view_table(&f->ctl->arena, !f->o->filter.stack && several_stacks(rows, n));
    f->table.wide = f->o->wide;
    set_usual_widths(&f->table);
    for (size_t i = n; i-- > 0;) {
        struct view v;
        if (!deployment_state_ended(rows[i].state))
            continue;
        if (f->o->json) {
            if (print_line(f, &rows[i], err) < 0)
                return -1;
        } else if (view_load(f->ctl, &f->ctl->arena, &rows[i], &v, err) < 0) {
            return -1;
        } else {
            view_add_row(&f->table, &v);
        }
    }
    if (!f->o->json)
        table_print(&f->table, true);
    return written(err);
}

static int start(struct follower *f, struct error *err)
{
    struct deployment *rows, *newest;
    size_t n, n_newest;
    struct deployment_filter shown = f->o->filter, latest = {.stack = shown.stack, .limit = 100};
    if (!shown.limit && !shown.since_us)
        shown.limit = follow_default;
    if (journal_deployments(f->ctl->journal, &f->ctl->arena, &latest, &newest, &n_newest, err) < 0 ||
        journal_deployments(f->ctl->journal, &f->ctl->arena, &shown, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n_newest; i++) /* whatever --state says: it is about how they end */
        if (!deployment_state_ended(newest[i].state))
            keep_open(f, newest[i].id);
    f->newest = n_newest ? newest[0].id : 0;
    return print_start(f, rows, n, err);
}

/* "#5 9f3c1ab: roll web, 0m12s of at most 5m00s, 1 of 2 replicas up" of the first that has begun. */
static int show_running(struct follower *f, struct error *err)
{
    for (size_t i = 0; i < f->n_open; i++) {
        cleanup_arena struct arena arena = {0};
        struct deployment d;
        struct view v;
        struct at_work work;
        bool found;
        if (journal_deployment(f->ctl->journal, &arena, f->open[i], &d, &found, err) < 0)
            return -1;
        if (!found || (d.state == DEPLOYMENT_REQUESTED && i + 1 < f->n_open))
            continue;
        if (view_load(f->ctl, &arena, &d, &v, err) < 0 ||
            at_work_load(f->ctl->journal, &arena, &d, &work, err) < 0)
            return -1;
        const char *text = v.waiting   ? arena_printf(&arena, "waiting: %s", text_safe(&arena, v.waiting))
                           : work.step ? at_work_line(&arena, &work)
                                       : deployment_state_name(d.state);
        live_show(&f->live,
                  arena_printf(&arena, "#%lld %.7s: %s", (long long)d.id, text_safe(&arena, d.commit), text),
                  NULL);
        return 0;
    }
    live_clear(&f->live);
    return 0;
}

/* Until the next look. Nobody to tell any more (Ctrl-C, a reader that has gone): 1. */
static int rest(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    int r = poll(&out, 1, (int)(poll_us / 1000));
    return interrupt_seen() || (r > 0 && out.revents & (POLLERR | POLLHUP | POLLNVAL));
}

static int look(struct follower *f, int64_t *seen, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int64_t version = journal_data_version(f->ctl->journal);
    if (version != *seen && (look_at_open(f, &arena, err) < 0 || look_at_new(f, &arena, err) < 0))
        return -1;
    *seen = version;
    return f->live.terminal && !f->o->json ? show_running(f, err) : 0;
}

static int follow(struct ctl *ctl, const struct options *o, struct error *err)
{
    struct follower f = {.ctl = ctl, .o = o};
    int64_t seen = journal_data_version(ctl->journal);
    interrupt_catch();
    live_open(&f.live, stdout);
    int r = start(&f, err);
    while (r == 0 && (r = look(&f, &seen, err)) == 0)
        if (rest())
            break;
    live_close(&f.live);
    if (interrupt_seen())
        interrupt_die();
    return r;
}

int verb_log(struct ctl *ctl, const struct args *args)
{
    struct options o = {0};
    struct error err = {0};
    struct deployment *rows;
    size_t n;
    int code = parse(ctl, args, &o);
    if (code != EXIT_GOOD)
        return code;
    if (o.records)
        return log_records(ctl, &(struct log_records){.stack = o.filter.stack,
                                                      .state = args_get(args, "--state"),
                                                      .since_us = o.filter.since_us,
                                                      .limit = o.filter.limit,
                                                      .json = o.json,
                                                      .wide = o.wide});
    if (ctl_journal(ctl, &err) < 0)
        return ctl_fail(&err);
    if (o.follow)
        return follow(ctl, &o, &err) < 0 ? ctl_fail(&err) : EXIT_GOOD;
    if (journal_deployments(ctl->journal, &ctl->arena, &o.filter, &rows, &n, &err) < 0)
        return ctl_fail(&err);
    if (o.json)
        return print_json(ctl, rows, n, &err) < 0 ? ctl_fail(&err) : EXIT_GOOD;
    if (n == 0)
        fputs("agentctl: no deployments\n", stderr);
    else if (print_table(ctl, &o, rows, n, &err) < 0)
        return ctl_fail(&err);
    return EXIT_GOOD;
}

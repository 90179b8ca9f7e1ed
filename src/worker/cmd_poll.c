/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/hint.h"
#include "worker/snapshot.h"
#include "worker/verbs.h"
#include "worker/work.h"

/*
 * One look at the branch. Without news it ends after the listing: no journal, no disk, no engine. With news
 * it fetches, and decides whether there is something to deploy: not what is held or waits for approval.
 */

struct poll {
    struct work work;
    const char *known; /* tip that agentd has seen already; NULL: none */
    bool sync;         /* asked for by a person: also looks at the env file */
    bool webhook;      /* a webhook has said that there is something to see */
    bool alarmed;
    char tip[COMMIT_HEX_SIZE];
    struct stack_state state;
    struct deployment success, newest;
};

static int answer(const struct poll *p, const char *result, int64_t deployment, const char *message)
{
    hint(json_pack("{s:s, s:s?, s:I, s:o}", "result", result, "tip", *p->tip ? p->tip : NULL, "deployment",
                   (json_int_t)deployment, "message", hint_text(message)));
    return EXIT_GOOD;
}

static int load_record(struct poll *p, struct error *err)
{
    struct work *w = &p->work;
    struct deployment *list;
    size_t n;
    struct deployment_filter filter = {.stack = w->stack->name, .limit = 20};
    if (work_open_journal(w, JOURNAL_WRITE, err) < 0 ||
        journal_stack(w->journal, &w->arena, w->stack->name, &p->state, err) < 0 ||
        journal_last(w->journal, &w->arena, w->stack->name, DEPLOYMENT_SUCCEEDED, &p->success, err) < 0 ||
        journal_deployments(w->journal, &w->arena, &filter, &list, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && p->newest.id == 0; i++)
        if (list[i].state != DEPLOYMENT_SUPERSEDED)
            p->newest = list[i];
    return 0;
}

/* Brings the commit into the mirror, unless it is there. */
static int fetch(struct poll *p, struct error *err)
{
    if (work_open_repo(&p->work, err) < 0)
        return -1;
    if (repo_has_commit(p->work.repo, p->tip))
        return 0;
    hint(json_pack("{s:i}", "deadline_s", REPO_FETCH_LONGEST_S));
    return repo_fetch(p->work.repo, p->tip, err);
}

static bool is_approved(const struct poll *p)
{
    return str_eq(p->state.approved, p->tip);
}

/* "commit 9f3c1ab20b71 (Add an index, by alice) waits for approval; …" */
static int ask_approval(struct poll *p, const char **ret_alarm, struct error *err)
{
    struct arena *arena = &p->work.arena;
    const char *stack = p->work.stack->name;
    struct commit commit;
    if (repo_commit(p->work.repo, arena, p->tip, &commit, err) < 0)
        return -1;
    *ret_alarm =
        arena_printf(arena,
                     "commit %.12s (%s, by %s) waits for approval; see: agentctl plan %s; "
                     "deploy it: agentctl approve %s --commit %.12s",
                     p->tip, str_clean(arena, commit.subject, strlen(commit.subject), true, 100),
                     str_clean(arena, commit.author, strlen(commit.author), true, 60), stack, stack, p->tip);
    return 0;
}

/* The branch must contain what was deployed last: a force push is a person's decision to follow. */
static int check_history(struct poll *p, const char **ret_alarm, struct error *err)
{
    bool contains = true;
    *ret_alarm = NULL;
    if (is_approved(p))
        return 0;
    if (p->success.id && repo_is_ancestor(p->work.repo, p->success.commit, p->tip, &contains, err) < 0)
        return -1;
    if (!contains)
        *ret_alarm = arena_printf(&p->work.arena,
                                  "branch %s (%.12s) does not contain the deployed commit %.12s of #%lld; "
                                  "nothing is deployed until: "
                                  "agentctl approve %s",
                                  p->work.stack->branch, p->tip, p->success.commit, (long long)p->success.id,
                                  p->work.stack->name);
    else if (p->work.stack->approve)
        return ask_approval(p, ret_alarm, err);
    return 0;
}

/* NULL: it is no such time, or a person has approved this commit all the same. */
static const char *frozen(struct poll *p)
{
    struct arena *arena = &p->work.arena;
    int64_t until = is_approved(p) ? 0 : freeze_until(&p->work.stack->freeze, wall_us());
    if (!until)
        return NULL;
    return arena_printf(
        arena, "frozen until %s, commit %.7s waits; to deploy it now: agentctl approve %s --commit %.12s",
        local_minute(arena, until), p->tip, p->work.stack->name, p->tip);
}

static int raise_alarm(struct poll *p, const char *alarm, struct error *err)
{
    p->alarmed = true;
    if (!str_eq(p->state.alarm, alarm) &&
        journal_set_alarm(p->work.journal, p->work.stack->name, alarm, p->tip, err) < 0)
        return -1;
    return answer(p, "alarm", 0, alarm);
}

static int request(struct poll *p, enum trigger trigger, struct error *err)
{
    struct work *w = &p->work;
    struct commit commit;
    int64_t id;
    if (!w->repo && work_open_repo(w, err) < 0)
        return -1;
    if (repo_commit(w->repo, &w->arena, p->tip, &commit, err) < 0)
        return -1;
    struct deployment_request r = {.stack = w->stack->name,
                                   .commit = commit.id,
                                   .branch = w->stack->branch,
                                   .subject = commit.subject,
                                   .author = commit.author,
                                   .trigger = trigger};
    if (is_approved(p) &&
        journal_approver(w->journal, &w->arena, w->stack->name, p->tip, &r.requested_by, err) < 0)
        return -1;
    if (journal_request(w->journal, &r, &id, err) < 0)
        return -1;
    return answer(p, "requested", id, NULL);
}

/* The commit is the deployed one; a changed env file is a change nevertheless. */
static int look_at_env(struct poll *p, struct error *err)
{
    const char *hash;
    if (p->sync) {
        if (snapshot_env_hash(&p->work, &p->work.arena, &hash, err) < 0)
            return -1;
        bool changed = !str_eq(hash, p->success.env_hash ? p->success.env_hash : "");
        if (changed && frozen(p))
            return answer(p, "held", 0, frozen(p));
        if (changed)
            return request(p, TRIGGER_ENV, err);
    }
    return answer(p, "nothing", 0, "the newest commit is deployed");
}

static int held(struct poll *p)
{
    return answer(p, "held", p->newest.id,
                  arena_printf(&p->work.arena,
                               "commit %.7s is held: #%lld %s; agentctl retry %s, or push a new commit",
                               p->tip, (long long)p->newest.id, deployment_state_name(p->newest.state),
                               p->work.stack->name));
}

static int decide(struct poll *p, struct error *err)
{
    const struct deployment *newest = &p->newest;
    bool same = newest->id && str_eq(newest->commit, p->tip);
    const char *alarm;
    if (p->work.config.act == ACT_NEVER)
        return answer(p, "nothing", 0, "act = never: this agent only watches");
    if (p->state.hold_absolute && str_eq(p->state.tip, p->tip))
        return answer(p, "held", newest->id, "held after a rollback until a new commit, or: agentctl resume");
    if (same && !deployment_state_ended(newest->state))
        return answer(p, "requested", newest->id, NULL);
    if (same && newest->state == DEPLOYMENT_SUCCEEDED && newest->trigger != TRIGGER_ROLLBACK)
        return look_at_env(p, err);
    if (same && deployment_state_holds(newest->state))
        return held(p);
    if (fetch(p, err) < 0 || check_history(p, &alarm, err) < 0)
        return -1;
    /* a new commit ends the hold, also one that still has to wait: it is not new any more at the next look */
    if (p->state.hold_absolute &&
        journal_set_hold_absolute(p->work.journal, p->work.stack->name, false, err) < 0)
        return -1;
    if (alarm)
        return raise_alarm(p, alarm, err);
    if (frozen(p))
        return answer(p, "held", 0, frozen(p));
    return request(p, p->sync ? TRIGGER_SYNC : p->webhook ? TRIGGER_WEBHOOK : TRIGGER_POLL, err);
}

static int poll_once(struct poll *p, struct error *err)
{
    if (repo_tip(p->work.stack, p->tip, err) < 0)
        return -1;
    if (!p->sync && str_eq(p->known, p->tip))
        return answer(p, "unchanged", 0, NULL);
    if (load_record(p, err) < 0)
        return -1;
    int r = decide(p, err);
    if (r < 0)
        return -1;
    if (p->state.alarm && !p->alarmed &&
        journal_set_alarm(p->work.journal, p->work.stack->name, NULL, NULL, err) < 0)
        return -1;
    if (!str_eq(p->state.tip, p->tip) &&
        journal_set_tip(p->work.journal, p->work.stack->name, p->tip, err) < 0)
        return -1;
    return r;
}

static int parse_arguments(struct poll *p, int argc, char **argv, const char **ret_stack)
{
    *ret_stack = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--sync") == 0)
            p->sync = true;
        else if (strcmp(argv[i], "--webhook") == 0)
            p->webhook = true;
        else if (strcmp(argv[i], "--known") == 0 && i + 1 < argc)
            p->known = argv[++i];
        else if (argv[i][0] != '-' && !*ret_stack)
            *ret_stack = argv[i];
        else
            return -1;
    }
    return 0;
}

int cmd_poll(const struct verb_context *context, int argc, char **argv)
{
    struct poll p = {0};
    struct error err = {0};
    const char *stack;
    if (parse_arguments(&p, argc, argv, &stack) < 0) {
        fprintf(stderr, "usage: agent-worker poll STACK [--known TIP] [--sync] [--webhook]\n");
        return EXIT_BAD_USAGE;
    }
    int r = work_open(&p.work, context->config_path, &err);
    if (r == 0)
        r = work_select_stack(&p.work, stack, &err);
    if (r == 0)
        r = poll_once(&p, &err);
    if (r < 0)
        answer(&p, "error", 0, err.text);
    work_close(&p.work);
    return r < 0 ? EXIT_FAILED : EXIT_GOOD;
}

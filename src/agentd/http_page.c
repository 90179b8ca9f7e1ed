/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The pages for people: what stands in the journal and in memory is read here, src/html writes it down. All
 * of it is bounded: rows of a page, bytes of a step's output; so agentd's loop stands still for a few
 * milliseconds at most.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/plan.h"
#include "agentd/http_request.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "html/assets.h"
#include "html/pages.h"

enum {
    HISTORY_ROWS = 25,
    PLAN_MAX = 24 * 1024,
    COMMITS_LOOKED_AT = 20, /* deployments among which one with a commit's plan is looked for */
};

/* ---- answering ---- */

static const char *host_name(struct arena *arena)
{
    char name[65] = "";
    return gethostname(name, sizeof name - 1) == 0 ? arena_strdup(arena, name) : "";
}

static struct site site_of(struct http_request *request)
{
    const struct config *config = &request->manager->config;
    const char **names = arena_array(&request->arena, config->n_stacks + 1, sizeof *names);
    for (size_t i = 0; i < config->n_stacks; i++)
        names[i] = config->stacks[i].name;
    return (struct site){.host = host_name(&request->arena),
                         .version = VERSION,
                         .stacks = names,
                         .n_stacks = config->n_stacks,
                         .now_us = wall_us()};
}

static int reply(struct http_request *request, unsigned status, const struct html *h)
{
    return http_reply(
        request, &(struct http_reply){.status = status,
                                      .type = "text/html; charset=utf-8",
                                      .body = str_text(&h->out),
                                      .len = h->out.len,
                                      .etag = status == HTTP_OK
                                                  ? http_etag(&request->arena, str_text(&h->out), h->out.len)
                                                  : NULL});
}

static int refuse(struct http_request *request, unsigned status, const char *title, const char *words)
{
    struct site site = site_of(request);
    struct html h = {.arena = &request->arena};
    page_refusal(&h, &site, title, words);
    int r = reply(request, status, &h);
    str_release(&h.out);
    return r;
}

static int no_journal(struct http_request *request)
{
    return refuse(
        request, HTTP_UNAVAILABLE, "The record cannot be read",
        "Nothing is known of any deployment at the moment, and none is started. What runs is not affected. "
        "Why it is so is in agentctl status, and in journalctl -u deploy-agent.");
}

static int not_found(struct http_request *request, const char *words)
{
    return refuse(request, HTTP_NOT_FOUND, "Not found", words);
}

/* Numbers of deployments in addresses; 0: it is none. */
static int64_t number(const char *text)
{
    size_t digits = text ? strspn(text, "0123456789") : 0;
    return digits > 0 && digits < 19 && text[digits] == '\0' ? strtoll(text, NULL, 10) : 0;
}

/* ---- reading ---- */

/* The rows of one page; one more is looked for, to know whether there is another page. */
static int read_history(struct http_request *request, const char *stack, const char *path,
                        struct history *ret, struct error *err)
{
    struct journal *journal = request->manager->journal;
    struct history history = {.path = path,
                              .several = !stack && request->manager->config.n_stacks > 1,
                              .before_id = number(http_query(request, "before"))};
    struct deployment_filter filter = {
        .stack = stack, .before_id = history.before_id, .limit = HISTORY_ROWS + 1};
    struct deployment *rows;
    size_t n;
    if (journal_deployments(journal, &request->arena, &filter, &rows, &n, err) < 0)
        return -1;
    history.more = n > HISTORY_ROWS;
    history.n = history.more ? HISTORY_ROWS : n;
    struct view *views = arena_array(&request->arena, history.n + 1, sizeof *views);
    for (size_t i = 0; i < history.n; i++)
        if (view_read(journal, &request->arena, &rows[i], &views[i], err) < 0)
            return -1;
    history.rows = views;
    *ret = history;
    return 0;
}

static int read_stack(struct http_request *request, const char *name, const json_t *agentd,
                      struct stack_view *ret, struct error *err)
{
    struct journal *journal = request->manager->journal;
    const struct stack_config *config = config_stack(&request->manager->config, name);
    struct stack_view v = {.branch = config ? config->branch : NULL};
    struct step *steps = NULL;
    if (status_read(journal, &request->arena, name, agentd, &v.status, err) < 0)
        return -1;
    if (v.status.under_way.id &&
        journal_steps(journal, &request->arena, v.status.under_way.id, &steps, &v.n_steps, err) < 0)
        return -1;
    v.steps = steps;
    *ret = v;
    return 0;
}

/* The newest deployment of what the branch is at, unless that is what runs; *ret_id 0: there is none. What is
 * under way may well be of another commit: an earlier push, a rollback, what others changed. */
static int find_planned(struct http_request *request, const struct status *s, int64_t *ret_id,
                        struct error *err)
{
    struct deployment_filter filter = {.stack = s->row.stack, .limit = COMMITS_LOOKED_AT};
    struct deployment *rows;
    size_t n;
    *ret_id = s->row.tip && str_eq(s->under_way.commit, s->row.tip) ? s->under_way.id : 0;
    if (*ret_id || !s->row.tip || status_tip_is_deployed(s))
        return 0;
    if (journal_deployments(request->manager->journal, &request->arena, &filter, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && !*ret_id; i++)
        if (str_eq(rows[i].commit, s->row.tip))
            *ret_id = rows[i].id;
    return 0;
}

static int read_pending(struct http_request *request, const struct status *s, struct pending *ret,
                        struct error *err)
{
    struct pending pending = {0};
    int64_t id;
    bool found;
    if (find_planned(request, s, &id, err) < 0 ||
        (id && journal_deployment(request->manager->journal, &request->arena, id, &pending.planned, &found,
                                  err) < 0))
        return -1;
    cleanup_json json_t *plan = pending.planned.plan ? json_loads(pending.planned.plan, 0, NULL) : NULL;
    if (plan) {
        const char *text = plan_text(&request->arena, plan);
        pending.plan = strlen(text) <= PLAN_MAX ? text
                                                : arena_printf(&request->arena, "%.*s\n…",
                                                               (int)str_utf8_prefix(text, PLAN_MAX), text);
    }
    *ret = pending;
    return 0;
}

/* ---- / ---- */

/* NULL: there is room. */
static const char *little_room(struct http_request *request)
{
    struct fs_space space;
    struct error ignored = {0};
    if (fs_space(request->manager->config.state_dir, &space, &ignored) < 0 || !fs_space_is_low(&space))
        return NULL;
    return fs_space_text(&request->arena, &space);
}

static int write_stacks(struct http_request *request, struct html *h, const json_t *agentd, struct error *err)
{
    struct site site = site_of(request);
    struct stack_view *stacks = arena_array(&request->arena, site.n_stacks + 1, sizeof *stacks);
    struct agent_view agent = {.state_dir = request->manager->config.state_dir, .room = little_room(request)};
    struct receiver_view *receivers;
    struct history history;
    if (receivers_read(request->manager->journal, &request->arena, RECEIVER_EVENTS_MAX, &receivers,
                       &agent.n_receivers, err) < 0)
        return -1;
    agent.receivers = receivers;
    for (size_t i = 0; i < site.n_stacks; i++)
        if (read_stack(request, site.stacks[i], agentd, &stacks[i], err) < 0)
            return -1;
    if (read_history(request, NULL, "/", &history, err) < 0)
        return -1;
    page_stacks(h, &site, &agent, stacks, site.n_stacks, &history);
    return 0;
}

/* ---- /stacks/NAME ---- */

/* Stacks whose section was removed live on in the record. */
static int is_known(struct http_request *request, const char *name, bool *ret, struct error *err)
{
    struct deployment_filter filter = {.stack = name, .limit = 1};
    struct deployment *rows;
    size_t n = 0;
    if (!config_stack(&request->manager->config, name) &&
        journal_deployments(request->manager->journal, &request->arena, &filter, &rows, &n, err) < 0)
        return -1;
    *ret = n > 0 || config_stack(&request->manager->config, name);
    return 0;
}

static int write_stack(struct http_request *request, struct html *h, const json_t *agentd, bool *ret_found,
                       struct error *err)
{
    struct site site = site_of(request);
    struct stack_view stack;
    struct pending pending;
    struct history history;
    const char *path = arena_printf(&request->arena, "/stacks/%s", request->word);
    if (is_known(request, request->word, ret_found, err) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    if (read_stack(request, request->word, agentd, &stack, err) < 0 ||
        read_pending(request, &stack.status, &pending, err) < 0 ||
        read_history(request, request->word, path, &history, err) < 0)
        return -1;
    page_stack(h, &site, &stack, &pending, &history);
    return 0;
}

/* ---- /deployments/ID ---- */

static int write_deployment(struct http_request *request, struct html *h, bool *ret_found, struct error *err)
{
    struct site site = site_of(request);
    struct journal *journal = request->manager->journal;
    struct deployment d;
    struct page page;
    if (journal_deployment(journal, &request->arena, number(request->word), &d, ret_found, err) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    int r = page_read(journal, &request->arena, &d, PAGE_ENDS, &page, err);
    if (r == 0)
        page_deployment(h, &site, &page);
    page_release(&page);
    return r;
}

/* ---- handlers ---- */

enum which { PAGE_STACKS, PAGE_STACK, PAGE_DEPLOYMENT };

static int page_of(struct http_request *request, enum which which, const char *absent)
{
    struct html h = {.arena = &request->arena};
    struct error err = {0};
    bool found = true;
    int r;
    if (!request->manager->journal)
        return no_journal(request);
    cleanup_json json_t *agentd = which == PAGE_DEPLOYMENT ? NULL : manager_status(request->manager);
    r = which == PAGE_STACKS  ? write_stacks(request, &h, agentd, &err)
        : which == PAGE_STACK ? write_stack(request, &h, agentd, &found, &err)
                              : write_deployment(request, &h, &found, &err);
    if (r < 0) {
        if (err.kind == ERR_SYSTEM || err.kind == ERR_UNAVAILABLE)
            manager_journal_failed(request->manager, &err, "reading for a page");
        r = no_journal(request);
    } else {
        r = found ? reply(request, HTTP_OK, &h) : not_found(request, absent);
    }
    str_release(&h.out);
    return r;
}

int http_page_stacks(struct http_request *request)
{
    return page_of(request, PAGE_STACKS, "");
}

int http_page_stack(struct http_request *request)
{
    return page_of(request, PAGE_STACK, "There is no such stack, neither configured nor on record.");
}

int http_page_deployment(struct http_request *request)
{
    return page_of(request, PAGE_DEPLOYMENT, "There is no such deployment on record.");
}

/* ---- /assets/NAME ---- */

int http_page_asset(struct http_request *request)
{
    const struct {
        const char *name, *type;
        const unsigned char *bytes;
        size_t size;
    } assets[] = {
        {"style.css", "text/css; charset=utf-8", style_css, style_css_size},
        {"live.js", "text/javascript; charset=utf-8", live_js, live_js_size},
        {"icon.svg", "image/svg+xml", icon_svg, icon_svg_size},
    };
    for (size_t i = 0; i < ARRAY_SIZE(assets); i++) {
        const char *body = (const char *)assets[i].bytes;
        if (str_eq(assets[i].name, request->word))
            return http_reply(request,
                              &(struct http_reply){.type = assets[i].type,
                                                   .body = body,
                                                   .len = assets[i].size,
                                                   .etag = http_etag(&request->arena, body, assets[i].size)});
    }
    return not_found(request, "There is no such file.");
}

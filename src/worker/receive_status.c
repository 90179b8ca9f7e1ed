/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "worker/receivers.h"
#include "worker/secret_file.h"

/* The status beside a commit at its forge: pending while it is deployed, then how that ended. */

struct forge_client {
    struct http *http;
    const struct stack_config *stack;
    const char *token;
};

static int status_open(struct delivery *d, struct error *err)
{
    struct work *work = d->work;
    struct forge_client *c = arena_alloc(&work->arena, sizeof *c);
    d->state = c;
    c->stack = config_stack(&work->config, d->name);
    if (!c->stack || !c->stack->status_token_file)
        return error_set(err, ERR_NOT_FOUND, 0, "[stack %s] of %s has no status_token_file", d->name,
                         work->config.path);
    if (secret_file_line(&work->arena, "status_token_file", c->stack->status_token_file, &c->token, err) < 0)
        return -1;
    return http_open(&c->http, err);
}

/* One that says more comes: after an outage the forge gets what is true now, not each step on the way. */
static bool is_overtaken(const struct event *events, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (events[i].deployment == events[0].deployment)
            return true;
    return false;
}

/* 1: to be told, 0: not, -1: failed */
static int is_news(struct delivery *d, const struct notice *notice, struct error *err)
{
    struct verdict told, next;
    if (outbox_told(d->work->journal, &d->arena, d->receiver, notice->deployment.stack, &told, err) < 0)
        return -1;
    bool news = status_is_news(notice, &told, &next);
    if (news)
        d->told = next;
    return news;
}

static int send_status(struct delivery *d, const struct notice *notice, struct error *err)
{
    const struct forge_client *c = d->state;
    struct message message;
    struct answer answer;
    if (status_make(&d->arena, c->stack, c->token, notice, &message) < 0) {
        d->passed = true;
        return 0;
    }
    int r = message_send(c->http, &d->arena, &message, &answer, err);
    d->retry_after_us = answer.retry_after_us;
    /* 404: GitLab and Gitea say so of a commit that is not there any more; the next one shall not wait for it
     */
    bool refused = answer.refused || answer.status == 404;
    if (r == 0 || !refused)
        return r;
    log_warning("%s: the forge does not take the status of %.12s, which is left out: %s", d->receiver,
                notice->deployment.commit, err->text);
    d->refused = arena_strdup(&d->arena, err->text);
    return 0;
}

static int status_deliver(struct delivery *d, const struct event *events, size_t n, size_t *ret_done,
                          struct error *err)
{
    struct notice notice;
    bool found = false;
    int news = 0;
    if (!is_overtaken(events, n)) {
        if (notice_load(d->work->journal, &d->arena, &events[0], d->work->config.http_link, &notice, &found,
                        err) < 0)
            return -1;
        news = found ? is_news(d, &notice, err) : 0;
    }
    d->passed = news == 0;
    if (news < 0 || (news > 0 && send_status(d, &notice, err) < 0))
        return -1;
    *ret_done = 1;
    return 0;
}

static void status_close(struct delivery *d)
{
    struct forge_client *c = d->state;
    if (c)
        http_close(c->http);
}

const struct receiver_kind receiver_status = {"status", 50, status_open, status_deliver, status_close};

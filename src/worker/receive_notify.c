/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "worker/receivers.h"
#include "worker/secret_file.h"

/* [notify NAME]: a message for each state that is asked for. The same verdict of the same commit is told
   once, however often it comes (a service that is put back and falls over again). */

struct messenger {
    struct http *http;
    const struct notify_config *config;
    const char *url;
};

int notify_url(struct work *work, const struct notify_config *config, const char **ret, struct error *err)
{
    if (config->url) {
        *ret = config->url;
        return 0;
    }
    if (secret_file_line(&work->arena, "url_file", config->url_file, ret, err) < 0)
        return -1;
    const char *odd = config_notify_url_fault(*ret);
    if (!odd && config_url_is_insecure(*ret) && !config->insecure)
        odd = "plain http lets anybody on the way read it; use https, or write insecure = yes";
    return odd ? error_set(err, ERR_INVALID, 0, "url_file: %s: %s", config->url_file, odd) : 0;
}

static int notify_open(struct delivery *d, struct error *err)
{
    struct messenger *m = arena_alloc(&d->work->arena, sizeof *m);
    d->state = m;
    m->config = config_notify(&d->work->config, d->name);
    if (!m->config)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no [notify %s] in %s", d->name,
                         d->work->config.path);
    return notify_url(d->work, m->config, &m->url, err) < 0 ? -1 : http_open(&m->http, err);
}

/* 1: to be told, 0: it was, -1: failed */
static int is_news(struct delivery *d, const struct notice *notice, struct error *err)
{
    struct verdict told, before;
    struct journal *journal = d->work->journal;
    const struct deployment *deployment = &notice->deployment;
    if (outbox_told(journal, &d->arena, d->receiver, deployment->stack, &told, err) < 0 ||
        outbox_verdict_before(journal, &d->arena, deployment->stack, deployment->id, &before, err) < 0)
        return -1;
    return notice_is_news(notice, &told, &before, &d->told);
}

static int send_notice(struct delivery *d, const struct notice *notice, struct error *err)
{
    const struct messenger *m = d->state;
    struct message message;
    struct answer answer;
    message_make(&d->arena, m->config, m->url, notice, &message);
    int r = message_send(m->http, &d->arena, &message, &answer, err);
    d->retry_after_us = answer.retry_after_us;
    if (r == 0 || !answer.refused)
        return r;
    log_warning("%s does not take the message on #%lld, which is left out: %s", d->receiver,
                (long long)notice->deployment.id, err->text);
    d->refused = arena_strdup(&d->arena, err->text);
    return 0;
}

static int load_notice(struct delivery *d, const struct event *event, struct notice *ret, bool *ret_found,
                       struct error *err)
{
    struct work *work = d->work;
    if (notice_load(work->journal, &d->arena, event, work->config.http_link, ret, ret_found, err) < 0)
        return -1;
    ret->dropped = d->row.dropped;
    return 0;
}

static int notify_deliver(struct delivery *d, const struct event *events, size_t n, size_t *ret_done,
                          struct error *err)
{
    struct notice notice;
    bool found;
    (void)n;
    if (load_notice(d, &events[0], &notice, &found, err) < 0)
        return -1;
    int news = found ? is_news(d, &notice, err) : 0;
    if (news < 0 || (news > 0 && send_notice(d, &notice, err) < 0))
        return -1;
    d->passed = news == 0;
    *ret_done = 1;
    return 0;
}

static void notify_close(struct delivery *d)
{
    struct messenger *m = d->state;
    if (m)
        http_close(m->http);
}

const struct receiver_kind receiver_notify = {"notify", 1, notify_open, notify_deliver, notify_close};

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/log.h"
#include "agent/webhook.h"
#include "agentd/http_request.h"
#include "agentd/manager.h"
#include "agentd/metrics.h"
#include "base/cleanup.h"
#include "base/clock.h"

/* A stranger may repeat it: one line in a minute. */
static const int64_t say_again_us = 60 * US_PER_S;

/* How the sender calls it; for its own log of deliveries. */
static const char *delivery_of(struct http_request *request)
{
    static const char *const headers[] = {"X-GitHub-Delivery", "X-Gitea-Delivery", "X-Gitlab-Event-UUID",
                                          "webhook-id"};
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        const char *id = http_header(request, headers[i]);
        if (id && *id)
            return str_clean(&request->arena, id, strlen(id), true, 64);
    }
    return "without an id";
}

static int refuse(struct http_request *request, struct watch *w)
{
    int64_t now = mono_us();
    metrics_webhook(w, false);
    if (!w->webhook_refused_us || now - w->webhook_refused_us > say_again_us) {
        w->webhook_refused_us = now;
        log_watch(w);
        log_warning("a webhook was refused: its signature is missing or wrong (delivery %s). Is the secret "
                    "at the Git "
                    "server the one in webhook_secret_file?",
                    delivery_of(request));
        log_watch(NULL);
    }
    return http_error(request, HTTP_UNAUTHORIZED, "the signature is missing or wrong");
}

int http_webhook(struct http_request *request)
{
    struct manager *manager = request->manager;
    struct watch *w = manager_watch(manager, request->word);
    const char *secret = w ? w->config->webhook_secret : NULL;
    const struct webhook_headers headers = {
        .hub = http_header(request, "X-Hub-Signature-256"),
        .gitea = http_header(request, "X-Gitea-Signature"),
        .gitlab_token = http_header(request, "X-Gitlab-Token"),
        .id = http_header(request, "webhook-id"),
        .timestamp = http_header(request, "webhook-timestamp"),
        .signature = http_header(request, "webhook-signature"),
    };
    /* which stacks there are is no secret here: the page names them */
    if (!secret)
        return http_error(request, HTTP_NOT_FOUND, "not found");
    if (!webhook_verify(secret, &headers, request->body, request->body_len))
        return refuse(request, w);
    if (!manager->journal || manager->stopping)
        return http_no_journal(request);
    metrics_webhook(w, true);
    log_watch(w);
    /* those that come on top of one change nothing, and may be many */
    log_line(w->webhook_wanted ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, NULL,
             "a webhook says that there is something new (delivery %s)", delivery_of(request));
    log_watch(NULL);
    schedule_webhook(w);
    return http_json(request, HTTP_ACCEPTED, "{\"status\":\"accepted\"}");
}

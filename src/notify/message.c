/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "notify/json.h"

/* One message to one receiver: made by the shape, sent by a POST. */

static const int64_t send_timeout_us = 10 * US_PER_S;
enum { ANSWER_MAX = 64 << 10, ANSWER_SHOWN = 200 };

static const struct shape_kind *const shapes[] = {
    [SHAPE_GENERIC] = &shape_generic,
    [SHAPE_SLACK] = &shape_slack,
    [SHAPE_DISCORD] = &shape_discord,
    [SHAPE_NTFY] = &shape_ntfy,
};

const char *json_take(struct arena *arena, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (!text)
        abort();
    const char *copy = arena_strdup(arena, text);
    free(text);
    json_decref(object);
    return copy;
}

void message_make(struct arena *arena, const struct notify_config *config, const char *url,
                  const struct notice *notice, struct message *ret)
{
    const struct shape_kind *shape = shapes[config->shape];
    struct message m = {.url = url, .ca_file = config->ca_file};
    size_t n = 0;
    m.headers[n++] = arena_printf(arena, "Content-Type: %s", shape->content_type);
    m.headers[n++] = arena_printf(arena, "Idempotency-Key: %s", notice->id);
    if (shape->headers)
        shape->headers(arena, notice, m.headers + n);
    m.body = shape->body(arena, notice);
    *ret = m;
}

/* What the receiver said, as far as it helps: "401: Bad credentials" */
static int answer_error(struct arena *arena, const struct http_response *response, struct error *err)
{
    /* what it repeats of our secrets goes before anything is cut: half a secret would not be known as one */
    const char *said = secret_redact(arena, str_text(&response->body));
    said = str_clean(arena, said, strlen(said), true, ANSWER_SHOWN);
    const char *why =
        response->status >= 300 && response->status < 400 ? " (redirects are not followed)" : "";
    return error_set(err, ERR_UNAVAILABLE, (int)response->status, "the receiver answered %ld%s%s%s",
                     response->status, why, *said ? ": " : "", said);
}

int message_send(struct http *http, struct arena *arena, const struct message *message, struct answer *ret,
                 struct error *err)
{
    struct http_response response = {0};
    const struct http_request request = {.method = "POST",
                                         .url = message->url,
                                         .headers = message->headers,
                                         .body = message->body,
                                         .body_len = strlen(message->body),
                                         .ca_file = message->ca_file,
                                         .timeout_us = send_timeout_us,
                                         .max_body = ANSWER_MAX,
                                         .cut_body = true,
                                         .good_head_is_all = true,
                                         .loopback_by_name = true,
                                         .stoppable = true};
    *ret = (struct answer){0};
    if (http_send(http, &request, &response, err) < 0)
        return -1;
    int r = 0;
    ret->status = response.status;
    if (response.status < 200 || response.status > 299) {
        ret->refused = response.status == 400 || response.status == 413 || response.status == 422;
        ret->retry_after_us = response.retry_after_s * US_PER_S;
        r = answer_error(arena, &response, err);
    }
    http_response_release(&response);
    return r;
}

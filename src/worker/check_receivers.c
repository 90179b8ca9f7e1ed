/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/records.h"
#include "agent/webhook.h"
#include "base/clock.h"
#include "worker/check.h"
#include "worker/receivers.h"
#include "worker/records.h"

/* `check`: who is told of deployments, and who may ask for a look. */

static const int64_t records_timeout_us = 20 * US_PER_S;

/* Nothing is sent: people would have to be told that it means nothing. */
static void check_notify(struct check *check, const struct notify_config *config)
{
    struct error err = {0};
    const char *url;
    if (config->url_file && !check_secret_file(check, "url_file", config->url_file))
        return;
    if (notify_url(&check->work, config, &url, &err) < 0)
        check_fail(
            check,
            mend_edit(&check->work.arena, config->url_file ? config->url_file : check->work.config.path),
            "notify %s: %s", config->name, err.text);
    else
        check_good("notify %s: has a URL, which was not tried", config->name);
}

static void check_records(struct check *check)
{
    const struct config *config = &check->work.config;
    struct records_look look;
    struct pg_url url = {0};
    struct error err = {0};
    const char *file = config->records_postgres_file;
    if (!config->records_postgres && !file)
        return;
    if (file && !check_secret_file(check, "[records] postgres_file", file))
        return;
    if (records_target(&check->work, &url, &err) < 0 ||
        records_look(&url, records_timeout_us, &look, &err) < 0)
        check_fail(check, mend_server(&check->work.arena, &url, file ? file : config->path, &err),
                   "records: %s%s", err.text, records_hint(&url, &err));
    else
        check_good("records: database %s on %s, PostgreSQL %d, %s%s%s", url.dbname, url.host,
                   look.server_version / 10000, look.schema ? "can be written" : "their schema can be made",
                   *url.dropped ? "; of no use in the URL: " : "", *url.dropped ? *url.dropped : "");
}

void check_receivers(struct check *check)
{
    const struct config *config = &check->work.config;
    check_records(check);
    for (size_t i = 0; i < config->n_notify; i++)
        check_notify(check, &config->notify[i]);
}

void check_webhook(struct check *check, const struct stack_config *config)
{
    const char *path = config->webhook_secret_file, *conf = check->work.config.path;
    struct error err = {0};
    char *secret;
    if (!path || !check_secret_file(check, "webhook_secret_file", path))
        return;
    if (webhook_secret_read(&check->work.arena, path, &secret, &err) < 0)
        check_fail(check, arena_printf(&check->work.arena, "make one with: openssl rand -hex 32 >%s", path),
                   "webhook_secret_file: %s", err.text);
    else if (!check->work.config.http_listen)
        check_fail(check, mend_edit(&check->work.arena, conf),
                   "stack %s: webhook_secret_file is set, and [http] listen is empty: no webhook can arrive",
                   config->name);
    else
        check_good("the Git server's POST goes to /webhook/%s", config->name);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/records.h"

#include <string.h>

#include "agent/records.h"
#include "base/secret.h"
#include "base/str.h"
#include "worker/secret_file.h"

static int read_url(struct work *work, const char **ret, struct error *err)
{
    const struct config *config = &work->config;
    if (config->records_postgres_file)
        return secret_file_line(&work->arena, "[records] postgres_file", config->records_postgres_file, ret,
                                err);
    *ret = config->records_postgres;
    return *ret ? 0
                : error_set(err, ERR_NOT_FOUND, 0, "[records] postgres is not set in %s: no records are kept",
                            config->path);
}

int records_target(struct work *work, struct pg_url *ret, struct error *err)
{
    const char *text;
    if (read_url(work, &text, err) < 0)
        return -1;
    secret_register_url(text);
    if (records_url(&work->arena, text, ret, err) < 0)
        return error_wrap(err, "[records] postgres%s", work->config.records_postgres_file ? "_file" : "");
    if (ret->password)
        secret_register(ret->password);
    return 0;
}

const char *records_hint(const struct pg_url *url, const struct error *err)
{
    bool about_tls = strcasestr(err->text, "ssl") || strcasestr(err->text, "certificate");
    return about_tls && str_eq(url->sslmode, "verify-full")
               ? "; a server beyond this host has to prove who it is: ?sslrootcert=FILE names its CA, "
                 "?sslmode=… another rule"
               : "";
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What writing and reading the records share: one transaction on one connection. */

#include "agent/records.h"
#include "pg/conn.h"

struct records_session {
    struct arena arena;
    struct pg_conn conn;
    int64_t deadline_us; /* monotonic */
    int schema;          /* version found; 0: none */
};

/* Connects, begins a transaction (read only or not) and looks at the schema; that it is what is needed
 * records_check() says. */
int records_open(struct records_session *s, const struct pg_url *url, int64_t deadline_us, bool read_only,
                 struct error *err) MUST_CHECK;
void records_close(struct records_session *s);
#define cleanup_records CLEANUP(records_close)

/* ERR_CONFLICT: it is a newer program's; ERR_NOT_FOUND: it is older, or there is none. */
int records_check(const struct records_session *s, struct error *err) MUST_CHECK;

/* As pg_ask(), with a text of its own where the time is over. */
int records_ask(struct records_session *s, const char *doing, PGresult **ret, struct error *err,
                const char *sql, size_t n_params, const char *const *params) MUST_CHECK;
#define RECORDS_ASK(s, doing, ret, err, sql, ...)                                                            \
    records_ask(s, doing, ret, err, sql, ARRAY_SIZE(((const char *const[]){__VA_ARGS__})),                   \
                (const char *const[]){__VA_ARGS__})

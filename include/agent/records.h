/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The records in PostgreSQL (migrations/records): tables that every host writes its history to, and a view
 * for dashboards. The schema is applied by the runner of SQL steps itself, with its lock, its log and its
 * rules.
 *
 * Each host delivers what its journal's outbox has, in order and at least once; records_write() is one
 * transaction, and what it has written already it does not write again. Errors: ERR_UNAVAILABLE, ERR_TIMEOUT
 * (try again), ERR_REFUSED, ERR_FAILED (the server said no; the text says what), ERR_CONFLICT (the schema is
 * a newer program's, or the journal is not the one that has written before: a person is needed),
 * ERR_CANCELLED.
 */

#include "agent/migrate.h"

/* Makes the schema what this program needs; ret->applied 0: it was. ERR_CONFLICT: it is that of a newer
   program, which goes on writing; ours must not. Else the errors of migrate_run(). */
int records_schema(struct arena *arena, const struct migrate_target *target, int64_t timeout_us,
                   struct migrate_result *ret, struct error *err) MUST_CHECK;

/*
 * As pg_url_parse(); and a server that is neither on this host nor says how it is to prove itself (sslmode)
 * has to show a certificate of its name, from a CA that the system trusts where the URL names none.
 */
int records_url(struct arena *arena, const char *text, struct pg_url *ret, struct error *err) MUST_CHECK;

/* What check says: the server, and the schema found, 0 none yet. A delivery is tried, and rolled back. */
struct records_look {
    int server_version; /* 150004 */
    int schema, needed;
};
int records_look(const struct pg_url *url, int64_t timeout_us, struct records_look *ret,
                 struct error *err) MUST_CHECK;

/* Rows as JSON arrays of objects, by the names of their columns. */
struct records_batch {
    const char *host_id, *host; /* random, the journal's; the machine's name */
    const char *version;        /* of the agent */
    /* Of deploy_agent.state_change, in order; `change` counts up. */
    const char *changes;
    /* Of deploy_agent.deployment: each deployment of `changes` once, as it is now, with the newest `change`
       of it here, and `migrations`: rows of deploy_agent.deployment_migration. */
    const char *deployments;
};
/* Makes the schema first when it is not there. */
int records_write(const struct pg_url *url, const struct records_batch *batch, int64_t timeout_us,
                  struct error *err) MUST_CHECK;

struct records_filter {
    const char *stack, *state; /* NULL: all */
    int64_t since_us;          /* requested at or after */
    unsigned limit;            /* 0: all */
};
/* One deployment as one line of JSON without a newline: the columns of deploy_agent.deployment, "host", times
 * also as "requested_us", "started_us", "finished_us", and "migrations" with "took_us". */
typedef int records_row(void *userdata, const char *json, struct error *err);
/* Newest first. ERR_NOT_FOUND: no host has written there yet. */
int records_read(const struct pg_url *url, const struct records_filter *filter, int64_t timeout_us,
                 records_row *row, void *userdata, struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * PostgreSQL. src/pg is the only user of libpq-fe.h. For now: is the server ready for migrations? The facts
 * are from https://www.postgresql.org/docs/15/libpq-connect.html and were measured on PostgreSQL 15.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

struct pg_url {
    const char *user, *password; /* NULL: not given */
    const char *host, *dbname;
    unsigned port;                     /* 5432 when not given */
    const char *sslmode, *sslrootcert; /* libpq's; NULL: not given. Without effect on the relay's sockets */
    const char **dropped;              /* names of parameters that were not understood, NULL-terminated */
};

/*
 * postgresql://user:password@host:port/name?… in the spellings of libpq, SQLAlchemy (postgresql+psycopg2) and
 * dj-database-url (postgis, pgsql). The error text never holds the password.
 */
int pg_url_parse(struct arena *arena, const char *text, struct pg_url *ret, struct error *err) MUST_CHECK;

struct pg_login {
    const char *server_start; /* pg_postmaster_start_time(): two logins with one value saw one server */
    int server_version;       /* 150004 */
};

/*
 * One login, and one look at the server. socket_folder: of the relay's socket (named .s.PGSQL.PORT); NULL:
 * TCP to url->host. ERR_UNAVAILABLE: not yet (starting, no answer, too many connections): try again.
 * ERR_REFUSED: credentials or database do not exist, the text says what to do. ERR_CONFLICT: a standby, or
 * read-only.
 */
int pg_login(struct arena *arena, const struct pg_url *url, const char *socket_folder,
             const char *application_name, int64_t timeout_us, struct pg_login *ret,
             struct error *err) MUST_CHECK;

struct pg_facts {
    int64_t n_tables; /* of users: those of extensions and of our own records do not count */
    uint64_t size;    /* bytes on disk */
};

/* What a backup needs to know. Errors as of pg_login(). */
int pg_facts(struct arena *arena, const struct pg_url *url, const char *socket_folder,
             const char *application_name, int64_t timeout_us, struct pg_facts *ret,
             struct error *err) MUST_CHECK;

/*
 * Is the answer of one SELECT one row with true? It runs read only, under a timeout, and again and again.
 * ret: what it is if it is not, at most so long. Errors as of pg_login(): the query could not be asked.
 */
int pg_truth(const struct pg_url *url, const char *socket_folder, const char *application_name,
             int64_t timeout_us, const char *sql, bool *ret, char *ret_text, size_t text_size,
             struct error *err) MUST_CHECK;

struct pg_health { /* lists end with NULL */
    const char **invalid_indexes;
    const char **missing_tables; /* of those asked for */
    const char **framework;      /* what Django ("tracker.0001_initial") or Alembic has recorded as done */
};

/* One connection that only reads, each statement for 2 s at most. tables: as in SQL; NULL: none. */
int pg_health(struct arena *arena, const struct pg_url *url, const char *socket_folder,
              const char *application_name, int64_t timeout_us, const char *const *tables,
              struct pg_health *ret, struct error *err) MUST_CHECK;
/* One login; which of these tables are not there, as a list that ends with NULL. Errors as of pg_login(), but
 * a server that only reads is none. */
int pg_missing_tables(struct arena *arena, const struct pg_url *url, const char *socket_folder,
                      const char *application_name, int64_t timeout_us, const char *const *tables,
                      const char ***ret, struct error *err) MUST_CHECK;

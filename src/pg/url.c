/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/pg.h"
#include "base/cleanup.h"
#include "base/str.h"

static const char *const schemes[] = {"postgres", "postgresql", "postgis", "pgsql"};

static bool known_scheme(const char *text, size_t len)
{
    /* SQLAlchemy: dialect+driver */
    const char *plus = memchr(text, '+', len);
    size_t n = plus ? (size_t)(plus - text) : len;
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (strlen(schemes[i]) == n && strncmp(schemes[i], text, n) == 0)
            return true;
    return false;
}

/* What follows the colon; nothing: the usual one. */
static int parse_port(const char *text, size_t len, struct pg_url *url, struct error *err)
{
    unsigned long port = 5432;
    bool digits = len <= 5 && strspn(text, "0123456789") >= len;
    if (len && digits)
        port = strtoul(text, NULL, 10);
    if (!digits || port == 0 || port > 65535)
        return error_set(err, ERR_INVALID, 0, "the database URL's port is no number from 1 to 65535");
    url->port = (unsigned)port;
    return 0;
}

/* "db", "db:5432", "[::1]:5432" */
static int parse_host(struct arena *arena, const char *text, size_t len, struct pg_url *url,
                      struct error *err)
{
    bool bracket = len && *text == '[';
    const char *end = memchr(text, bracket ? ']' : ':', len), *host = text + bracket;
    if (bracket && !end)
        return error_set(err, ERR_INVALID, 0, "the database URL's host lacks its ]");
    size_t host_len = (size_t)((end ? end : text + len) - host);
    if (host_len == 0)
        return error_set(err, ERR_INVALID, 0, "the database URL has no host");
    const char *colon = end && bracket ? end + 1 : end, *stop = text + len;
    if (!bracket && colon && memchr(colon + 1, ':', (size_t)(stop - colon - 1)))
        return error_set(err, ERR_INVALID, 0,
                         "the database URL's host has several colons: an IPv6 address is written [::1]");
    if (colon && colon < stop && *colon != ':')
        return error_set(err, ERR_INVALID, 0, "the database URL has more than a port behind its host's ]");
    url->host = str_percent_decode(arena, host, host_len);
    url->port = 5432;
    return colon && colon < stop ? parse_port(colon + 1, (size_t)(stop - colon - 1), url, err) : 0;
}

/* How far the server has to prove itself: to drop these would send the password to anybody. */
static const char **kept_parameter(struct pg_url *url, const char *name)
{
    return str_eq(name, "sslmode") ? &url->sslmode : str_eq(name, "sslrootcert") ? &url->sslrootcert : NULL;
}

/* Other connection options, of other libraries as well, mean nothing here; ours are set by us. */
static void note_parameters(struct arena *arena, const char *query, struct pg_url *url)
{
    size_t n = 0;
    const char **names = NULL;
    for (const char *p = query; *p;) {
        size_t len = strcspn(p, "&"), name_len = strcspn(p, "=&");
        const char *name = arena_strndup(arena, p, name_len), **kept = kept_parameter(url, name);
        if (kept && p[name_len] == '=') {
            *kept = str_percent_decode(arena, p + name_len + 1, len - name_len - 1);
        } else {
            names = arena_grow(arena, names, n, sizeof *names);
            names[n++] = name;
        }
        p += len + (p[len] == '&');
    }
    names = arena_grow(arena, names, n, sizeof *names);
    names[n] = NULL;
    url->dropped = names;
}

/* https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNECT-SSLMODE; with another one each login
 * fails, as if the server were away. */
static bool known_sslmode(const char *text)
{
    static const char *const modes[] = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (str_eq(text, modes[i]))
            return true;
    return false;
}

int pg_url_parse(struct arena *arena, const char *text, struct pg_url *ret, struct error *err)
{
    struct pg_url url = {0};
    const char *colon = strstr(text, "://");
    if (!colon || !known_scheme(text, (size_t)(colon - text)))
        return error_set(err, ERR_INVALID, 0,
                         "the database URL does not begin with postgresql:// (or postgres, postgis, pgsql, "
                         "postgresql+DRIVER)");
    const char *authority = colon + 3;
    size_t len = strcspn(authority, "/?");
    const char *at = memrchr(authority, '@', len), *host = at ? at + 1 : authority;
    if (at) {
        const char *password = memchr(authority, ':', (size_t)(at - authority));
        url.user = str_percent_decode(arena, authority, (size_t)((password ? password : at) - authority));
        if (password)
            url.password = str_percent_decode(arena, password + 1, (size_t)(at - password - 1));
    }
    if (parse_host(arena, host, (size_t)(authority + len - host), &url, err) < 0)
        return -1;
    const char *path = authority + len;
    if (*path == '/') {
        size_t name = strcspn(path + 1, "?");
        url.dbname = str_percent_decode(arena, path + 1, name);
        path += 1 + name;
    }
    if (!url.dbname || !*url.dbname)
        return error_set(err, ERR_INVALID, 0, "the database URL names no database");
    note_parameters(arena, *path == '?' ? path + 1 : "", &url);
    if (url.sslmode && !known_sslmode(url.sslmode))
        return error_set(err, ERR_INVALID, 0,
                         "the database URL's sslmode is none of disable, allow, prefer, require, verify-ca, "
                         "verify-full");
    *ret = url;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <regex.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "core/release_internal.h"

/* x-release.health: checks by service. */

static const int64_t check_timeout_us = 5 * US_PER_S;
/* A container has to be started for it. */
static const int64_t command_timeout_us = 30 * US_PER_S;

enum { CHECKS_MAX = 1000 }; /* far beyond any use */

struct raw_check {
    const char *http, *tcp, *sql, *body, *host;
    const char **command;
    unsigned status;
    const struct node *header;
    int64_t timeout_us;
};

static int read_node(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    (void)d;
    (void)err;
    *(const struct node **)target = node;
    return 0;
}

/* RFC 9110 5.6.2 */
static bool is_token(const char *text)
{
    static const char characters[] =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *text && text[strspn(text, characters)] == '\0';
}

/* Line breaks would smuggle in another header. */
static bool is_header_value(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

static int read_headers(const struct decode *d, const struct node *node, const char ***ret, struct error *err)
{
    if (node->type != NODE_MAP)
        return node_error(err, node, d->path, "must be a mapping of header names to values");
    const char **headers = arena_array(d->arena, node->map.n + 1, sizeof *headers);
    for (size_t i = 0; i < node->map.n; i++) {
        const struct node_pair *pair = &node->map.pairs[i];
        const char *value;
        struct decode below = decode_below(d, pair->key);
        if (decode_string(&below, pair->value, &value, err) < 0)
            return -1;
        if (!is_token(pair->key) || !is_header_value(value))
            return node_error(err, pair->value, below.path, "holds characters that a header cannot");
        if (strcasecmp(pair->key, "Host") == 0)
            return node_error(err, pair->value, below.path, "is set with host, beside header");
        headers[i] = arena_printf(d->arena, "%s: %s", pair->key, value);
    }
    *ret = headers;
    return 0;
}

/* 1 to 65535, digits only; 0: it is none */
static unsigned parse_port(const char *text, size_t len)
{
    unsigned port = 0;
    if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
        return 0;
    for (size_t i = 0; i < len; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    return port <= 65535 ? port : 0;
}

/* "host" or "host:port" */
static int split_host_port(const struct decode *d, const struct node *node, const char *text, size_t len,
                           unsigned fallback, struct health_check *check, struct error *err)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *colon = memchr(text, ':', len);
    size_t host_len = colon ? (size_t)(colon - text) : len;
    unsigned port = colon ? parse_port(colon + 1, len - host_len - 1) : fallback;
    if (host_len == 0 || port == 0 || strspn(text, characters) < host_len)
        return node_error(err, node, d->path,
                          "'%.*s' is no host:port (a service name or host name, a port from 1 to 65535)",
                          (int)len, text);
    check->host = arena_strndup(d->arena, text, host_len);
    check->port = port;
    return 0;
}

static bool is_request_path(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || *text == 0x7f || *text == '#')
            return false;
    return true;
}

static int check_body(const struct decode *d, const struct node *node, const char *body, struct error *err)
{
    regex_t re;
    char why[128];
    int r = regcomp(&re, body, REG_EXTENDED | REG_NOSUB | REG_NEWLINE);
    if (r == 0) {
        regfree(&re);
        return 0;
    }
    regerror(r, &re, why, sizeof why);
    return node_error(err, node, d->path, "'%s' is no extended regular expression: %s", body, why);
}

static int finish_http(const struct decode *d, const struct node *node, const struct raw_check *raw,
                       struct health_check *check, struct error *err)
{
    static const char scheme[] = "http://";
    const struct node *url = node_get(node, "http");
    if (strncmp(raw->http, scheme, strlen(scheme)) != 0)
        return node_error(err, url, d->path,
                          "must be an http:// URL: inside the overlay the task itself is asked");
    const char *authority = raw->http + strlen(scheme);
    size_t len = strcspn(authority, "/?#");
    if (memchr(authority, '@', len))
        return node_error(err, url, d->path, "must not hold a user name; use header");
    if (split_host_port(d, url, authority, len, 80, check, err) < 0)
        return -1;
    const char *path = authority + len;
    if (!is_request_path(path))
        return node_error(err, url, d->path, "'%s' is no path of an HTTP request",
                          str_clean(d->arena, path, strlen(path), true, 200));
    check->path = *path == '/' ? path : arena_printf(d->arena, "/%s", path);
    if (raw->status < 100 || raw->status > 599)
        return node_error(err, node_get(node, "status"), d->path, "status must be from 100 to 599");
    if (raw->body && check_body(d, node_get(node, "body"), raw->body, err) < 0)
        return -1;
    if (raw->host && (!is_header_value(raw->host) || strchr(raw->host, ' ')))
        return node_error(err, node_get(node, "host"), d->path, "'%s' is no host name",
                          str_clean(d->arena, raw->host, strlen(raw->host), true, 200));
    check->status = raw->status;
    check->body = raw->body;
    check->host_header = raw->host ? raw->host : check->host;
    check->label = arena_printf(d->arena, "%s %s", check->host, check->path);
    check->headers = arena_array(d->arena, 1, sizeof *check->headers);
    struct decode below = decode_below(d, "header");
    if (raw->header && read_headers(&below, raw->header, &check->headers, err) < 0)
        return -1;
    return 0;
}

static int finish_tcp(const struct decode *d, const struct node *node, const struct raw_check *raw,
                      struct health_check *check, struct error *err)
{
    check->kind = CHECK_TCP;
    check->label = raw->tcp;
    return split_host_port(d, node_get(node, "tcp"), raw->tcp, strlen(raw->tcp), 0, check, err);
}

/* Labels stand in reasons and logs; cut first, half of a secret would not be known as one. */
static const char *short_text(struct arena *arena, const char *text)
{
    const char *redacted = secret_redact(arena, text);
    return str_clean(arena, redacted, strlen(redacted), true, 60);
}

/* It runs again and again: what it reads is all it may do. A transaction that it ended would not be read
 * only. */
static int finish_sql(const struct decode *d, const struct node *node, const struct raw_check *raw,
                      struct health_check *check, struct error *err)
{
    const char *sql = raw->sql + strspn(raw->sql, " \t\r\n(");
    size_t len = strlen(raw->sql), end = strcspn(raw->sql, ";");
    bool reads = strncasecmp(sql, "SELECT", 6) == 0 || strncasecmp(sql, "WITH", 4) == 0;
    if (!reads || end + strspn(raw->sql + end, "; \t\r\n") < len)
        return node_error(err, node_get(node, "sql"), d->path,
                          "must be one SELECT, without ; in it, that yields one row with true");
    check->kind = CHECK_SQL;
    check->sql = raw->sql;
    check->label = arena_printf(d->arena, "%s sql '%s'", check->service, short_text(d->arena, sql));
    return 0;
}

static int finish_command(const struct decode *d, const struct node *node, const struct raw_check *raw,
                          struct health_check *check, struct error *err)
{
    cleanup_str struct str words = {0};
    if (!raw->command[0])
        return node_error(err, node_get(node, "command"), d->path, "command must not be empty");
    for (size_t i = 0; raw->command[i]; i++)
        str_printf(&words, "%s%s", i ? " " : "", raw->command[i]);
    check->kind = CHECK_COMMAND;
    check->command = raw->command;
    check->label =
        arena_printf(d->arena, "%s command '%s'", check->service, short_text(d->arena, str_text(&words)));
    return 0;
}

/* Keys of http beside another kind would do nothing. */
static int check_keys(const struct decode *d, const struct node *node, const struct raw_check *raw,
                      struct error *err)
{
    static const char *const of_http[] = {"status", "body", "host", "header"};
    int kinds = (raw->http != NULL) + (raw->tcp != NULL) + (raw->sql != NULL) + (raw->command != NULL);
    if (kinds != 1)
        return node_error(err, node, d->path, "needs one of http, tcp, sql and command");
    for (size_t i = 0; !raw->http && i < ARRAY_SIZE(of_http); i++)
        if (node_get(node, of_http[i]))
            return node_error(err, node_get(node, of_http[i]), d->path, "%s is for http only", of_http[i]);
    return 0;
}

static int read_check(const struct decode *d, const struct node *node, const char *service,
                      struct health_check *ret, struct error *err)
{
    static const struct decode_key keys[] = {
        {"http", decode_string, offsetof(struct raw_check, http)},
        {"tcp", decode_string, offsetof(struct raw_check, tcp)},
        {"sql", decode_string, offsetof(struct raw_check, sql)},
        {"command", decode_strings, offsetof(struct raw_check, command)},
        {"status", decode_unsigned, offsetof(struct raw_check, status)},
        {"body", decode_string, offsetof(struct raw_check, body)},
        {"host", decode_string, offsetof(struct raw_check, host)},
        {"header", read_node, offsetof(struct raw_check, header)},
        {"timeout", decode_duration, offsetof(struct raw_check, timeout_us)},
    };
    struct raw_check raw = {.status = 200};
    struct health_check check = {.service = service, .host = "", .path = "", .host_header = ""};
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &raw, err) < 0 || check_keys(d, node, &raw, err) < 0)
        return -1;
    if (!node_get(node, "timeout"))
        raw.timeout_us = raw.command ? command_timeout_us : check_timeout_us;
    if (raw.timeout_us <= 0)
        return node_error(err, node_get(node, "timeout"), d->path, "timeout must be more than 0");
    check.timeout_us = raw.timeout_us;
    check.headers = arena_array(d->arena, 1, sizeof *check.headers);
    int r = raw.http  ? finish_http(d, node, &raw, &check, err)
            : raw.tcp ? finish_tcp(d, node, &raw, &check, err)
            : raw.sql ? finish_sql(d, node, &raw, &check, err)
                      : finish_command(d, node, &raw, &check, err);
    if (r < 0)
        return -1;
    *ret = check;
    return 0;
}

int release_check_health(const struct decode *d, const struct node *node, const struct release *release,
                         struct error *err)
{
    size_t k = 0;
    for (size_t i = 0; node && i < node->map.n; i++) {
        const struct node *list = node->map.pairs[i].value;
        for (size_t j = 0; j < list->list.n; j++, k++)
            if (release->checks[k].kind == CHECK_SQL && !release->database_url_from)
                return node_error(
                    err, list->list.items[j],
                    arena_printf(d->arena, "%s.health.%s.%zu", d->path, node->map.pairs[i].key, j),
                    "sql checks need database.url_from");
    }
    return 0;
}

int release_read_health(const struct decode *d, const struct node *node, const struct release_context *c,
                        struct error *err)
{
    struct release *release = c->release;
    if (node->type != NODE_MAP)
        return node_error(err, node, d->path, "must be a mapping of services to lists of checks");
    for (size_t i = 0; i < node->map.n; i++) {
        const struct node_pair *pair = &node->map.pairs[i];
        struct decode below = decode_below(d, pair->key);
        struct node at = {.file = node->file, .line = pair->line, .column = pair->column};
        if (!stack_service(c->stack, pair->key))
            return node_error(err, &at, d->path, "no service '%s' in this stack", pair->key);
        if (pair->value->type != NODE_LIST)
            return node_error(err, pair->value, below.path, "must be a list of checks");
        for (size_t j = 0; j < pair->value->list.n; j++) {
            struct decode item = decode_item(&below, j);
            if (release->n_checks == CHECKS_MAX)
                return node_error(err, pair->value, below.path, "more than %d checks", CHECKS_MAX);
            struct health_check check = {0};
            if (read_check(&item, pair->value->list.items[j], arena_strdup(d->arena, pair->key), &check,
                           err) < 0)
                return -1;
            release->checks = arena_grow(d->arena, release->checks, release->n_checks, sizeof check);
            release->checks[release->n_checks++] = check;
        }
    }
    return 0;
}

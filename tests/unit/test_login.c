/* SPDX-License-Identifier: Apache-2.0 */

/* The database's URL, and a login to a server that lets in and then is silent. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/pg.h"
#include "agent/records.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static void urls(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct pg_url url;
    struct error err = {0};
    const char *text =
        "postgresql+psycopg2://u%40x:p%2Fw@db:6432/app?sslmode=verify-full&pool=5&sslrootcert=%2Fca.pem";
    assert_int_equal(pg_url_parse(&arena, text, &url, &err), 0);
    assert_string_equal(url.user, "u@x");
    assert_string_equal(url.password, "p/w");
    assert_string_equal(url.host, "db");
    assert_int_equal(url.port, 6432);
    assert_string_equal(url.dbname, "app");
    assert_string_equal(url.sslmode, "verify-full");
    assert_string_equal(url.sslrootcert, "/ca.pem");
    assert_string_equal(url.dropped[0], "pool");
    assert_null(url.dropped[1]);
    assert_int_equal(pg_url_parse(&arena, "mysql://a/b", &url, &err), -1);
    assert_int_equal(pg_url_parse(&arena, "postgres://h:0/b", &url, &err), -1);
    assert_int_equal(pg_url_parse(&arena, "postgres://h", &url, &err), -1);
}

static void hosts(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *host; /* NULL: refused */
        unsigned port;
    } cases[] = {
        {"db", "db", 5432},
        {"db:", "db", 5432},
        {"u:p@db:6432", "db", 6432},
        {"127.0.0.1:1", "127.0.0.1", 1},
        {"%2Frun%2Fpostgresql", "/run/postgresql", 5432},
        {"[::1]", "::1", 5432},
        {"[::1]:6432", "::1", 6432},
        {"[::1]:", "::1", 5432},
        {"u:p[@[2001:db8::2]:6432", "2001:db8::2", 6432},
        {"[fe80::1%25eth0]:5433", "fe80::1%eth0", 5433},
        {"", NULL, 0},
        {":5432", NULL, 0},
        {"[]:5432", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]5432", NULL, 0},
        {"[::1]x:5432", NULL, 0},
        {"[::1]:x", NULL, 0},
        {"[::1]:65536", NULL, 0},
        {"::1", NULL, 0}, /* is that a port? */
        {"2001:db8::2:5432", NULL, 0},
        {"db:5432 ", NULL, 0},
        {"db:+5432", NULL, 0},
        {"db: 5432", NULL, 0},
        {"db:-1", NULL, 0},
    };
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pg_url url;
        struct error err = {0};
        int r =
            pg_url_parse(&arena, arena_printf(&arena, "postgres://%s/app", cases[i].authority), &url, &err);
        if (r != (cases[i].host ? 0 : -1))
            fail_msg("%s: %d %s", cases[i].authority, r, r ? err.text : url.host);
        if (r == 0) {
            assert_string_equal(url.host, cases[i].host);
            assert_int_equal(url.port, cases[i].port);
            assert_string_equal(url.dbname, "app");
        }
    }
}

/* The records leave this host only where the other one proves itself. */
static void records_of_this_host(void **state)
{
    (void)state;
    static const struct {
        const char *host, *sslmode; /* NULL: none */
    } cases[] = {
        {"localhost", NULL},
        {"127.0.0.1", NULL},
        {"127.9.9.9:6432", NULL},
        {"[::1]:5432", NULL},
        {"%2Frun%2Fpostgresql", NULL},
        {"db.example.org", "verify-full"},
        {"127.example.org", "verify-full"},
        {"127.0.0.1.example.org", "verify-full"},
        {"10.0.0.1", "verify-full"},
        {"[2001:db8::1]", "verify-full"},
    };
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pg_url url;
        struct error err = {0};
        assert_int_equal(
            records_url(&arena, arena_printf(&arena, "postgres://u:p@%s/d", cases[i].host), &url, &err), 0);
        if (!str_eq(url.sslmode, cases[i].sslmode))
            fail_msg("%s: %s", cases[i].host, url.sslmode ? url.sslmode : "none");
    }
}

/* libpq fails each login with another one: to wait for that to pass would be in vain. */
static void ssl_modes(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        bool good;
    } cases[] = {
        {"sslmode=disable", true},     {"sslmode=allow", true},
        {"sslmode=prefer", true},      {"sslmode=require", true},
        {"sslmode=verify-ca", true},   {"sslmode=verify-full", true},
        {"sslmode=verify%2Dca", true}, {"sslmode", true}, /* no value: not given */
        {"sslmode=yes", false},        {"sslmode=no-verify", false},
        {"sslmode=Require", false},    {"sslmode=require ", false},
        {"sslmode=", false},           {"a=b&sslmode=true&c=d", false},
    };
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pg_url url;
        struct error err = {0};
        const char *text = arena_printf(&arena, "postgres://u:secret@db/app?%s", cases[i].query);
        int r = pg_url_parse(&arena, text, &url, &err);
        if (r != (cases[i].good ? 0 : -1))
            fail_msg("%s: %d %s", cases[i].query, r, err.text);
        if (r < 0) {
            assert_int_equal(err.kind, ERR_INVALID);
            assert_string_equal(err.text, "the database URL's sslmode is none of disable, allow, prefer, "
                                          "require, verify-ca, verify-full");
        }
    }
}

/* In a child: refuses TLS, lets everybody in, then is silent. */
static pid_t serve(bool lets_in, unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        char in[1024];
        int client = accept(listener, NULL, NULL);
        for (ssize_t n; (n = read(client, in, sizeof in)) > 0;) {
            static const char welcome[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'};
            if (n == 8) /* SSLRequest, GSSENCRequest */
                (void)!write(client, "N", 1);
            else if (lets_in && in[4] == 0) /* the startup message: version 3.0 */
                (void)!write(client, welcome, sizeof welcome);
        }
        _exit(0);
    }
    close(listener);
    return pid;
}

static void login(bool lets_in, const char *query, enum error_kind kind, const char *words)
{
    cleanup_arena struct arena arena = {0};
    unsigned port;
    pid_t pid = serve(lets_in, &port);
    struct pg_url url;
    struct pg_login seen;
    struct error err = {0};
    char text[128];
    snprintf(text, sizeof text, "postgres://u:p@127.0.0.1:%u/d%s", port, query);
    assert_int_equal(pg_url_parse(&arena, text, &url, &err), 0);
    int64_t began = mono_us();
    assert_int_equal(pg_login(&arena, &url, NULL, "test", US_PER_S / 2, &seen, &err), -1);
    assert_true(mono_us() - began < 20 * US_PER_S);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.text, words))
        fail_msg("%s", err.text);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void silent_after_the_login(void **state)
{
    (void)state;
    login(true, "", ERR_UNAVAILABLE, "lets in, and then does not answer");
}

/* A server without TLS gets no password when the URL asks for a verified one. */
static void tls_is_not_optional(void **state)
{
    (void)state;
    login(true, "?sslmode=require", ERR_REFUSED, "SSL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),
        cmocka_unit_test(hosts),
        cmocka_unit_test(records_of_this_host),
        cmocka_unit_test(ssl_modes),
        cmocka_unit_test(silent_after_the_login),
        cmocka_unit_test(tls_is_not_optional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

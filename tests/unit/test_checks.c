/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/check.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "net_peer.h"

static void ask(const char *answer, const char *body, struct check_result *ret)
{
    struct peer peer = {.answer = answer};
    struct checker *checker;
    struct error err = {0};
    const char *no_headers[] = {NULL};
    struct health_check check = {.host = "web",
                                 .port = 80,
                                 .path = "/health",
                                 .label = "web /health",
                                 .status = 200,
                                 .body = body,
                                 .host_header = "web",
                                 .headers = no_headers,
                                 .timeout_us = 5 * US_PER_S};
    assert_int_equal(checker_open(&checker, &err), 0);
    peer_start(&peer);
    checker_ask(checker, &check, peer.path, ret);
    peer_stop(&peer);
    checker_close(checker);
}

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *body;
        bool passes;
        const char *text;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", NULL, true, "200"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "^hel+o$", true, "200"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "^h$", false,
         "200 but its body does not match"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "hello", false, "200 but its body does not match"},
        {"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello", "hello", false, "500"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct check_result result;
        ask(cases[i].answer, cases[i].body, &result);
        if (result.passed != cases[i].passes || !str_eq(result.text, cases[i].text))
            fail_msg("%zu: %d %s", i, result.passed, result.text);
    }
}

/* Of a page that is larger than anybody wants to see, its beginning counts. */
static void large_pages(void **state)
{
    (void)state;
    static const size_t page = 1 << 20;
    enum { READ = 64 << 10 };
    static const struct {
        const char *text, *body;
        size_t at;
        bool passes;
    } cases[] = {
        {"here", NULL, 0, true},
        {"here", "here", 0, true},
        {"here", "here", READ - 4, true},
        {"here", "here", READ, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct check_result result;
        cleanup_str struct str answer = {0};
        str_printf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", page);
        size_t head = answer.len;
        while (answer.len < head + page)
            str_append(&answer, "x");
        memcpy(answer.data + head + cases[i].at, cases[i].text, strlen(cases[i].text));
        ask(answer.data, cases[i].body, &result);
        if (result.passed != cases[i].passes)
            fail_msg("%zu: %s", i, result.text);
    }
}

/* An answer that was cut off below that is none. */
static void cut(void **state)
{
    (void)state;
    struct check_result result;
    ask("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", NULL, &result);
    assert_false(result.passed);
}

static bool opened(void *userdata)
{
    int *asked = userdata;
    return *asked >= 0 && (*asked)++ > 1; /* the first time it is asked about an earlier attempt */
}

static void tcp(void **state)
{
    (void)state;
    struct peer peer = {.answer = "", .connections = 1};
    struct check_result result;
    int never = -1, soon = 0;
    peer_start(&peer);
    check_tcp(peer.path, 2 * US_PER_S, opened, &soon, &result);
    peer_stop(&peer);
    assert_true(result.passed);
    assert_string_equal(result.text, "connected");
    peer = (struct peer){.answer = "", .connections = 1};
    peer_start(&peer);
    check_tcp(peer.path, US_PER_S / 10, opened, &never, &result);
    peer_stop(&peer);
    assert_false(result.passed || result.unasked);
    check_tcp("/no/such/socket", US_PER_S / 10, opened, &never, &result);
    assert_true(result.unasked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts), cmocka_unit_test(large_pages),
                                       cmocka_unit_test(cut), cmocka_unit_test(tcp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

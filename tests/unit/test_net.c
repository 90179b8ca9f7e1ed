/* SPDX-License-Identifier: Apache-2.0 */
/* src/net against a peer that says fixed bytes. Real servers are in tests/docker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "net/http.h"
#include "net_peer.h"

static int ask(struct peer *peer, struct http_request request, struct http_response *ret, struct error *err)
{
    struct http *http;
    assert_int_equal(http_open(&http, err), 0);
    peer_start(peer);
    request.url = "http://web:8000/secret-path?secret-query";
    request.unix_socket = peer->path;
    if (!request.timeout_us)
        request.timeout_us = 5 * US_PER_S;
    int r = http_send(http, &request, ret, err);
    http_close(http);
    peer_stop(peer);
    return r;
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        long status;
        const char *body, *content_type, *location, *api_version;
        int64_t retry_after_s;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\nContent-Length: 5\r\n\r\nhello", 200, "hello",
         "text/plain", "", "", 0},
        {"HTTP/1.1 204 No Content\r\nAPI-VERSION: 1.41\r\n\r\n", 204, "", "", "", "1.41", 0},
        {"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", 302, "", "",
         "http://elsewhere/", "", 0},
        {"HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n", 429, "", "", "", "", 17},
        {"HTTP/1.1 429 Slow\r\nRetry-After: 86401\r\nContent-Length: 0\r\n\r\n", 429, "", "", "", "", 86400},
        {"HTTP/1.1 429 Slow\r\nRetry-After: 9223372036854775807\r\nContent-Length: 0\r\n\r\n", 429, "", "",
         "", "", 86400},
        {"HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999999999\r\nContent-Length: 0\r\n\r\n", 429, "",
         "", "", "", 86400},
        {"HTTP/1.1 429 Slow\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n", 429, "", "", "", "", 0},
        {"HTTP/1.1 503 No\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 2\r\n\r\nno", 503,
         "no", "", "", "", 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200,
         "abcde", "", "", "", 0},
        {"HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end", "", "", "", 0},
    };
    struct http_response response = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer = {.answer = cases[i].answer};
        struct error err = {0};
        if (ask(&peer, (struct http_request){.max_body = 100}, &response, &err) < 0)
            fail_msg("%zu: %s", i, err.text);
        assert_int_equal(response.status, cases[i].status);
        assert_string_equal(str_text(&response.body), cases[i].body);
        assert_string_equal(response.content_type, cases[i].content_type);
        assert_string_equal(response.location, cases[i].location);
        assert_string_equal(response.api_version, cases[i].api_version);
        assert_int_equal(response.retry_after_s, cases[i].retry_after_s);
        assert_true(str_starts(peer.request, "GET /secret-path?secret-query HTTP/1.1\r\nHost: web:8000\r\n"));
    }
    http_response_release(&response);
}

static void failures(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int pause_ms;
        struct http_request request;
        enum error_kind kind;
        const char *words;
    } cases[] = {
        {"", 0, {.max_body = 9}, ERR_UNAVAILABLE, "connection closed without a complete answer"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", 0, {.max_body = 99}, ERR_UNAVAILABLE, ""},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhalf",
         0,
         {.max_body = 99},
         ERR_UNAVAILABLE,
         ""},
        {"HTTP/1.1 200 OK\r\nContent-Le", 0, {.max_body = 99}, ERR_UNAVAILABLE, ""},
        {"SSH-2.0-OpenSSH\r\n", 0, {.max_body = 99}, ERR_UNAVAILABLE, ""},
        {"HTTP/1.1 200 OK\r\n\r\n0123456789", 0, {.max_body = 9}, ERR_INVALID, "larger than 9 bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n0123456789",
         0,
         {.max_body = 9},
         ERR_INVALID,
         "larger than 9 bytes"},
        {"",
         600,
         {.max_body = 9, .timeout_us = US_PER_S / 5},
         ERR_TIMEOUT,
         "no complete answer within 0.2 s"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
         3000,
         {.max_body = 99, .stall_us = US_PER_S},
         ERR_TIMEOUT,
         "nothing came for 1 s"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer = {.answer = cases[i].answer, .pause_ms = cases[i].pause_ms};
        struct http_response response = {0};
        struct error err = {0};
        if (ask(&peer, cases[i].request, &response, &err) == 0)
            fail_msg("%zu: status %ld", i, response.status);
        if (err.kind != cases[i].kind || !strstr(err.text, cases[i].words))
            fail_msg("%zu: kind %d: %s", i, (int)err.kind, err.text);
        assert_null(strstr(err.text, "secret"));
        assert_null(response.body.data);
    }
}

/* Who only wants to be rid of a message has its answer with the head. */
static void a_good_head_is_all(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int pause_ms;
        long status; /* 0: none */
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", 0, 200},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n", 0, 204},
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", 2000, 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", 2000, 200},
        {"HTTP/1.1 200 OK\r\nContent-Le", 0, 0},
        {"HTTP/1.1 100 Continue\r\n\r\n", 0, 0},
        {"HTTP/1.1 500 Oops\r\nContent-Length: 50\r\n\r\nhalf", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer = {.answer = cases[i].answer, .pause_ms = cases[i].pause_ms};
        struct http_response response = {0};
        struct error err = {0};
        const struct http_request request = {.max_body = 99, .stall_us = US_PER_S, .good_head_is_all = true};
        int r = ask(&peer, request, &response, &err);
        if (r != (cases[i].status ? 0 : -1) || response.status != cases[i].status)
            fail_msg("%zu: %d, status %ld: %s", i, r, response.status, err.text);
        http_response_release(&response);
    }
}

static void no_connection(void **state)
{
    (void)state;
    static const struct {
        struct http_request request;
        enum error_kind kind;
        const char *words;
    } cases[] = {
        {{.url = "http://x/secret", .unix_socket = "/nowhere/socket"},
         ERR_UNAVAILABLE,
         "/nowhere/socket: No such file or directory"},
        {{.url = "http://127.0.0.1:1/secret"}, ERR_UNAVAILABLE, "127.0.0.1:1: Connection refused"},
        {{.url = "http://169.254.169.254/secret"}, ERR_REFUSED, "link-local"},
        {{.url = "http://[fe80::1]/secret"}, ERR_REFUSED, "link-local"},
        {{.url = "http://[::ffff:169.254.1.1]/secret"}, ERR_REFUSED, "link-local"},
        {{.url = "http://chat.localhost:1/secret"}, ERR_UNAVAILABLE, "Connection refused"},
        {{.url = "http://chat.localhost:1/secret", .loopback_by_name = true},
         ERR_REFUSED,
         "leads to this host"},
        {{.url = "http://localhost:1/secret", .loopback_by_name = true},
         ERR_UNAVAILABLE,
         "Connection refused"},
        {{.url = "http://127.0.0.1:1/secret", .loopback_by_name = true},
         ERR_UNAVAILABLE,
         "Connection refused"},
        {{.url = "http://[::1]:1/secret", .loopback_by_name = true}, ERR_UNAVAILABLE, ""},
        {{.url = "file:///etc/secret"}, ERR_INVALID, ""},
        {{.url = "gopher://x/secret"}, ERR_INVALID, ""},
        {{.url = "http://"}, ERR_INVALID, ""},
        {{.url = ""}, ERR_INVALID, ""},
        {{.url = "http://127.0.0.1:99999/secret"}, ERR_INVALID, ""},
    };
    struct http *http;
    struct error err = {0};
    assert_int_equal(http_open(&http, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http_request request = cases[i].request;
        struct http_response response = {0};
        request.timeout_us = 5 * US_PER_S;
        assert_int_equal(http_send(http, &request, &response, &err), -1);
        if (err.kind != cases[i].kind || !strstr(err.text, cases[i].words))
            fail_msg("%s: kind %d: %s", request.url, (int)err.kind, err.text);
        assert_null(strstr(err.text, "secret"));
    }
    struct http_request late = {.url = "http://127.0.0.1:1/", .timeout_us = 0};
    struct http_response response = {0};
    assert_int_equal(http_send(http, &late, &response, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    http_close(http);
}

static void environment_is_ignored(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct peer peer = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct http_response response = {0};
    struct error err = {0};
    assert_int_equal(ask(&peer, (struct http_request){.max_body = 1}, &response, &err), 0);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    http_response_release(&response);
}

static void what_is_sent(void **state)
{
    (void)state;
    static const char *const headers[] = {"X-One: 1", NULL}, *const json[] = {
                                                                 "content-type: application/json", NULL};
    static const struct {
        struct http_request request;
        const char *has, *has_not;
    } cases[] = {
        {{.method = "POST"}, "POST /secret-path?secret-query HTTP/1.1\r\n", "Content-Type"},
        {{.method = "POST"}, "Content-Length: 0\r\n", "Expect"},
        {{.method = "POST", .headers = json, .body = "{}", .body_len = 2},
         "content-type: application/json\r\n",
         "urlencoded"},
        {{.method = "DELETE", .headers = headers}, "DELETE /", "Content-"},
        {{.method = "DELETE", .headers = headers}, "X-One: 1\r\n", "Content-"},
        {{.username = "u", .password = "p"}, "Authorization: Basic dTpw\r\n", "Expect"},
        {{0}, "User-Agent: deploy-agent/", "Authorization"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
        struct http_response response = {0};
        struct error err = {0};
        assert_int_equal(ask(&peer, cases[i].request, &response, &err), 0);
        if (!strstr(peer.request, cases[i].has) || strstr(peer.request, cases[i].has_not))
            fail_msg("%zu: %s", i, peer.request);
        http_response_release(&response);
    }
}

static int take(void *userdata, const char *data, size_t len)
{
    str_append_n(userdata, data, len);
    return memchr(data, '!', len) ? -1 : 0;
}

static void streaming(void **state)
{
    (void)state;
    cleanup_str struct str got = {0};
    struct http_request request = {.on_data = take, .userdata = &got};
    struct http_response response = {0};
    struct error err = {0};
    struct peer good = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"};
    assert_int_equal(ask(&good, request, &response, &err), 0);
    assert_string_equal(got.data, "hello");
    assert_int_equal(response.body.len, 0);

    struct peer refused = {.answer = "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nno, "};
    assert_int_equal(ask(&refused, request, &response, &err), 0);
    assert_string_equal(got.data, "hello");
    assert_string_equal(str_text(&response.body), "no, ");

    struct peer stopped = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nstop!"};
    assert_int_equal(ask(&stopped, request, &response, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    http_response_release(&response);
}

/* A server that closes a kept connection while a write is under way: libcurl would send it again by itself.
 */
static void writes_are_sent_once(void **state)
{
    (void)state;
    struct peer peer = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .connections = 3};
    struct http *http;
    struct http_response response = {0};
    struct error err = {0};
    assert_int_equal(http_open(&http, &err), 0);
    peer_start(&peer);
    struct http_request request = {
        .url = "http://x/", .unix_socket = peer.path, .timeout_us = 5 * US_PER_S, .max_body = 10};
    assert_int_equal(http_send(http, &request, &response, &err), 0);
    request.method = "POST";
    peer.answer = "";
    peer.request[0] = '\0';
    assert_int_equal(http_send(http, &request, &response, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    http_close(http);
    peer_stop(&peer);
    assert_int_equal(peer.accepted, 2);
}

static void *raise_term(void *userdata)
{
    (void)userdata;
    usleep(300000);
    kill(getpid(), SIGTERM);
    return NULL;
}

/* Last: the request to stop stays. */
static void stopping(void **state)
{
    (void)state;
    proc_catch_stop();
    pthread_t thread;
    struct peer peer = {.answer = "", .pause_ms = 4000};
    struct http_response response = {0};
    struct error err = {0};
    assert_int_equal(pthread_create(&thread, NULL, raise_term, NULL), 0);
    int64_t started = mono_us();
    struct http *http;
    assert_int_equal(http_open(&http, &err), 0);
    peer_start(&peer);
    struct http_request request = {.url = "http://x/",
                                   .unix_socket = peer.path,
                                   .timeout_us = 60 * US_PER_S,
                                   .max_body = 9,
                                   .stoppable = true};
    assert_int_equal(http_send(http, &request, &response, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    assert_true(mono_us() - started < 3 * US_PER_S);
    http_close(http);
    pthread_join(thread, NULL);
    peer_stop(&peer);
}

static int signs_of_life;

static void count_sign(void)
{
    signs_of_life++;
}

/* A request that takes long gives signs of life while it lasts. */
static void signs(void **state)
{
    (void)state;
    struct peer peer = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", .pause_ms = 2500};
    struct http_response response = {0};
    struct error err = {0};
    proc_on_alive(count_sign);
    assert_int_equal(ask(&peer, (struct http_request){.timeout_us = 5 * US_PER_S}, &response, &err), -1);
    proc_on_alive(NULL);
    assert_true(signs_of_life >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(failures),
        cmocka_unit_test(a_good_head_is_all),
        cmocka_unit_test(no_connection),
        cmocka_unit_test(environment_is_ignored),
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(streaming),
        cmocka_unit_test(writes_are_sent_once),
        cmocka_unit_test(stopping),
        cmocka_unit_test(signs),
    };
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of src/docker; what needs an engine is in tests/docker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/stack.h"
#include "base/cleanup.h"
#include "docker/client.h"
#include "docker/log_reader.h"
#include "docker/relay_internal.h"
#include "docker/stream.h"

/* ---- classification ---- */

struct text_case {
    long status;
    const char *text;
    enum error_kind kind;
};

static void engine_texts(void **state)
{
    (void)state;
    /* All seen on engines 20.10.24 or 26.1.5, but those of several managers (moby/swarmkit sources). */
    static const struct text_case cases[] = {
        {404, "service nope not found", ERR_NOT_FOUND},
        {404, "No such container: nope", ERR_NOT_FOUND},
        {500, "network nonet not found", ERR_NOT_FOUND},
        {500, "rpc error: code = Unknown desc = update out of sequence", ERR_CONFLICT},
        {409,
         "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service a already "
         "exists",
         ERR_CONFLICT},
        {409, "network with name n1 already exists", ERR_CONFLICT},
        {400, "rpc error: code = InvalidArgument desc = name must be valid as a DNS name component",
         ERR_INVALID},
        {400, "rpc error: code = InvalidArgument desc = only updates to Labels are allowed", ERR_INVALID},
        {500, "rpc error: code = Unknown desc = constraint expected one operator from ==, !=", ERR_INVALID},
        {501, "rpc error: code = Unimplemented desc = service mode change is not allowed", ERR_INVALID},
        {400, "invalid MountType: \"image\"", ERR_INVALID},
        {400, "invalid RestartCondition: \"always\"", ERR_INVALID},
        {400, "client version 1.50 is too new. Maximum supported API version is 1.41", ERR_INVALID},
        {400, "rpc error: code = InvalidArgument desc = secret 's1' is in use by the following service: b",
         ERR_CONFLICT},
        {400, "rpc error: code = FailedPrecondition desc = network x is in use by service y", ERR_CONFLICT},
        {403, "error while removing network: network x id y has active endpoints", ERR_CONFLICT},
        {503,
         "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect "
         "this node to swarm and try again.",
         ERR_UNAVAILABLE},
        {503, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.",
         ERR_UNAVAILABLE},
        {500,
         "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few "
         "managers are online. Make sure more than half of the managers are online.",
         ERR_UNAVAILABLE},
        {500, "rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status",
         ERR_UNAVAILABLE},
        {503, "rpc error: code = Unavailable desc = transport is closing", ERR_UNAVAILABLE},
        {500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded", ERR_UNAVAILABLE},
        {500, "something went wrong", ERR_UNAVAILABLE},
        {502, "", ERR_UNAVAILABLE},
        {401, "", ERR_REFUSED},
        {403, "authorization denied by plugin x", ERR_REFUSED},
        {418, "", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (engine_error_kind(cases[i].status, cases[i].text) != cases[i].kind)
            fail_msg("%ld %s: kind %d", cases[i].status, cases[i].text,
                     (int)engine_error_kind(cases[i].status, cases[i].text));
}

static void registry_texts(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        /* seen on engines 20.10.24 and 26.1.5 with docker-registry 2.8 */
        {404, "manifest unknown: manifest unknown", ERR_NOT_FOUND},
        {404, "manifest for 127.0.0.1:5000/web:nope not found: manifest unknown: manifest unknown",
         ERR_NOT_FOUND},
        {500, "Head \"http://127.0.0.1:5001/v2/web/manifests/1\": no basic auth credentials", ERR_REFUSED},
        {401, "unauthorized: authentication required", ERR_REFUSED},
        {500, "unauthorized: authentication required", ERR_REFUSED},
        {500, "Get \"http://127.0.0.1:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused",
         ERR_UNAVAILABLE},
        {500,
         "Get \"https://no.such.host.invalid/v2/\": dial tcp: lookup no.such.host.invalid on "
         "192.168.77.1:53: no "
         "such host",
         ERR_UNAVAILABLE},
        {500,
         "Get \"https://r.example/v2/\": dial tcp: lookup r.example on 10.0.0.1:53: dial udp 10.0.0.1:53: "
         "connect: "
         "network is unreachable",
         ERR_UNAVAILABLE},
        {500, "received unexpected HTTP status: 503 Service Unavailable", ERR_UNAVAILABLE},
        {500, "filesystem layer verification failed for digest sha256:c143", ERR_UNAVAILABLE},
        {400, "invalid reference format: repository name must be lowercase", ERR_INVALID},
        /* of registries that no test can reach */
        {500,
         "toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
         "authenticating and upgrading: https://www.docker.com/increase-rate-limit",
         ERR_UNAVAILABLE},
        {500, "error pulling image configuration: Get \"https://x/v2/\": net/http: TLS handshake timeout",
         ERR_UNAVAILABLE},
        {500,
         "Get \"https://ghcr.io/v2/\": net/http: request canceled while waiting for connection "
         "(Client.Timeout exceeded while awaiting headers)",
         ERR_UNAVAILABLE},
        {500, "Get \"https://r/v2/\": dial tcp 10.0.0.1:443: i/o timeout", ERR_UNAVAILABLE},
        {500, "Head \"https://ghcr.io/v2/a/b/manifests/1\": denied: denied", ERR_REFUSED},
        {403, "Head \"https://ghcr.io/v2/a/b/manifests/1\": denied: denied", ERR_REFUSED},
        {404,
         "pull access denied for a/b, repository does not exist or may require 'docker login': denied: "
         "requested access to the resource is denied",
         ERR_REFUSED},
        {500,
         "Head \"https://registry-1.docker.io/v2/a/b/manifests/1\": unauthorized: incorrect username or "
         "password",
         ERR_REFUSED},
        {500, "error parsing HTTP 403 response body: invalid character '<': \"<html>403 Forbidden</html>\"",
         ERR_REFUSED},
        {500, "Get \"https://r/v2/\": x509: certificate signed by unknown authority", ERR_REFUSED},
        {500, "Get \"https://r:5000/v2/\": http: server gave HTTP response to HTTPS client", ERR_REFUSED},
        {404, "name unknown: repository name not known to registry", ERR_NOT_FOUND},
        {500, "no matching manifest for linux/arm64/v8 in the manifest list entries", ERR_INVALID},
        {500, "unexpected EOF", ERR_UNAVAILABLE},
        {500, "", ERR_UNAVAILABLE},
        {429, "", ERR_UNAVAILABLE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (registry_error_kind(cases[i].status, cases[i].text) != cases[i].kind)
            fail_msg("%ld %s: kind %d", cases[i].status, cases[i].text,
                     (int)registry_error_kind(cases[i].status, cases[i].text));
}

/* What a registry says of a package that CI has not pushed for the first time yet. */
static void refusals_that_may_pass(void **state)
{
    (void)state;
    static const struct {
        enum error_kind kind;
        const char *text;
        bool may_pass;
    } cases[] = {
        {ERR_REFUSED, "Head \"https://ghcr.io/v2/a/b/manifests/1\": denied: denied", true},
        {ERR_REFUSED, "pull access denied for a/b, repository does not exist or may require 'docker login'",
         true},
        {ERR_REFUSED, "Head \"https://r/v2/a/manifests/1\": unauthorized: access denied", false},
        {ERR_REFUSED, "no basic auth credentials", false},
        {ERR_REFUSED, "authorization denied by plugin x", false},
        {ERR_UNAVAILABLE, "connect: permission denied", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        (void)error_set(&err, cases[i].kind, 0, "%s", cases[i].text);
        if (docker_may_not_exist(&err) != cases[i].may_pass)
            fail_msg("%s", cases[i].text);
    }
}

static void error_texts(void **state)
{
    (void)state;
    static const struct {
        const char *body, *text;
    } cases[] = {
        {"{\"message\":\"no such thing\"}\n", "no such thing"},
        {"{\"message\":\"two\\nlines\\u001b[31m \"}", "two lines[31m"},
        {"<html>\n<body>", "<html>"},
        {"{\"message\":7}", "{\"message\":7}"},
        {"", "HTTP status 500"},
        {"\r\n", "HTTP status 500"},
        {"{\"message\":\"\"}", "HTTP status 500"},
    };
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(engine_error_text(&arena, 500, cases[i].body, strlen(cases[i].body)),
                            cases[i].text);
    assert_string_equal(engine_error_text(&arena, 502, NULL, 0), "HTTP status 502");
}

static void names(void **state)
{
    (void)state;
    cleanup_json json_t *service = json_pack("{s:s, s:{s:s}}", "ID", "abc123", "Spec", "Name", "shop_web");
    cleanup_json json_t *network = json_pack("{s:s, s:s}", "Id", "net123", "Name", "shop_net");
    assert_true(is_object_named(service, "abc123"));
    assert_true(is_object_named(service, "shop_web"));
    assert_false(is_object_named(service, "abc"));
    assert_true(is_object_named(network, "net123"));
    assert_true(is_object_named(network, "shop_net"));
    assert_false(is_object_named(network, "net"));
}

/* ---- text ---- */

static void encoding(void **state)
{
    (void)state;
    static const struct {
        const char *text, *keep, *encoded;
    } cases[] = {
        {"shop_web-1.x~", "", "shop_web-1.x~"},
        {"a/b?c#d%2f e", "", "a%2Fb%3Fc%23d%252f%20e"},
        {"ä\n\"", "", "%C3%A4%0A%22"},
        {"127.0.0.1:5000/a/b:1@sha256:00", "/:@", "127.0.0.1:5000/a/b:1@sha256:00"},
        {"a?b&c", "/:@", "a%3Fb%26c"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_str struct str s = {0};
        percent_encode(&s, cases[i].text, cases[i].keep);
        assert_string_equal(s.data, cases[i].encoded);
    }
    struct call call = {0};
    call_filter(&call, "label", NULL);
    assert_int_equal(call.query.len, 0);
    call_filter(&call, "label", "a=b \"c\"");
    call_query(&call, "version", "7");
    assert_string_equal(call.query.data,
                        "filters=%7B%22label%22%3A%5B%22a%3Db%20%5C%22c%5C%22%22%5D%7D&version=7");
    str_release(&call.query);
}

static void endpoint_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < EP_COUNT; i++) {
        const struct endpoint_info *info = &endpoints[i];
        assert_non_null(info->method);
        assert_int_equal(info->path[0], '/');
        assert_true(info->timeout_us > 0);
        assert_non_null(info->doing);
        /* the only ways into a container are the relay's */
        if (strstr(info->path, "exec"))
            assert_true(info->flags & EPF_RELAY);
        assert_null(strstr(info->path, "/containers/create"));
        /* what changes the swarm asks the guard: all that writes, but images and the relay's connections */
        bool writes = !str_eq(info->method, "GET") && !str_eq(info->method, "HEAD");
        bool local =
            i == EP_IMAGE_CREATE || i == EP_IMAGE_REMOVE || i == EP_EXEC_CREATE || i == EP_EXEC_START;
        assert_int_equal(!!(info->flags & EPF_EFFECT), writes && !local);
    }
}

static void big_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *back;
    } cases[] = {
        {"{\"MaxAttempts\":18446744073709551615}", "{\"MaxAttempts\":18446744073709551615}"},
        {"{\"MaxAttempts\": 9223372036854775808 ,\"b\":1}", "{\"MaxAttempts\":18446744073709551615,\"b\":1}"},
        {"{\"MaxAttempts\":9223372036854775807}", "{\"MaxAttempts\":9223372036854775807}"},
        {"{\"MaxAttempts\":-10}", "{\"MaxAttempts\":-10}"},
        {"[99999999999999999999999,1]", "[-1,1]"},
        {"{\"s\":\"18446744073709551615 \\\" 18446744073709551615\"}",
         "{\"s\":\"18446744073709551615 \\\" 18446744073709551615\"}"},
        {"{\"s\":\"\\\\\",\"n\":18446744073709551615}", "{\"s\":\"\\\\\",\"n\":-1}"},
        {"{\"s\":\"\\\"MaxAttempts\\\":-1\"}", "{\"s\":\"\\\"MaxAttempts\\\":-1\"}"},
        {"[0.5,1e3,20]", "[0.5,1000.0,20]"},
        {"[12345678901234567890.5]", "[1.23456789012346e19]"},
        {"[-5]", "[-5]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        char *text = strdup(cases[i].text);
        cleanup_json json_t *value = engine_json_decode(text, strlen(text), &err);
        assert_non_null(value);
        size_t len;
        char *back = engine_json_encode(value, &len);
        assert_string_equal(back, cases[i].back);
        assert_int_equal(len, strlen(back));
        free(back);
        free(text);
    }
    static const char *const broken[] = {"", "{", "[1,]", "<html>", "[18446744073709551615", "\"\\", "-"};
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct error err = {0};
        char *text = strdup(broken[i]);
        assert_null(engine_json_decode(text, strlen(text), &err));
        assert_int_equal(err.kind, ERR_UNAVAILABLE);
        free(text);
    }
}

/* ---- streams ---- */

static int collect_line(void *userdata, const char *line, size_t len)
{
    struct str *s = userdata;
    str_append_n(s, line, len);
    str_append_char(s, '|');
    return len == 4 && memcmp(line, "stop", 4) == 0 ? 7 : 0;
}

static void line_splitting(void **state)
{
    (void)state;
    static const char text[] = "one\n\ntwo and more than ten\nlast";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        cleanup_str struct str got = {0};
        struct lines lines = {.max = 10, .fn = collect_line, .userdata = &got};
        for (size_t i = 0; i < sizeof text - 1; i += piece) {
            size_t left = sizeof text - 1 - i;
            assert_int_equal(lines_feed(&lines, text + i, left < piece ? left : piece), 0);
        }
        assert_int_equal(lines_end(&lines), 0);
        assert_string_equal(got.data, "one||two and mo|last|");
        lines_release(&lines);
    }
    cleanup_str struct str got = {0};
    struct lines lines = {.max = 10, .fn = collect_line, .userdata = &got};
    assert_int_equal(lines_feed(&lines, "a\nstop\nb\n", 9), 7);
    assert_string_equal(got.data, "a|stop|");
    lines_release(&lines);
}

struct collected {
    struct str text;
    int64_t last_ns;
    size_t stop_after, n;
};

static int collect_log(void *userdata, int64_t timestamp_ns, bool is_stderr, const char *line, size_t len)
{
    struct collected *c = userdata;
    str_append_char(&c->text, is_stderr ? 'e' : 'o');
    str_append_n(&c->text, line, len);
    str_append_char(&c->text, '|');
    c->last_ns = timestamp_ns;
    return ++c->n == c->stop_after;
}

static void add_frame(struct str *s, unsigned char stream, const char *text)
{
    size_t len = strlen(text);
    const unsigned char header[8] = {stream,
                                     0,
                                     0,
                                     0,
                                     (unsigned char)(len >> 24),
                                     (unsigned char)(len >> 16),
                                     (unsigned char)(len >> 8),
                                     (unsigned char)len};
    str_append_n(s, (const char *)header, sizeof header);
    str_append(s, text);
}

/* Feeds the bytes in pieces of one size; returns ended_by. */
static int read_log(const struct str *bytes, size_t piece, struct log_position since, struct collected *ret,
                    char *system, size_t size)
{
    struct log_reader reader = {.since = since, .fn = collect_log, .userdata = ret};
    log_reader_init(&reader);
    for (size_t i = 0; i < bytes->len; i += piece)
        if (!log_reader_feed(&reader, bytes->data + i, bytes->len - i < piece ? bytes->len - i : piece))
            break;
    log_reader_end(&reader);
    int ended_by = reader.ended_by;
    if (system)
        snprintf(system, size, "%s", str_text(&reader.streams[STREAM_SYSTEM].line));
    log_reader_release(&reader);
    return ended_by;
}

#define T1    "2026-08-23T14:02:11.000000001Z "
#define T2    "2026-08-23T14:02:12.500000000Z "
#define T1_NS INT64_C(1787493731000000001)
#define T2_NS INT64_C(1787493732500000000)

static const struct log_position all = {0};

static void multiplexed_logs(void **state)
{
    (void)state;
    cleanup_str struct str bytes = {0};
    add_frame(&bytes, 1, T1 "one\n");
    add_frame(&bytes, 2, T1 "err\n");
    add_frame(&bytes, 1, T1 "\n");
    add_frame(&bytes, 1, T1 "long ");
    add_frame(&bytes, 2, T2 "between\n");
    add_frame(&bytes, 1, "");
    add_frame(&bytes, 1, T2 "line\n");
    add_frame(&bytes, 1, "no timestamp\n");
    add_frame(&bytes, 3, "Error grabbing logs: node x is not available\n\n");
    add_frame(&bytes, 1, T2 "last");
    for (size_t piece = 1; piece <= bytes.len; piece++) {
        struct collected got = {0};
        char system[100];
        assert_int_equal(read_log(&bytes, piece, all, &got, system, sizeof system), 0);
        assert_string_equal(got.text.data, "oone|eerr|o|ebetween|olong line|ono timestamp|olast|");
        assert_string_equal(system, "Error grabbing logs: node x is not available");
        str_release(&got.text);
    }
    struct collected later = {0};
    struct log_position both = {T1_NS, T1_NS};
    assert_int_equal(read_log(&bytes, 5, both, &later, NULL, 0), 0);
    assert_string_equal(later.text.data, "ebetween|olast|");
    str_release(&later.text);
    struct collected stopped = {.stop_after = 2};
    assert_int_equal(read_log(&bytes, 5, all, &stopped, NULL, 0), 1);
    assert_string_equal(stopped.text.data, "oone|eerr|");
    str_release(&stopped.text);
}

/* The reading before ended with a line of one stream; one of the other was stamped before it, and came after.
 */
static void line_behind_its_time(void **state)
{
    (void)state;
    static const struct {
        unsigned char late;
        struct log_position since;
        const char *want;
    } cases[] = {
        {1, {0, T2_NS}, "olate|"}, {1, {T1_NS - 1, T2_NS}, "olate|"}, {1, {T1_NS, T2_NS}, ""},
        {2, {T2_NS, 0}, "elate|"}, {2, {T2_NS, T1_NS - 1}, "elate|"}, {2, {T2_NS, T1_NS}, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_str struct str bytes = {0};
        add_frame(&bytes, 3 - cases[i].late, T2 "seen\n");
        add_frame(&bytes, cases[i].late, T1 "late\n");
        struct collected got = {0};
        assert_int_equal(read_log(&bytes, 7, cases[i].since, &got, NULL, 0), 0);
        assert_string_equal(str_text(&got.text), cases[i].want);
        str_release(&got.text);
    }
}

static void raw_logs(void **state)
{
    (void)state;
    cleanup_str struct str bytes = {0};
    str_append(&bytes, T1 "one two\r\n" T1 "\r\n" T2 "three");
    for (size_t piece = 1; piece <= bytes.len; piece++) {
        struct collected got = {0};
        assert_int_equal(read_log(&bytes, piece, all, &got, NULL, 0), 0);
        assert_string_equal(got.text.data, "oone two|o|othree|");
        str_release(&got.text);
    }
    cleanup_str struct str tiny = {0};
    str_append(&tiny, "x\n");
    struct collected got = {0};
    assert_int_equal(read_log(&tiny, 1, all, &got, NULL, 0), 0);
    assert_string_equal(got.text.data, "ox|");
    str_release(&got.text);
}

static void broken_logs(void **state)
{
    (void)state;
    struct collected got = {0};
    cleanup_str struct str cut = {0}, nonsense = {0};
    add_frame(&cut, 1, T1 "one\n");
    add_frame(&cut, 1, T1 "two\n");
    cut.len -= 2;
    assert_int_equal(read_log(&cut, 100, all, &got, NULL, 0), DEMUX_BROKEN);
    add_frame(&nonsense, 1, T1 "one\n");
    str_append(&nonsense, "HTTP/1.1 500");
    assert_int_equal(read_log(&nonsense, 3, all, &got, NULL, 0), DEMUX_BROKEN);
    str_release(&got.text);
}

static void timestamps(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-08-23T14:02:11.000000001Z", T1_NS},
        {"2026-08-23T16:02:11.000000001+02:00", T1_NS},
        {"2026-08-23T11:32:11.000000001-02:30", T1_NS},
        {"1970-01-01T00:00:01.5Z", 1500000000},
    };
    static const char *const bad[] = {"",
                                      "2026-08-23",
                                      "2026-08-23T14:02:11",
                                      "2026-08-23 14:02:11.0Z",
                                      "2026-08-23T14:02:11Zx",
                                      "2026-08-23T14:02:11.1234567890123456789012345Z",
                                      "error:_something_long_",
                                      "2026-08-23T14:02:11+x"};
    int64_t ns;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(parse_timestamp(good[i].text, strlen(good[i].text), &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (parse_timestamp(bad[i], strlen(bad[i]), &ns))
            fail_msg("%s", bad[i]);
}

/* ---- credentials ---- */

#define AUTH "dXNlcjpwYTpzcw==" /* user:pa:ss */

/* RFC 4648, section 5; not the library that encoded it. */
static void decode(const char *text, char *ret)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, n = 0;
    for (; *text && *text != '='; text++) {
        bits = bits << 6 | (unsigned)(strchr(alphabet, *text) - alphabet);
        n += 6;
        if (n >= 8) {
            n -= 8;
            *ret++ = (char)(bits >> n & 0xff);
        }
    }
    *ret = '\0';
}

static void credentials(void **state)
{
    (void)state;
    static const struct {
        const char *config, *domain, *json; /* what X-Registry-Auth holds */
    } cases[] = {
        {"{}", "ghcr.io", "{}"},
        {"{\"auths\":{\"ghcr.io\":{\"auth\":\"" AUTH "\"}}}", "ghcr.io",
         "{\"username\":\"user\",\"password\":\"pa:ss\",\"serveraddress\":\"ghcr.io\"}"},
        {"{\"auths\":{\"ghcr.io\":{\"auth\":\"" AUTH "\"}}}", "docker.io", "{}"},
        {"{\"auths\":{\"ghcr.io\":{\"auth\":\"" AUTH "\"}}}", "ghcr.io.evil.example", "{}"},
        {"{\"auths\":{\"https://r.example:5000/v1/\":{\"auth\":\"" AUTH "\"}}}", "r.example:5000",
         "{\"username\":\"user\",\"password\":\"pa:ss\",\"serveraddress\":\"r.example:5000\"}"},
        {"{\"auths\":{\"https://r.example:5000/v1/\":{\"auth\":\"" AUTH "\"}}}", "r.example", "{}"},
        {"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"" AUTH "\"}}}", "docker.io",
         "{\"username\":\"user\",\"password\":\"pa:ss\",\"serveraddress\":\"https://index.docker.io/v1/\"}"},
        {"{\"auths\":{\"docker.io\":{\"auth\":\"" AUTH "\"}}}", "docker.io",
         "{\"username\":\"user\",\"password\":\"pa:ss\",\"serveraddress\":\"https://index.docker.io/v1/\"}"},
        {"{\"auths\":{\"r\":{\"identitytoken\":\"tok\"}}}", "r",
         "{\"serveraddress\":\"r\",\"identitytoken\":\"tok\"}"},
        {"{\"auths\":{\"r\":{\"registrytoken\":\"tok\"}}}", "r",
         "{\"serveraddress\":\"r\",\"registrytoken\":\"tok\"}"},
        {"{\"auths\":{\"r\":{\"username\":\"u\",\"password\":\"p\"}}}", "r",
         "{\"username\":\"u\",\"password\":\"p\",\"serveraddress\":\"r\"}"},
        {"{\"auths\":{\"r\":{}}}", "r", "{}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct registry_auth *auth = NULL;
        struct credentials found;
        struct error err = {0};
        assert_int_equal(registry_auth_parse("c", cases[i].config, strlen(cases[i].config), &auth, &err), 0);
        assert_int_equal(registry_auth_find(auth, &arena, cases[i].domain, &found, &err), 0);
        registry_auth_free(auth);
        cleanup_str struct str header = {0};
        credentials_encode(&found, cases[i].domain, &header);
        assert_null(strpbrk(header.data, "+/\r\n"));
        assert_int_equal(header.len % 4, 0);
        char decoded[512];
        decode(header.data, decoded);
        assert_string_equal(decoded, cases[i].json);
    }
}

static void broken_credentials(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "", "[]", "{", "{\"auths\":[]}", "{\"credHelpers\":7}", "{\"credsStore\":{}}", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct registry_auth *auth = NULL;
        struct error err = {0};
        assert_int_equal(registry_auth_parse("c.json", broken[i], strlen(broken[i]), &auth, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_non_null(strstr(err.text, "c.json"));
    }
    static const char *const entries[] = {"%%", "bm9jb2xvbg==", "dXNlcg=", "dXNlcjpw ZQ"};
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        cleanup_arena struct arena arena = {0};
        struct registry_auth *auth = NULL;
        struct credentials found;
        struct error err = {0};
        char *text = arena_printf(&arena, "{\"auths\":{\"r\":{\"auth\":\"%s\"}}}", entries[i]);
        assert_int_equal(registry_auth_parse("c", text, strlen(text), &auth, &err), 0);
        if (registry_auth_find(auth, &arena, "r", &found, &err) != -1)
            fail_msg("%s", entries[i]);
        assert_null(strstr(err.text, entries[i]));
        registry_auth_free(auth);
    }
}

/* ---- relay ---- */

static void archive(void **state)
{
    (void)state;
    cleanup_str struct str tar = {0};
    relay_tar("relay", "hello", 5, &tar);
    assert_int_equal(tar.len, 4 * 512);
    assert_string_equal(tar.data, "relay");
    assert_string_equal(tar.data + 100, "0000755");
    assert_memory_equal(tar.data + 124, "00000000005", 12);
    assert_memory_equal(tar.data + 257, "ustar\00000", 8);
    assert_memory_equal(tar.data + 512, "hello\0", 6);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)tar.data[i];
    assert_int_equal(strtoul(tar.data + 148, NULL, 8), sum);
    assert_true(relay_program_size > 10000);
    assert_memory_equal(relay_program, "\177ELF", 4);
}

static void service_names(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    assert_string_equal(relay_service_name(&arena, "shop"), "deploy-agent-relay_shop");
    const char *longest = "a23456789012345678901234567890123456789012345678"; /* 48 bytes */
    const char *name = relay_service_name(&arena, longest);
    assert_true(strlen(name) <= 63);
    assert_true(str_starts(name, "deploy-agent-relay_a2345678901234567890"));
    assert_string_not_equal(name,
                            relay_service_name(&arena, "a23456789012345678901234567890123456789012345679"));
    /* Swarm wants a letter or digit at the end */
    assert_false(str_ends(relay_service_name(&arena, "shop_"), "_"));
    assert_string_not_equal(relay_service_name(&arena, "shop_"), relay_service_name(&arena, "shop-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_texts),
        cmocka_unit_test(registry_texts),
        cmocka_unit_test(refusals_that_may_pass),
        cmocka_unit_test(error_texts),
        cmocka_unit_test(names),
        cmocka_unit_test(encoding),
        cmocka_unit_test(endpoint_table),
        cmocka_unit_test(big_integers),
        cmocka_unit_test(line_splitting),
        cmocka_unit_test(multiplexed_logs),
        cmocka_unit_test(line_behind_its_time),
        cmocka_unit_test(raw_logs),
        cmocka_unit_test(broken_logs),
        cmocka_unit_test(timestamps),
        cmocka_unit_test(credentials),
        cmocka_unit_test(broken_credentials),
        cmocka_unit_test(archive),
        cmocka_unit_test(service_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

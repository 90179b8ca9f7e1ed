/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/secret.h"
#include "base/str.h"

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
    } cases[] = {
        {"30s", 30000000},
        {"1h30m", 5400000000},
        {"250ms", 250000},
        {"0", 0},
        {"0s", 0},
        {"2d", 172800000000},
        {"", -1},
        {"5", -1},
        {"s", -1},
        {"-5s", -1},
        {"5x", -1},
        {"1h 30m", -1},
        {"99999999999999999999s", -1},
        {"9999999999999w", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        int64_t us = -1;
        int r = duration_parse(cases[i].text, &us, &err);
        assert_int_equal(r, cases[i].us < 0 ? -1 : 0);
        assert_int_equal(us, cases[i].us);
        if (r < 0)
            assert_true(err.text[0] != '\0');
    }
}

static void sizes(void **state)
{
    (void)state;
    uint64_t n = 0;
    struct error err = {0};
    assert_int_equal(size_parse("64M", &n, &err), 0);
    assert_int_equal(n, 64 << 20);
    assert_int_equal(size_parse("17", &n, &err), 0);
    assert_int_equal(n, 17);
    assert_int_equal(size_parse("64MB", &n, &err), -1);
    assert_int_equal(size_parse("-1", &n, &err), -1);
    assert_int_equal(size_parse("99999999999T", &n, &err), -1);
}

static void cleaning(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
        bool one_line;
        size_t max;
    } cases[] = {
        {"plain", "plain", true, 0},
        {"a\nb\tc", "a b c", true, 0},
        {"a\nb", "a\nb", false, 0},
        {"\033[31mred\033[0m", "[31mred[0m", true, 0},
        {"x\xc2\x9b"
         "31m",
         "x31m", true, 0}, /* C1 */
        {"\xe2\x80\xae"
         "evil",
         "evil", true, 0}, /* right-to-left override */
        {"bad\xff"
         "byte",
         "bad\xef\xbf\xbd"
         "byte",
         true, 0},
        {"\xc3\xa4\xc3\xb6\xc3\xbc", "\xc3\xa4\xc3\xb6", true, 5}, /* cut at a character's edge */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = {0};
        assert_string_equal(
            str_clean(&arena, cases[i].text, strlen(cases[i].text), cases[i].one_line, cases[i].max),
            cases[i].want);
        arena_release(&arena);
    }
}

static void redaction(void **state)
{
    (void)state;
    struct arena arena = {0};
    secret_register("hunter22");
    secret_register("abc"); /* too short to search for */
    assert_string_equal(secret_redact(&arena, "the hunter22 abc"), "the *** abc");
    assert_string_equal(secret_redact(&arena, "postgres://u:p@db/x and https://h/y"),
                        "postgres://***@db/x and https://h/y");
    assert_string_equal(secret_redact(&arena, "https://h/a@b"), "https://h/a@b");
    secret_forget_all();
    assert_string_equal(secret_redact(&arena, "the hunter22"), "the hunter22");
    arena_release(&arena);
    assert_true(secret_name("DB_PASSWORD"));
    assert_true(secret_name("api_key"));
    assert_false(secret_name("HOSTNAME"));
}

/* The password of a URL is known as it is written and as it is sent. */
static void redaction_of_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *text, *redacted;
    } cases[] = {
        {"postgres://u:hunter%40%32%32@db/x", "no hunter@22 here", "no *** here"},
        {"postgres://u:hunter%40%32%32@db/x", "no hunter%40%32%32 here", "no *** here"},
        {"postgres://u:hunt@er22@db/x", "hunt@er22", "***"},
        {"postgres://u:hunt:er22@db/x?a=b@c", "hunt:er22", "***"},
        {"postgres://u:hunt%zz%2@db/x", "hunt%zz%2", "***"},
        {"redis://:hunter22@h:6379/0", "hunter22", "***"},
        {"amqp://u:hunt/er22@h/x", "hunt/er22", "***"}, /* as sloppy readers take it */
        {"https://h:8080/path", "8080/path", "8080/path"},
        {"u:hunter22@h", "hunter22", "hunter22"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena = {0};
        secret_register_url(cases[i].url);
        assert_string_equal(secret_redact(&arena, cases[i].text), cases[i].redacted);
        secret_forget_all();
        arena_release(&arena);
    }
}

static void growing(void **state)
{
    (void)state;
    struct arena arena = {0};
    int *v = NULL;
    for (size_t i = 0; i < 1000; i++) {
        v = arena_grow(&arena, v, i, sizeof *v);
        v[i] = (int)i;
    }
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(v[i], (int)i);
    arena_release(&arena);
    arena_release(&arena);
}

static void hashing(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    sha256_hex("abc", 3, hex);
    assert_string_equal(
        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2 B.1 */
}

static void times(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct error err = {0};
    int64_t us = 0;
    assert_int_equal(time_parse("2026-08-23T14:02:11Z", &us, &err), 0);
    assert_string_equal(rfc3339_utc(&arena, us), "2026-08-23T14:02:11Z");
    assert_null(rfc3339_utc(&arena, 0));
    assert_int_equal(time_parse("yesterday", &us, &err), -1);
    assert_string_equal(duration_text(&arena, 192 * US_PER_S), "3m12s");
    assert_string_equal(duration_text(&arena, 19 * US_PER_S), "0m19s");
    arena_release(&arena);
}

static void error_cut(void **state)
{
    (void)state;
    struct error err = {0};
    char long_text[8192];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(error_set(&err, ERR_INVALID, 0, "%s", long_text), -1);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_true(str_ends(err.text, "…"));
    error_set(&err, ERR_INVALID, 0, "inner");
    error_wrap(&err, "outer %d", 1);
    assert_string_equal(err.text, "outer 1: inner");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),         cmocka_unit_test(sizes),     cmocka_unit_test(cleaning),
        cmocka_unit_test(redaction_of_urls), cmocka_unit_test(redaction), cmocka_unit_test(growing),
        cmocka_unit_test(hashing),           cmocka_unit_test(times),     cmocka_unit_test(error_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fold.h"
#include "base/fs.h"
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
    assert_string_equal(duration_text(&arena, 0), "0m00s");
    assert_string_equal(duration_text(&arena, -86277 * US_PER_S), "0m00s"); /* the clock was set back */
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
    for (size_t before = 0; before < 4; before++) { /* not within a character, however it falls */
        for (size_t i = before; i + 2 < sizeof long_text; i += 2)
            memcpy(long_text + i, "ы", 2);
        long_text[(sizeof long_text - 2 - before) / 2 * 2 + before] = '\0';
        error_set(&err, ERR_INVALID, 0, "%s", long_text);
        assert_true(str_is_utf8(err.text, strlen(err.text)) && str_ends(err.text, "ы…"));
        error_set(&err, ERR_INVALID, 0, "inner");
        error_wrap(&err, "%s", long_text);
        assert_true(str_is_utf8(err.text, strlen(err.text)) && str_ends(err.text, "ы…: inner"));
        errno = ENOSPC;
        error_errno(&err, "%s", long_text);
        assert_true(str_is_utf8(err.text, strlen(err.text)) && strstr(err.text, "ы…: "));
        memset(long_text, 'x', sizeof long_text - 1);
    }
    error_set(&err, ERR_INVALID, 0, "inner");
    error_wrap(&err, "outer %d", 1);
    assert_string_equal(err.text, "outer 1: inner");
}

static void room(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20;
    static const struct {
        uint64_t free_mib, total_mib;
        bool low;
    } cases[] = {
        {199, 1000, true},       {200, 1000, false},   {0, 0, true},
        {999, 20000, true},      {1001, 20000, false}, {10239, 1000000, true},
        {10241, 1000000, false}, /* a twentieth of a large disk is plenty */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fs_space space = {.free = cases[i].free_mib * mib, .total = cases[i].total_mib * mib};
        if (fs_space_is_low(&space) != cases[i].low)
            fail_msg("%llu of %llu MiB", (unsigned long long)cases[i].free_mib,
                     (unsigned long long)cases[i].total_mib);
    }
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct fs_space space = {.free = 150 * mib, .total = 19 * 1024 * mib};
    assert_string_equal(fs_space_text(&arena, &space), "150 MiB of 19 GiB are free");
    assert_int_equal(fs_space("/", &space, &err), 0);
    assert_true(space.total > 0 && space.free <= space.total);
    assert_int_equal(fs_space("/nowhere/at/all", &space, &err), -1);
}

static unsigned say(struct fold *fold, const char *what, const char *stack, unsigned times, int64_t now_us)
{
    unsigned written = 0;
    for (unsigned i = 0; i < times; i++)
        written += !fold_hides(fold, what, stack, 4, "it fails", now_us);
    return written;
}

static void folding(void **state)
{
    (void)state;
    static const char what[] = "%s fails", other[] = "%s is back";
    static struct fold fold;
    const int64_t hour = FOLD_WINDOW_US;
    assert_int_equal(say(&fold, what, "shop", 10, 1), 10);
    assert_int_equal(say(&fold, what, "shop", 50, hour / 2), 0);
    assert_int_equal(say(&fold, what, "blog", 1, hour / 2), 1); /* another stack, another line */
    assert_int_equal(say(&fold, other, "shop", 1, hour / 2), 1);
    assert_null(fold_due(&fold, hour));
    const struct fold_kind *due = fold_due(&fold, hour + 1);
    assert_non_null(due);
    assert_int_equal(due->hidden, 50);
    assert_string_equal(due->stack, "shop");
    assert_string_equal(due->last, "it fails");
    assert_null(fold_due(&fold, hour + 1));
    /* it goes on: one line an hour, and their number */
    assert_int_equal(say(&fold, what, "shop", 20, hour + 2), 1);
    assert_int_equal(fold_due(&fold, 2 * hour + 2)->hidden, 19);
    /* an hour of rest, and it is news again */
    assert_int_equal(say(&fold, what, "shop", 1, 2 * hour + 3), 1);
    assert_int_equal(say(&fold, what, "shop", 12, 4 * hour), 10);
    assert_int_equal(fold_due(&fold, 9 * hour)->hidden, 2);
}

/* More kinds than there is room for are written rather than lost; those that are over make room. */
static void folding_has_room(void **state)
{
    (void)state;
    static const char what[2 * FOLD_KINDS];
    static struct fold fold;
    for (unsigned i = 0; i < FOLD_KINDS; i++)
        assert_int_equal(say(&fold, what + i, "", 11, 1), 10);
    assert_int_equal(say(&fold, what + FOLD_KINDS, "", 20, 2), 20);
    unsigned told = 0;
    while (fold_due(&fold, 1 + FOLD_WINDOW_US))
        told++;
    assert_int_equal(told, FOLD_KINDS);
    assert_int_equal(say(&fold, what + FOLD_KINDS, "", 20, 2 + 2 * FOLD_WINDOW_US), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations), cmocka_unit_test(cleaning),         cmocka_unit_test(redaction_of_urls),
        cmocka_unit_test(redaction), cmocka_unit_test(growing),          cmocka_unit_test(hashing),
        cmocka_unit_test(times),     cmocka_unit_test(error_cut),        cmocka_unit_test(room),
        cmocka_unit_test(folding),   cmocka_unit_test(folding_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

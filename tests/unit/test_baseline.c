/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/baseline.h"
#include "agent/latency.h"
#include "agent/release.h"
#include "base/cleanup.h"
#include "base/str.h"

static const struct gate_settings settings = {.success_threshold = 3, .failure_threshold = 3};

/* '+' passed, '-' failed, '?' could not be asked */
static struct probe_series series(const char *answers)
{
    struct probe_series s = {0};
    for (; *answers; answers++)
        probe_note(&s, *answers == '+' ? PROBE_PASS : *answers == '-' ? PROBE_FAIL : PROBE_NOT_ASKED);
    return s;
}

static void baselines(void **state)
{
    (void)state;
    static const struct {
        const char *answers;
        enum probe_was was;
    } cases[] = {
        {"", PROBE_UNKNOWN},      {"????", PROBE_UNKNOWN},
        {"+", PROBE_PASSED},      {"-", PROBE_FAILED},
        {"+++++", PROBE_PASSED},  {"++++-", PROBE_PASSED},
        {"-++++", PROBE_PASSED},  {"+++--", PROBE_FLAKY},
        {"++---", PROBE_FLAKY},   {"+----", PROBE_FAILED},
        {"-----", PROBE_FAILED},  {"?+++++", PROBE_PASSED},
        {"++?++-", PROBE_PASSED}, {"+-", PROBE_FLAKY},
        {"++-", PROBE_FLAKY},     {"+++-", PROBE_FLAKY},
        {"---+", PROBE_FLAKY},    {"--------++++++++++++++++++++++++++++++++++++++++", PROBE_PASSED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct probe_series s = series(cases[i].answers);
        if (probe_was(probe_window(&s, 64)) != cases[i].was)
            fail_msg("%s: %d", cases[i].answers, probe_was(probe_window(&s, 64)));
    }
}

static void better(void **state)
{
    (void)state;
    static const enum probe_was cases[][3] = {
        {PROBE_UNKNOWN, PROBE_UNKNOWN, PROBE_UNKNOWN}, {PROBE_PASSED, PROBE_UNKNOWN, PROBE_PASSED},
        {PROBE_UNKNOWN, PROBE_FAILED, PROBE_FAILED},   {PROBE_PASSED, PROBE_FAILED, PROBE_PASSED},
        {PROBE_FAILED, PROBE_PASSED, PROBE_PASSED},    {PROBE_FLAKY, PROBE_FAILED, PROBE_FLAKY},
        {PROBE_FAILED, PROBE_FAILED, PROBE_FAILED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(probe_better(cases[i][0], cases[i][1]), cases[i][2]);
}

/* While the service is being rolled; late: when healthy_deadline is over. */
static void converging(void **state)
{
    (void)state;
    static const struct {
        const char *answers;
        enum probe_was was;
        enum verdict verdict, late;
    } cases[] = {
        {"", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_REGRESSED},
        {"++", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_REGRESSED},
        {"+++", PROBE_PASSED, VERDICT_OK, VERDICT_OK},
        {"---------", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_REGRESSED},
        {"---+++", PROBE_PASSED, VERDICT_OK, VERDICT_OK},
        {"++-++", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_REGRESSED},
        /* a new service, a new check: it has to pass */
        {"+++", PROBE_UNKNOWN, VERDICT_OK, VERDICT_OK},
        {"-----", PROBE_UNKNOWN, VERDICT_NOT_YET, VERDICT_REGRESSED},
        /* what failed before may fail, but is given the time to pass */
        {"--", PROBE_FAILED, VERDICT_NOT_YET, VERDICT_OK},
        {"---", PROBE_FAILED, VERDICT_OK, VERDICT_OK},
        {"+-", PROBE_FAILED, VERDICT_NOT_YET, VERDICT_OK},
        {"", PROBE_FAILED, VERDICT_NOT_YET, VERDICT_REGRESSED},
        /* what was flaky may be flaky */
        {"+-+-", PROBE_FLAKY, VERDICT_NOT_YET, VERDICT_OK},
        {"+----", PROBE_FLAKY, VERDICT_NOT_YET, VERDICT_OK},
        {"+-----", PROBE_FLAKY, VERDICT_NOT_YET, VERDICT_REGRESSED},
        {"----", PROBE_FLAKY, VERDICT_NOT_YET, VERDICT_REGRESSED},
        {"+++", PROBE_FLAKY, VERDICT_OK, VERDICT_OK},
        /* not asked: no verdict about the service */
        {"????", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_INCONCLUSIVE},
        {"?", PROBE_UNKNOWN, VERDICT_NOT_YET, VERDICT_INCONCLUSIVE},
        {"+?", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_INCONCLUSIVE},
        {"+-?", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_REGRESSED},
        {"?????", PROBE_PASSED, VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE},
        {"---?????", PROBE_PASSED, VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE},
        {"?????+++", PROBE_PASSED, VERDICT_OK, VERDICT_OK},
        {"++?+", PROBE_PASSED, VERDICT_NOT_YET, VERDICT_REGRESSED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct probe_series s = series(cases[i].answers);
        enum verdict now = probe_converged(&s, cases[i].was, &settings, false),
                     late = probe_converged(&s, cases[i].was, &settings, true);
        if (now != cases[i].verdict || late != cases[i].late)
            fail_msg("%zu '%s': %d, late %d", i, cases[i].answers, now, late);
    }
}

static void watching(void **state)
{
    (void)state;
    static const struct {
        const char *answers;
        enum probe_was was;
        enum verdict verdict;
        bool degraded;
    } cases[] = {
        {"", PROBE_PASSED, VERDICT_OK, false},
        {"+--", PROBE_PASSED, VERDICT_OK, false},
        {"+---", PROBE_PASSED, VERDICT_REGRESSED, false},
        {"--+--", PROBE_PASSED, VERDICT_OK, false},
        {"--?-", PROBE_PASSED, VERDICT_REGRESSED, false},
        {"---", PROBE_UNKNOWN, VERDICT_REGRESSED, false},
        {"----", PROBE_FLAKY, VERDICT_OK, true},
        {"-----", PROBE_FLAKY, VERDICT_REGRESSED, true},
        {"----------", PROBE_FAILED, VERDICT_OK, true},
        {"----------+", PROBE_FAILED, VERDICT_OK, false},
        {"+?????", PROBE_PASSED, VERDICT_INCONCLUSIVE, false},
        {"+????+", PROBE_PASSED, VERDICT_OK, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct probe_series s = series(cases[i].answers);
        if (probe_watched(&s, cases[i].was, &settings) != cases[i].verdict ||
            probe_degraded(&s, cases[i].was) != cases[i].degraded)
            fail_msg("%zu '%s'", i, cases[i].answers);
    }
    /* a threshold above that for flaky ones counts for them, too */
    struct probe_series six = series("------");
    assert_int_equal(probe_watched(&six, PROBE_FLAKY, &(struct gate_settings){.failure_threshold = 7}),
                     VERDICT_OK);
}

static void words(void **state)
{
    (void)state;
    static const struct {
        struct probe_count before;
        const char *last_before, *answers, *last, *want;
    } cases[] = {
        {{5, 5}, "200", "---", "500", "web /health: 5 of 5 before, 0 of 3 now (200 before, 500 now)"},
        {{1, 1}, "200", "------", "500", "web /health: 1 of 1 before, 0 of 5 now (200 before, 500 now)"},
        {{0, 5}, "500", "++++---", "503", "web /health: 0 of 5 before, 2 of 5 now (500 before, 503 now)"},
        {{0, 0}, NULL, "--", "500", "web /health: 0 of 2 now (500 now)"},
        {{10, 10},
         "200",
         "++++++++---?",
         "500",
         "web /health: 10 of 10 before, 7 of 10 now (200 before, 500 now)"},
        {{3, 3}, "200", "--+-+++", "200", "web /health: 3 of 3 before, 4 of 7 now (200 before, 200 now)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct probe_series s = series(cases[i].answers);
        assert_string_equal(
            probe_words(&arena, "web /health", cases[i].before, cases[i].last_before, &s, cases[i].last),
            cases[i].want);
    }
}

/* ---- how fast ---- */

/* n samples around a median: some far below, some far above */
static struct latencies spread(unsigned n, unsigned median_ms)
{
    struct latencies l = {0};
    for (unsigned i = 0; i < n; i++)
        latency_note(&l, i % 3 == 0 ? median_ms / 4 : i % 3 == 1 ? median_ms * 9 : median_ms);
    return l;
}

/* R7: more than twice, more than 300 ms above, and 20 samples on each side. */
static void slower(void **state)
{
    (void)state;
    static const struct {
        unsigned n_before, before_ms, n_just, just_ms, n_now, now_ms;
        bool slower;
    } cases[] = {
        /* doubled, and beyond the margin: five samples are none */
        {50, 400, 0, 0, 50, 801, true},
        {5, 400, 0, 0, 50, 801, false},
        {50, 400, 0, 0, 5, 801, false},
        {5, 400, 0, 0, 5, 4000, false},
        {20, 400, 0, 0, 20, 801, true},
        {19, 400, 0, 0, 20, 801, false},
        {20, 400, 0, 0, 19, 801, false},
        {0, 0, 0, 0, 50, 801, false},
        /* exactly twice; beyond twice, but within the margin */
        {50, 400, 0, 0, 50, 800, false},
        {50, 80, 0, 0, 50, 380, false},
        {50, 80, 0, 0, 50, 381, true},
        {50, 0, 0, 0, 50, 301, true},
        {50, 801, 0, 0, 50, 400, false},
        /* as slow just before anything was touched: not this deployment's doing, however few said so */
        {50, 80, 5, 420, 50, 420, false},
        {50, 80, 5, 100, 50, 420, true},
        {50, 80, 1, 60, 50, 420, true},
        {5, 80, 5, 80, 50, 420, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct latencies before = spread(cases[i].n_before, cases[i].before_ms),
                         just = spread(cases[i].n_just, cases[i].just_ms),
                         now = spread(cases[i].n_now, cases[i].now_ms);
        if (latency_slower(&before, &just, &now) != cases[i].slower)
            fail_msg("case %zu: %u ms and %u ms", i, latency_median_ms(&before), latency_median_ms(&now));
    }
}

static void medians(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct latencies l = {0}, other = {0};
    assert_int_equal(latency_median_ms(&l), 0);
    latency_note(&l, 30);
    latency_note(&l, 10);
    assert_int_equal(latency_median_ms(&l), 20);
    latency_note(&l, 11);
    assert_int_equal(latency_median_ms(&l), 11);
    /* the newest are kept, and their order */
    for (unsigned i = 0; i < 100; i++)
        latency_note(&other, i);
    assert_int_equal(latency_samples(&other), 64);
    assert_int_equal(latency_median_ms(&other), 67);
    latency_add(&other, &l);
    assert_int_equal(latency_samples(&other), 64);
    cleanup_json json_t *list = latency_json(&other);
    assert_int_equal(json_array_size(list), 64);
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 39);
    assert_int_equal(json_integer_value(json_array_get(list, 63)), 11);
    struct latencies back;
    latency_from_json(list, &back);
    assert_int_equal(latency_median_ms(&back), latency_median_ms(&other));
    latency_from_json(NULL, &back);
    assert_int_equal(latency_samples(&back), 0);
    struct latencies was = spread(41, 80), now = spread(23, 420);
    assert_string_equal(latency_words(&arena, "web /health", &was, &now),
                        "web /health answers slower: median 420 ms, was 80 ms (23 and 41 samples)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(baselines), cmocka_unit_test(better), cmocka_unit_test(converging),
        cmocka_unit_test(watching),  cmocka_unit_test(words),  cmocka_unit_test(slower),
        cmocka_unit_test(medians),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

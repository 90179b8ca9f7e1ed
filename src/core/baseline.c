/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/baseline.h"

#include <string.h>

#include "agent/release.h"

enum {
    FLAKY_FAILURES = 5, /* in a row: less is what it did before, too */
    UNASKED_MAX = 5,
    WINDOW = 5, /* shown where there is no baseline to be equal to */
    WINDOW_MAX = 64,
};

void probe_note(struct probe_series *series, enum probe_answer answer)
{
    if (answer == PROBE_NOT_ASKED) {
        series->unasked++;
        series->passes = 0;
        return;
    }
    bool passed = answer == PROBE_PASS;
    series->unasked = 0;
    series->asked++;
    series->last_answers = series->last_answers << 1 | passed;
    series->passes = passed ? series->passes + 1 : 0;
    series->failures = passed ? 0 : series->failures + 1;
}

struct probe_count probe_window(const struct probe_series *series, unsigned window)
{
    struct probe_count count = {0};
    if (window > WINDOW_MAX)
        window = WINDOW_MAX;
    count.asked = series->asked < window ? series->asked : window;
    for (unsigned i = 0; i < count.asked; i++)
        count.passed += (series->last_answers >> i & 1) != 0;
    return count;
}

enum probe_was probe_was(struct probe_count count)
{
    if (count.asked == 0)
        return PROBE_UNKNOWN;
    if (5 * count.passed >= 4 * count.asked)
        return PROBE_PASSED;
    return 5 * count.passed <= count.asked ? PROBE_FAILED : PROBE_FLAKY;
}

enum probe_was probe_better(enum probe_was a, enum probe_was b)
{
    if (a == PROBE_UNKNOWN || b == PROBE_UNKNOWN)
        return a == PROBE_UNKNOWN ? b : a;
    return a < b ? a : b;
}

static unsigned failures_allowed(enum probe_was was, const struct gate_settings *settings)
{
    return was == PROBE_FLAKY && settings->failure_threshold < FLAKY_FAILURES ? FLAKY_FAILURES
                                                                              : settings->failure_threshold;
}

enum verdict probe_converged(const struct probe_series *now, enum probe_was was,
                             const struct gate_settings *settings, bool late)
{
    if (now->unasked >= UNASKED_MAX)
        return VERDICT_INCONCLUSIVE;
    if (now->passes >= settings->success_threshold)
        return VERDICT_OK;
    if (was == PROBE_FAILED && now->failures >= settings->failure_threshold)
        return VERDICT_OK;
    if (!late)
        return VERDICT_NOT_YET;
    if (now->unasked > 0 && now->failures == 0) /* the last that is known of it is nothing bad */
        return VERDICT_INCONCLUSIVE;
    /* now and then, as before; never is worse */
    if (was == PROBE_FLAKY && now->last_answers && now->failures < failures_allowed(was, settings))
        return VERDICT_OK;
    return was == PROBE_FAILED && now->asked > 0 ? VERDICT_OK : VERDICT_REGRESSED;
}

enum verdict probe_watched(const struct probe_series *now, enum probe_was was,
                           const struct gate_settings *settings)
{
    if (now->unasked >= UNASKED_MAX)
        return VERDICT_INCONCLUSIVE;
    bool failed = was != PROBE_FAILED && now->failures >= failures_allowed(was, settings);
    return failed ? VERDICT_REGRESSED : VERDICT_OK;
}

bool probe_degraded(const struct probe_series *now, enum probe_was was)
{
    return now->failures > 0 && (was == PROBE_FAILED || was == PROBE_FLAKY);
}

struct probe_count probe_now(struct probe_count before, const struct probe_series *now)
{
    struct probe_count count = probe_window(now, before.asked > 1 ? before.asked : WINDOW);
    return count.passed < count.asked ? count : probe_window(now, WINDOW_MAX);
}

const char *probe_words(struct arena *arena, const char *label, struct probe_count before,
                        const char *last_before, const struct probe_series *now, const char *last_now)
{
    struct probe_count count = probe_now(before, now);
    if (before.asked == 0)
        return arena_printf(arena, "%s: %u of %u now (%s now)", label, count.passed, count.asked, last_now);
    return arena_printf(arena, "%s: %u of %u before, %u of %u now (%s before, %s now)", label, before.passed,
                        before.asked, count.passed, count.asked, last_before, last_now);
}

int baseline_place(const char *print, const char *prints)
{
    for (int i = 0; strlen(prints) >= BASELINE_PRINT_LEN; i++) {
        if (strncmp(prints, print, BASELINE_PRINT_LEN) == 0)
            return i;
        prints += BASELINE_PRINT_LEN;
        prints += *prints == ' ';
    }
    return -1;
}

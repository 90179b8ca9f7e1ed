/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/latency.h"

#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES_MIN = 20, /* with fewer a ratio is exceeded by chance */
    RATIO = 2,
    MARGIN_MS = 300,
};

void latency_note(struct latencies *latencies, unsigned ms)
{
    latencies->ms[latencies->seen++ % LATENCY_KEPT] = ms;
}

unsigned latency_samples(const struct latencies *latencies)
{
    return latencies->seen < LATENCY_KEPT ? latencies->seen : LATENCY_KEPT;
}

/* i: 0 is the oldest that is kept */
static unsigned sample(const struct latencies *latencies, unsigned i)
{
    return latencies->ms[(latencies->seen - latency_samples(latencies) + i) % LATENCY_KEPT];
}

void latency_add(struct latencies *to, const struct latencies *more)
{
    unsigned n = latency_samples(more);
    for (unsigned i = 0; i < n; i++)
        latency_note(to, sample(more, i));
}

static int compare(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

unsigned latency_median_ms(const struct latencies *latencies)
{
    unsigned sorted[LATENCY_KEPT], n = latency_samples(latencies);
    if (n == 0)
        return 0;
    memcpy(sorted, latencies->ms, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static bool exceeds(unsigned now_ms, unsigned before_ms)
{
    return now_ms > RATIO * before_ms && now_ms > before_ms + MARGIN_MS;
}

bool latency_slower(const struct latencies *before, const struct latencies *just_before,
                    const struct latencies *now)
{
    unsigned now_ms = latency_median_ms(now);
    if (latency_samples(before) < SAMPLES_MIN || latency_samples(now) < SAMPLES_MIN)
        return false;
    if (latency_samples(just_before) > 0 && !exceeds(now_ms, latency_median_ms(just_before)))
        return false;
    return exceeds(now_ms, latency_median_ms(before));
}

const char *latency_words(struct arena *arena, const char *check, const struct latencies *before,
                          const struct latencies *now)
{
    return arena_printf(arena, "%s answers slower: median %u ms, was %u ms (%u and %u samples)", check,
                        latency_median_ms(now), latency_median_ms(before), latency_samples(now),
                        latency_samples(before));
}

json_t *latency_json(const struct latencies *latencies)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < latency_samples(latencies); i++)
        json_array_append_new(list, json_integer(sample(latencies, i)));
    return list;
}

void latency_from_json(const json_t *list, struct latencies *ret)
{
    size_t i;
    const json_t *one;
    *ret = (struct latencies){0};
    json_array_foreach (list, i, one) {
        json_int_t ms = json_integer_value(one);
        if (ms >= 0 && ms <= INT32_MAX)
            latency_note(ret, (unsigned)ms);
    }
}

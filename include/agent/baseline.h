/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What samples of a health probe say. Pure: answers in, verdicts out. A probe is one check of x-release, or
 * the container healthcheck of a service; a sample is one round over all that it asks.
 *
 * Before anything is touched each probe is asked a few times, after the migrations again: the baselines.
 * Against them the verdict on the new version is one of three: ok; regressed, services go back; inconclusive,
 * since the probe could not be asked, which says nothing about the service: the rollout stops where it is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

struct gate_settings;

enum probe_answer {
    PROBE_PASS,
    PROBE_FAIL,
    PROBE_NOT_ASKED /* DNS, relay: says nothing about the service */
};

struct probe_count {
    unsigned passed, asked;
};

/* Answers since the update; those that could not be asked are no samples. */
struct probe_series {
    uint64_t last_answers;              /* a bit each, the newest lowest: 1 it passed */
    unsigned asked;                     /* samples in all */
    unsigned passes, failures, unasked; /* in a row */
};

void probe_note(struct probe_series *series, enum probe_answer answer);
/* Of the newest `window` samples (64 at most). */
struct probe_count probe_window(const struct probe_series *series, unsigned window);

/* What a probe was before: of at least four fifths passed, of at most one fifth failed. */
enum probe_was { PROBE_UNKNOWN, PROBE_PASSED, PROBE_FLAKY, PROBE_FAILED };
enum probe_was probe_was(struct probe_count count);
/* The new version has to be as good as the better of two baselines. */
enum probe_was probe_better(enum probe_was a, enum probe_was b);

enum verdict { VERDICT_NOT_YET, VERDICT_OK, VERDICT_REGRESSED, VERDICT_INCONCLUSIVE };

/* Has the new version passed? late: healthy_deadline is over, so that NOT_YET is no answer any more. What
   failed before is not held against it. */
enum verdict probe_converged(const struct probe_series *now, enum probe_was was,
                             const struct gate_settings *settings, bool late);
/* During the soak. */
enum verdict probe_watched(const struct probe_series *now, enum probe_was was,
                           const struct gate_settings *settings);
/* Does it fail now, and may, since it did before? */
bool probe_degraded(const struct probe_series *now, enum probe_was was);

/* Of as many samples as there were before; of all when only earlier ones failed. */
struct probe_count probe_now(struct probe_count before, const struct probe_series *now);
/* "web /health: 5 of 5 before, 0 of 3 now (200 before, 500 now)". before.asked 0: there was none. */
const char *probe_words(struct arena *arena, const char *label, struct probe_count before,
                        const char *last_before, const struct probe_series *now, const char *last_now);

/*
 * A check in the record of the steps `baseline` and `soak`: by its index in x-release.health. Two deployments
 * know a check again by its print, BASELINE_PRINT_LEN digits; the fingerprint of `baseline` has the prints of
 * all, a blank between them, in that order.
 */
#define BASELINE_CHECK_KEY "check %zu"
enum { BASELINE_PRINT_LEN = 16 };
/* Index of the check with that print; -1: there is none. */
int baseline_place(const char *print, const char *prints);

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/deployment.h"

/* Names are stored in files and shown in JSON: this list may grow and never change. */
static const char *const state_names[] = {"requested", "planned",    "running",     "interrupted",
                                          "succeeded", "failed",     "rolled_back", "halted",
                                          "cancelled", "superseded", "stuck"};
static const char *const trigger_names[] = {"poll", "webhook", "sync",     "image",
                                            "env",  "drift",   "rollback", "retry"};
static const char *const step_names[] = {"pending",          "running", "done",  "failed",
                                         "failed (allowed)", "skipped", "undone"};

enum { N_STATES = 11, N_TRIGGERS = 8, N_STEPS = 7 };

static void names(void **state)
{
    (void)state;
    enum deployment_state d;
    enum trigger t;
    enum step_state s;
    for (unsigned i = 0; i < N_STATES; i++) {
        assert_string_equal(deployment_state_name(i), state_names[i]);
        assert_int_equal(deployment_state_parse(state_names[i], &d), 0);
        assert_int_equal(d, i);
    }
    for (unsigned i = 0; i < N_TRIGGERS; i++) {
        assert_string_equal(trigger_name(i), trigger_names[i]);
        assert_int_equal(trigger_parse(trigger_names[i], &t), 0);
        assert_int_equal(t, i);
    }
    for (unsigned i = 0; i < N_STEPS; i++) {
        assert_string_equal(step_state_name(i), step_names[i]);
        assert_int_equal(step_state_parse(step_names[i], &s), 0);
        assert_int_equal(s, i);
    }
}

static void unknown_names(void **state)
{
    (void)state;
    enum deployment_state d = DEPLOYMENT_HALTED;
    enum trigger t;
    enum step_state s;
    static const char *const wrong[] = {"", "Requested", "rolled back", "running ", "4", NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(deployment_state_parse(wrong[i], &d), -1);
        assert_int_equal(trigger_parse(wrong[i], &t), -1);
        assert_int_equal(step_state_parse(wrong[i], &s), -1);
    }
    assert_int_equal(d, DEPLOYMENT_HALTED);
    assert_string_equal(deployment_state_name((enum deployment_state)99), "unknown");
    assert_false(deployment_state_ended((enum deployment_state)99));
    assert_false(deployment_state_may_follow((enum deployment_state)99, DEPLOYMENT_RUNNING));
    assert_false(deployment_state_may_follow(DEPLOYMENT_RUNNING, (enum deployment_state)99));
}

/* Rows: from, columns: to, in the order of state_names. */
static const char may_follow[N_STATES][N_STATES + 1] = {
    /*                 r p r i s f r h c s s */
    /* requested   */ ".x..xx..xxx",
    /* planned     */ ".xxxxx..xxx",
    /* running     */ ".xxxxxxxxxx",
    /* interrupted */ ".xxx.xxxxxx",
    /* succeeded   */ "...........",
    /* failed      */ "...........",
    /* rolled_back */ "...........",
    /* halted      */ "...........",
    /* cancelled   */ "...........",
    /* superseded  */ "...........",
    /* stuck       */ "...........",
};

static void transitions(void **state)
{
    (void)state;
    for (unsigned from = 0; from < N_STATES; from++)
        for (unsigned to = 0; to < N_STATES; to++)
            if (deployment_state_may_follow(from, to) != (may_follow[from][to] == 'x'))
                fail_msg("%s to %s", state_names[from], state_names[to]);
}

static void ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_STATES; i++) {
        bool ended = strcmp(may_follow[i], "...........") == 0;
        assert_int_equal(deployment_state_ended(i), ended);
        assert_int_equal(deployment_state_holds(i),
                         ended && i != DEPLOYMENT_SUCCEEDED && i != DEPLOYMENT_SUPERSEDED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(transitions),
        cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

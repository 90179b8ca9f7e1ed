/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "agentd/control.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

static int64_t wall = 1785000000 * US_PER_S;

int64_t __wrap_wall_us(void);
int64_t __wrap_wall_us(void)
{
    return wall;
}

static void delays(void **state)
{
    (void)state;
    static const struct {
        int64_t interval_s;
        unsigned failures;
        int64_t most_s; /* without jitter */
    } cases[] = {
        {30, 0, 30},
        {30, 1, 60},
        {30, 2, 120},
        {30, 3, 240},
        {30, 4, 300}, /* 10 intervals */
        {30, 5, 300},
        {30, 1000000, 300},
        {1, 9, 10},
        {120, 2, 480},
        {120, 3, 600}, /* 10 minutes */
        {120, 4000000000, 600},
        {3600, 0, 3600},
        {3600, 5, 3600},
        {86400, 1, 86400}, /* never less than the interval */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t interval = cases[i].interval_s * US_PER_S, most = cases[i].most_s * US_PER_S;
        assert_int_equal(schedule_delay(interval, cases[i].failures, 0), most);
        static const uint64_t randoms[] = {1, 12345678901234567, UINT64_MAX, UINT64_MAX / 3};
        for (size_t j = 0; j < ARRAY_SIZE(randoms); j++) {
            int64_t delay = schedule_delay(interval, cases[i].failures, randoms[j]);
            assert_true(delay <= most && delay >= most - most / 10);
        }
    }
    assert_int_equal(runs_restart_delay(0), 1 * US_PER_S);
    assert_int_equal(runs_restart_delay(1), 1 * US_PER_S);
    assert_int_equal(runs_restart_delay(2), 5 * US_PER_S);
    assert_int_equal(runs_restart_delay(3), 15 * US_PER_S);
    assert_int_equal(runs_restart_delay(4), 60 * US_PER_S);
    assert_int_equal(runs_restart_delay(4000000000), 60 * US_PER_S);
}

static void poll_results(void **state)
{
    (void)state;
#define TIP "0123456789abcdef0123456789abcdef01234567"
    static const struct {
        const char *text;
        int verdict; /* -1: refused */
        const char *tip, *message;
        int64_t deployment;
    } cases[] = {
        {"{\"result\":\"unchanged\",\"tip\":\"" TIP "\"}", POLL_UNCHANGED, TIP, "", 0},
        {"{\"result\":\"requested\",\"tip\":\"" TIP "\",\"deployment\":42}", POLL_REQUESTED, TIP, "", 42},
        {"{\"result\":\"held\",\"deployment\":41,\"message\":\"#41 failed\"}", POLL_HELD, "", "#41 failed",
         41},
        {"{\"result\":\"alarm\",\"message\":\"main was rewritten\"}", POLL_ALARM, "", "main was rewritten",
         0},
        {"{\"result\":\"nothing\"}", POLL_NOTHING, "", "", 0},
        {"{\"result\":\"error\",\"message\":\"403\"}", POLL_ERROR, "", "403", 0},
        {"{\"result\":\"nothing\",\"tip\":\"--exec\"}", POLL_NOTHING, "", "", 0},
        {"{\"result\":\"nothing\",\"tip\":\"0123456789ABCDEF0123456789abcdef01234567\"}", POLL_NOTHING, "",
         "", 0},
        {"{\"result\":\"nothing\",\"tip\":7,\"message\":[],\"deployment\":\"x\"}", POLL_NOTHING, "", "", 0},
        {"{\"result\":\"fine\"}", -1, NULL, NULL, 0},
        {"{\"result\":1}", -1, NULL, NULL, 0},
        {"{}", -1, NULL, NULL, 0},
        {"[]", -1, NULL, NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_json json_t *hint = json_loads(cases[i].text, 0, NULL);
        struct poll_result result = {0};
        struct error err = {0};
        assert_non_null(hint);
        int r = poll_result_parse(hint, &result, &err);
        assert_int_equal(r, cases[i].verdict < 0 ? -1 : 0);
        if (r < 0)
            continue;
        assert_int_equal(result.verdict, cases[i].verdict);
        assert_string_equal(result.tip, cases[i].tip);
        assert_string_equal(result.message, cases[i].message);
        assert_int_equal(result.deployment, cases[i].deployment);
    }
    struct poll_result result;
    struct error err = {0};
    assert_int_equal(poll_result_parse(NULL, &result, &err), -1); /* no hint at all */
}

/* Histories, newest first. */
static void rollback_targets(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct deployment rows[8];
        int64_t want; /* 0: none */
    } cases[] = {
#define OK(n) {.id = n, .state = DEPLOYMENT_SUCCEEDED, .trigger = TRIGGER_POLL}
#define SAME(n)                                                                                              \
    {                                                                                                        \
        .id = n, .state = DEPLOYMENT_SUCCEEDED, .trigger = TRIGGER_POLL, .reason = "no change"               \
    }
#define BAD(n, s)                                                                                            \
    {                                                                                                        \
        .id = n, .state = DEPLOYMENT_##s, .trigger = TRIGGER_POLL                                            \
    }
#define BACK(n, t)                                                                                           \
    {                                                                                                        \
        .id = n, .state = DEPLOYMENT_SUCCEEDED, .trigger = TRIGGER_ROLLBACK, .target_id = t                  \
    }
#define BACK_BAD(n, t)                                                                                       \
    {                                                                                                        \
        .id = n, .state = DEPLOYMENT_ROLLED_BACK, .trigger = TRIGGER_ROLLBACK, .target_id = t                \
    }
        {"nothing yet", {{0}}, 0},
        {"only one success", {OK(1)}, 0},
        {"the one before", {OK(2), OK(1)}, 1},
        {"a failure touched nothing", {BAD(3, FAILED), OK(2), OK(1)}, 1},
        {"what was rolled back runs no more", {BAD(3, ROLLED_BACK), OK(2), OK(1)}, 1},
        {"half of #3 runs", {BAD(3, HALTED), OK(2), OK(1)}, 2},
        {"nobody knows what of #3 runs", {BAD(3, STUCK), OK(2), OK(1)}, 2},
        {"a failure after a halt", {BAD(4, FAILED), BAD(3, HALTED), OK(2), OK(1)}, 2},
        {"a success mends a halt", {OK(4), BAD(3, HALTED), OK(2), OK(1)}, 2},
        {"cancelled and put back", {BAD(3, CANCELLED), OK(2), OK(1)}, 1},
        {"no change is no version of its own", {SAME(4), SAME(3), OK(2), OK(1)}, 1},
        {"nor one to go back to", {OK(4), SAME(3), OK(2)}, 2},
        {"further back", {BACK(4, 2), OK(3), OK(2), OK(1)}, 1},
        {"back again", {BACK(5, 1), BACK(4, 2), OK(3), OK(2), OK(1)}, 0},
        {"a rollback that failed changed nothing", {BACK_BAD(4, 2), OK(3), OK(2), OK(1)}, 2},
        {"what ran before it was the rollback's", {OK(5), BACK(4, 2), OK(3), OK(2), OK(1)}, 2},
        {"whose target is forgotten", {OK(5), BACK(4, 1), OK(3), OK(2)}, 3},
        {"unfinished and superseded ones do not count",
         {BAD(5, REQUESTED), BAD(4, SUPERSEDED), OK(3), OK(2)},
         2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t n = 0;
        while (n < ARRAY_SIZE(cases[i].rows) && cases[i].rows[n].id)
            n++;
        const struct deployment *target = rollback_default(cases[i].rows, n);
        if ((target ? target->id : 0) != cases[i].want)
            fail_msg("%s: #%lld and not #%lld", cases[i].name, (long long)(target ? target->id : 0),
                     (long long)cases[i].want);
    }
}

/* Each event has its entry in the catalog, and the other way round. */
static void catalog(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    char *header, *texts;
    size_t len, events = 0, entries = 0;
    if (fs_read(&arena, "include/agent/events.h", 1 << 20, &header, &len, &err) < 0 ||
        fs_read(&arena, "packaging/deploy-agent.catalog", 1 << 20, &texts, &len, &err) < 0)
        fail_msg("%s", err.text);
    for (const char *p = header; (p = strstr(p, "#define MESSAGE_")); events++) {
        p = strchr(p, '"') + 1;
        const char *title = arena_printf(&arena, "\n-- %.32s\nSubject: ", p);
        if (!strstr(texts, title))
            fail_msg("the catalog has no entry for %.32s", p);
    }
    for (const char *p = texts; (p = strstr(p, "\n-- ")); p++)
        entries++;
    assert_true(events >= 12);
    assert_int_equal(entries, events);
}

/* How long until the poll that is planned. */
static int64_t planned_in(const struct watch *w)
{
    uint64_t due = 0;
    int enabled = SD_EVENT_OFF;
    assert_true(sd_event_source_get_enabled(w->poll_timer, &enabled) > 0 &&
                sd_event_source_get_time(w->poll_timer, &due) >= 0);
    return (int64_t)due - mono_us();
}

/* A webhook brings the poll forward, however far the wall clock has stepped; and what is said of it is right
 * by the clock of now. */
static void webhooks_and_clock_steps(void **state)
{
    (void)state;
    static const int64_t steps_s[] = {0, 3600, 3652 * 86400, -86400};
    for (size_t i = 0; i < ARRAY_SIZE(steps_s); i++) {
        const struct stack_config config = {.name = "shop"};
        struct manager manager = {.config_path = "agent.conf"};
        struct watch w = {.manager = &manager, .name = "shop", .config = &config};
        manager.watches = &w;
        assert_true(sd_event_new(&manager.event) >= 0);
        schedule_poll(&w, 3600 * US_PER_S);
        assert_true(planned_in(&w) > 3000 * US_PER_S);
        wall += steps_s[i] * US_PER_S;
        cleanup_json json_t *status = manager_status(&manager);
        const char *said = json_string_value(
            json_object_get(json_array_get(json_object_get(status, "stacks"), 0), "next_poll"));
        int64_t said_us;
        struct error err = {0};
        assert_int_equal(time_parse(said, &said_us, &err), 0);
        assert_true(said_us - wall > 3000 * US_PER_S && said_us - wall <= 3600 * US_PER_S);
        schedule_webhook(&w);
        assert_true(planned_in(&w) <= 0);
        /* one that is due sooner stays */
        schedule_poll(&w, 2 * US_PER_S);
        w.webhook_us = mono_us();
        schedule_webhook(&w);
        assert_true(planned_in(&w) <= 2 * US_PER_S);
        sd_event_source_disable_unref(w.poll_timer);
        sd_event_unref(manager.event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays),
        cmocka_unit_test(poll_results),
        cmocka_unit_test(rollback_targets),
        cmocka_unit_test(catalog),
        cmocka_unit_test(webhooks_and_clock_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

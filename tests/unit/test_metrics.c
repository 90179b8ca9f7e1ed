/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

#include "agentd/manager.h"
#include "agentd/metrics.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

/* A manager with two stacks, as far as metrics look at it. */
struct house {
    struct manager manager;
    struct stack_config stacks[2];
};

static char secret[] = "0123456789abcdef0123456789abcdef";

static void house_open(struct house *h, struct fixture *f)
{
    *h = (struct house){
        .stacks = {{.name = "shop", .poll_interval_us = 30 * US_PER_S, .webhook_secret = secret},
                   {.name = "blog", .poll_interval_us = 90 * US_PER_S}}};
    h->manager = (struct manager){.journal = f->journal, .started_us = 1500 * US_PER_S / 1000};
    watch_new(&h->manager, &h->stacks[0]);
    watch_new(&h->manager, &h->stacks[1]);
}

static void house_close(struct house *h)
{
    for (struct watch *w = h->manager.watches; w; w = w->next)
        w->config = NULL;
    manager_collect(&h->manager);
    metrics_free(&h->manager);
}

static char *print(struct house *h, struct arena *arena)
{
    cleanup_str struct str text = {0};
    metrics_print(&h->manager, &text);
    return arena_strdup(arena, str_text(&text));
}

static void has(const char *text, const char *line)
{
    char whole[300];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void nothing_yet(void **state)
{
    struct fixture *f = *state;
    struct house h;
    house_open(&h, f);
    const char *text = print(&h, &f->arena);
    has(text, "deploy_agent_build_info{version=\"" VERSION "\"} 1");
    has(text, "deploy_agent_journal_usable 1");
    has(text, "deploy_agent_poll_interval_seconds{stack=\"blog\"} 90");
    has(text, "deploy_agent_last_good_poll_timestamp_seconds{stack=\"shop\"} 0");
    has(text, "deploy_agent_last_deployment_state{stack=\"shop\",state=\"succeeded\"} 0");
    has(text, "deploy_agent_in_step{stack=\"shop\"} 0");
    has(text, "deploy_agent_webhooks_total{stack=\"shop\",result=\"accepted\"} 0");
    assert_null(strstr(text, "webhooks_total{stack=\"blog\"")); /* it has no secret */
    has(text, "process_start_time_seconds 1.500000");
    house_close(&h);
}

static void what_is_true(void **state)
{
    struct fixture *f = *state;
    struct house h;
    house_open(&h, f);
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED);
    const char *text = print(&h, &f->arena);
    has(text, "deploy_agent_in_step{stack=\"shop\"} 0"); /* nobody has looked yet */
    manager_watch(&h.manager, "shop")->good_poll_us = wall_us();
    text = print(&h, &f->arena);
    has(text, "deploy_agent_in_step{stack=\"shop\"} 1");
    manager_watch(&h.manager, "shop")->poll_error = (char[]){"403"};
    has(print(&h, &f->arena), "deploy_agent_in_step{stack=\"shop\"} 0");
    manager_watch(&h.manager, "shop")->poll_error = NULL;
    has(text, "deploy_agent_held{stack=\"shop\"} 0");
    has(text, "deploy_agent_last_deployment_state{stack=\"shop\",state=\"succeeded\"} 1");

    OK(journal_set_tip(f->journal, "shop", commit_b, &f->err));
    ended(f, "shop", commit_b, DEPLOYMENT_HALTED);
    OK(journal_pause(f->journal, "blog", true, "holidays", 0, &f->err));
    OK(journal_set_alarm(f->journal, "blog", "rewritten", commit_b, &f->err));
    bool news;
    OK(journal_set_drift(f->journal, "blog", "{}", &news, &f->err));
    OK(journal_set_poll_error(f->journal, "blog", "403", &news, &f->err));
    text = print(&h, &f->arena);
    has(text, "deploy_agent_in_step{stack=\"shop\"} 0");
    has(text, "deploy_agent_held{stack=\"shop\"} 1");
    has(text, "deploy_agent_last_deployment_state{stack=\"shop\",state=\"succeeded\"} 0");
    has(text, "deploy_agent_last_deployment_state{stack=\"shop\",state=\"halted\"} 1");
    has(text, "deploy_agent_paused{stack=\"blog\"} 1");
    has(text, "deploy_agent_approval_needed{stack=\"blog\"} 1");
    has(text, "deploy_agent_frozen_until_timestamp_seconds{stack=\"blog\"} 0");
    manager_watch(&h.manager, "blog")->frozen_until_us = 1800000000 * US_PER_S;
    has(print(&h, &f->arena), "deploy_agent_frozen_until_timestamp_seconds{stack=\"blog\"} 1800000000");
    assert_null(strstr(text, "drift_since_timestamp_seconds{stack=\"blog\"} 0\n"));
    assert_null(strstr(text, "poll_failing_since_timestamp_seconds{stack=\"blog\"} 0\n"));
    has(text, "deploy_agent_deployment_started_timestamp_seconds{stack=\"shop\"} 0");

    /* a pause that is over is none */
    OK(journal_pause(f->journal, "blog", true, "holidays", wall_us() + 60 * US_PER_S, &f->err));
    has(print(&h, &f->arena), "deploy_agent_paused{stack=\"blog\"} 1");
    OK(journal_pause(f->journal, "blog", true, "holidays", wall_us() - 1, &f->err));
    int64_t id = request(f, "shop", commit_a);
    text = print(&h, &f->arena);
    has(text, "deploy_agent_paused{stack=\"blog\"} 0");
    assert_null(strstr(text, "deployment_requested_timestamp_seconds{stack=\"shop\"} 0\n"));
    has(text, "deploy_agent_deployment_started_timestamp_seconds{stack=\"shop\"} 0");
    OK(journal_set_state(f->journal, id, DEPLOYMENT_PLANNED, NULL, &f->err));
    OK(journal_set_waiting(f->journal, "shop", "an image", &f->err));
    text = print(&h, &f->arena);
    has(text, "deploy_agent_deployment_requested_timestamp_seconds{stack=\"shop\"} 0");
    assert_null(strstr(text, "deployment_started_timestamp_seconds{stack=\"shop\"} 0\n"));
    assert_null(strstr(text, "waiting_since_timestamp_seconds{stack=\"shop\"} 0\n"));
    house_close(&h);
}

static void what_is_counted(void **state)
{
    struct fixture *f = *state;
    struct house h;
    house_open(&h, f);
    struct watch *shop = manager_watch(&h.manager, "shop");
    const struct step steps[] = {{.seq = 1, .kind = "pull", .name = "web", .params = "{}"}};
    const struct plan_rows rows = {.plan = "{}", .steps = steps, .n_steps = 1};
    int64_t id = request(f, "shop", commit_a);
    OK(journal_save_plan(f->journal, id, &rows, &f->err));
    OK(journal_step_begin(f->journal, id, 1, NULL, &f->err));
    OK(journal_step_end(f->journal, id, 1, STEP_DONE, NULL, &f->err));
    for (unsigned i = 0; i < 3; i++) {
        static const int64_t took[] = {5 * US_PER_S, 61 * US_PER_S, 7200 * US_PER_S};
        const struct deployment d = {.id = id,
                                     .state = i ? DEPLOYMENT_FAILED : DEPLOYMENT_SUCCEEDED,
                                     .started_us = US_PER_S,
                                     .finished_us = US_PER_S + took[i]};
        metrics_ended(shop, &d);
        metrics_polled(shop, i > 0);
        metrics_webhook(shop, i == 0);
    }
    const char *text = print(&h, &f->arena);
    has(text, "deploy_agent_polls_total{stack=\"shop\",result=\"good\"} 2");
    has(text, "deploy_agent_polls_total{stack=\"shop\",result=\"failed\"} 1");
    has(text, "deploy_agent_polls_total{stack=\"blog\",result=\"good\"} 0");
    has(text, "deploy_agent_webhooks_total{stack=\"shop\",result=\"accepted\"} 1");
    has(text, "deploy_agent_webhooks_total{stack=\"shop\",result=\"refused\"} 2");
    has(text, "deploy_agent_deployments_total{stack=\"shop\",state=\"succeeded\"} 1");
    has(text, "deploy_agent_deployments_total{stack=\"shop\",state=\"failed\"} 2");
    has(text, "deploy_agent_deployment_duration_seconds_bucket{stack=\"shop\",le=\"5\"} 1");
    has(text, "deploy_agent_deployment_duration_seconds_bucket{stack=\"shop\",le=\"60\"} 1");
    has(text, "deploy_agent_deployment_duration_seconds_bucket{stack=\"shop\",le=\"120\"} 2");
    has(text, "deploy_agent_deployment_duration_seconds_bucket{stack=\"shop\",le=\"3600\"} 2");
    has(text, "deploy_agent_deployment_duration_seconds_bucket{stack=\"shop\",le=\"+Inf\"} 3");
    has(text, "deploy_agent_deployment_duration_seconds_sum{stack=\"shop\"} 7266");
    has(text, "deploy_agent_deployment_duration_seconds_count{stack=\"shop\"} 3");
    has(text, "deploy_agent_step_duration_seconds_bucket{kind=\"pull\",le=\"0.5\"} 3");
    has(text, "deploy_agent_step_duration_seconds_count{kind=\"pull\"} 3");
    house_close(&h);
}

/* A sum never falls, whatever the clock does. */
static void clock_set_back(void **state)
{
    struct fixture *f = *state;
    struct house h;
    house_open(&h, f);
    const struct deployment d = {
        .id = 1, .state = DEPLOYMENT_SUCCEEDED, .started_us = 3600 * US_PER_S, .finished_us = US_PER_S};
    metrics_ended(manager_watch(&h.manager, "shop"), &d);
    const char *text = print(&h, &f->arena);
    has(text, "deploy_agent_deployment_duration_seconds_bucket{stack=\"shop\",le=\"5\"} 1");
    has(text, "deploy_agent_deployment_duration_seconds_sum{stack=\"shop\"} 0");
    has(text, "deploy_agent_deployment_duration_seconds_count{stack=\"shop\"} 1");
    house_close(&h);
}

/* Nothing is made up while the journal is away; what is in memory is still there. */
static void without_a_journal(void **state)
{
    struct fixture *f = *state;
    struct house h;
    house_open(&h, f);
    h.manager.journal = NULL;
    const char *text = print(&h, &f->arena);
    has(text, "deploy_agent_journal_usable 0");
    has(text, "deploy_agent_poll_interval_seconds{stack=\"shop\"} 30");
    has(text, "deploy_agent_polls_total{stack=\"shop\",result=\"good\"} 0");
    assert_null(strstr(text, "deploy_agent_held{"));
    assert_null(strstr(text, "deploy_agent_last_deployment_state{"));
    house_close(&h);
}

static void escaping(void **state)
{
    (void)state;
    cleanup_str struct str text = {0};
    metrics_sample2(&text, "m", "a", "quote \" slash \\ line \n end", "b", "", 0.25);
    assert_string_equal(text.data, "m{a=\"quote \\\" slash \\\\ line \\n end\",b=\"\"} 0.250000\n");
}

/* "# TYPE NAME KIND" of all that is printed stands in docs/metrics.md, and the other way round. */
static void documented(void **state)
{
    struct fixture *f = *state;
    struct house h;
    char *docs, *end, name[100];
    size_t len, printed = 0, told = 0;
    house_open(&h, f);
    OK(fs_read(&f->arena, "docs/metrics.md", 1 << 20, &docs, &len, &f->err));
    char *text = print(&h, &f->arena);
    for (char *p = text; (p = strstr(p, "# TYPE ")); p = end) {
        p += strlen("# TYPE ");
        end = p + strcspn(p, " ");
        snprintf(name, sizeof name, "`%.*s`", (int)(end - p), p);
        if (!strstr(docs, name))
            fail_msg("docs/metrics.md lacks %s", name);
        printed++;
    }
    for (char *line = docs; (line = strstr(line, "\n| `")); line++) {
        const char *stop = line + 3 + strcspn(line + 3, "|");
        for (char *p = line; (p = strchr(p, '`')) && p < stop; p = end + 1) {
            end = strchr(p + 1, '`');
            assert_non_null(end);
            snprintf(name, sizeof name, "# TYPE %.*s ", (int)(end - p - 1), p + 1);
            if (!strstr(text, name))
                fail_msg("docs/metrics.md has what is not printed: %s", name);
            told++;
        }
    }
    assert_int_equal(printed, told);
    assert_true(printed > 25);
    house_close(&h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_yet),       TEST(what_is_true),         TEST(what_is_counted), TEST(clock_set_back),
        TEST(without_a_journal), cmocka_unit_test(escaping), TEST(documented)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

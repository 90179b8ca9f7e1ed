/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

#include "agent/outbox.h"
#include "agent/summary.h"
#include "base/cleanup.h"
#include "base/str.h"

static void plan(struct fixture *f, int64_t id)
{
    const struct step steps[] = {{.seq = 1, .kind = "pull", .name = "web", .params = "{}"},
                                 {.seq = 2, .kind = "roll", .name = "web", .params = "{}"}};
    const struct plan_rows rows = {.plan = "{}", .steps = steps, .n_steps = ARRAY_SIZE(steps)};
    OK(journal_save_plan(f->journal, id, &rows, &f->err));
}

static void summaries(void **state)
{
    struct fixture *f = *state;
    struct stack_summary s;
    OK(journal_summary(f->journal, "shop", &s, &f->err));
    assert_int_equal(s.last.id, 0);
    assert_int_equal(s.success.id, 0);
    assert_int_equal(s.under_way.id, 0);

    int64_t good = ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED);
    int64_t bad = ended(f, "shop", commit_b, DEPLOYMENT_ROLLED_BACK);
    ended(f, "blog", commit_b, DEPLOYMENT_SUCCEEDED);
    request(f, "shop", commit_a); /* ends superseded: no end of its own */
    int64_t waits = request(f, "shop", commit_b);
    OK(journal_summary(f->journal, "shop", &s, &f->err));
    assert_int_equal(s.success.id, good);
    assert_string_equal(s.success.commit, commit_a);
    assert_int_equal(s.last.id, bad);
    assert_int_equal(s.last.state, DEPLOYMENT_ROLLED_BACK);
    assert_true(s.last.started_us > 0 && s.last.finished_us >= s.last.started_us);
    assert_int_equal(s.under_way.id, waits);
    assert_int_equal(s.under_way.state, DEPLOYMENT_REQUESTED);
    assert_true(s.under_way.requested_us > 0 && s.under_way.started_us == 0);

    plan(f, waits);
    OK(journal_summary(f->journal, "shop", &s, &f->err));
    assert_int_equal(s.under_way.state, DEPLOYMENT_PLANNED);
    request(f, "shop", commit_a); /* what has begun comes first */
    OK(journal_summary(f->journal, "shop", &s, &f->err));
    assert_int_equal(s.under_way.id, waits);
}

static void step_times(void **state)
{
    struct fixture *f = *state;
    struct step *steps;
    size_t n;
    int64_t id = request(f, "shop", commit_a);
    plan(f, id);
    OK(journal_step_begin(f->journal, id, 1, NULL, &f->err));
    OK(journal_step_end(f->journal, id, 1, STEP_FAILED, "no such image", &f->err));
    OK(journal_step_times(f->journal, &f->arena, id, &steps, &n, &f->err));
    assert_int_equal(n, 2);
    assert_string_equal(steps[0].kind, "pull");
    assert_string_equal(steps[0].error, "no such image");
    assert_int_equal(steps[0].state, STEP_FAILED);
    assert_true(steps[0].started_us > 0 && steps[0].finished_us >= steps[0].started_us);
    assert_null(steps[0].params);
    assert_int_equal(steps[1].state, STEP_PENDING);
    OK(journal_step_times(f->journal, &f->arena, 999, &steps, &n, &f->err));
    assert_int_equal(n, 0);
}

static void newest_output(void **state)
{
    struct fixture *f = *state;
    const char *text, *whole;
    int64_t id = request(f, "shop", commit_a);
    plan(f, id);
    OK(journal_step_output_newest(f->journal, &f->arena, id, 1, 1000, &text, &f->err));
    assert_null(text);
    for (unsigned i = 0; i < 40000; i++) { /* beyond the head, so that the middle is dropped */
        cleanup_arena struct arena arena = {0};
        const char *line = arena_printf(&arena, "line %u of a long, long, long output \xc3\xa4\n", i);
        if (i % 2000 == 0 || i > 39990) {
            cleanup_str struct str many = {0};
            for (unsigned k = 0; k < (i % 2000 ? 1 : 2000); k++)
                str_append(&many, line);
            OK(journal_step_append_output(f->journal, id, 1, many.data, many.len, &f->err));
        }
    }
    OK(journal_step_output(f->journal, &f->arena, id, 1, &whole, &f->err));
    for (size_t max = 20; max < 200 * 1024; max = max * 3 + 1) {
        OK(journal_step_output_newest(f->journal, &f->arena, id, 1, max, &text, &f->err));
        assert_true(strlen(text) <= max && strlen(text) + 4 > max);
        assert_string_equal(text, whole + strlen(whole) - strlen(text));
    }
}

static void pages(void **state)
{
    struct fixture *f = *state;
    struct deployment *rows;
    size_t n, seen = 0;
    for (unsigned i = 0; i < 25; i++)
        ended(f, i % 5 ? "shop" : "blog", commit_a, i % 2 ? DEPLOYMENT_SUCCEEDED : DEPLOYMENT_FAILED);
    struct deployment_filter filter = {.stack = "shop", .limit = 7};
    int64_t last = INT64_MAX;
    do {
        OK(journal_deployments(f->journal, &f->arena, &filter, &rows, &n, &f->err));
        for (size_t i = 0; i < n; i++) {
            assert_true(rows[i].id < last);
            assert_string_equal(rows[i].stack, "shop");
            filter.before_id = last = rows[i].id;
        }
        seen += n;
    } while (n);
    assert_int_equal(seen, 20);
    /* one alone, the first, too */
    for (int64_t id = 1; id < 3; id++) {
        const struct deployment_filter one = {.after_id = id - 1, .before_id = id + 1};
        OK(journal_deployments(f->journal, &f->arena, &one, &rows, &n, &f->err));
        assert_int_equal(n, 1);
        assert_int_equal(rows[0].id, id);
    }
}

static void backlog(void **state)
{
    struct fixture *f = *state;
    const struct receiver_config receivers[] = {{.name = "records"}};
    int64_t events, oldest;
    OK(outbox_configure(f->journal, receivers, 1, &f->err));
    OK(journal_backlog(f->journal, "records", 3, &events, &oldest, &f->err));
    assert_int_equal(events, 0);
    assert_int_equal(oldest, 0);
    int64_t id = request(f, "shop", commit_a);
    OK(journal_backlog(f->journal, "records", 3, &events, &oldest, &f->err));
    assert_int_equal(events, 1);
    assert_true(oldest > 0);
    plan(f, id);
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_SUCCEEDED, NULL, &f->err));
    int64_t later;
    OK(journal_backlog(f->journal, "records", 3, &events, &later, &f->err));
    assert_int_equal(events, 3);
    assert_int_equal(later, oldest);
}

/* Another one after each commit, of ours and of others; the same while nothing happens. */
static void marks(void **state)
{
    struct fixture *f = *state;
    struct journal *other;
    const char *first = journal_mark(f->journal, &f->arena);
    assert_string_equal(first, journal_mark(f->journal, &f->arena));
    int64_t id = request(f, "shop", commit_a);
    const char *second = journal_mark(f->journal, &f->arena);
    assert_string_not_equal(first, second);
    assert_string_equal(second, journal_mark(f->journal, &f->arena));
    OK(journal_open(f->path, JOURNAL_WRITE, &other, &f->err));
    OK(journal_request_cancel(other, id, &f->err));
    journal_close(other);
    const char *third = journal_mark(f->journal, &f->arena);
    assert_string_not_equal(second, third);
    assert_string_equal(third, journal_mark(f->journal, &f->arena));
    journal_close(f->journal);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    assert_string_not_equal(third, journal_mark(f->journal, &f->arena));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_free)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(summaries), TEST(step_times), TEST(newest_output),
                                       TEST(pages),     TEST(backlog),    TEST(marks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

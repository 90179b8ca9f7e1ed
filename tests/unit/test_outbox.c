/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

#include <sqlite3.h>

#include "agent/outbox.h"
#include "agent/summary.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_free)

static const char *const ends[] = {"failed", "rolled_back", NULL};
static const char *const shop_only[] = {"shop", NULL};

static const struct receiver_config records = {.name = "records", .history = true};
static const struct receiver_config chat = {.name = "notify chat", .states = ends, .keep = 3};
static const struct receiver_config status_shop = {.name = "status shop", .stacks = shop_only, .keep = 100};

static void configure(struct fixture *f, const struct receiver_config *a, const struct receiver_config *b)
{
    struct receiver_config both[2];
    size_t n = 0;
    if (a)
        both[n++] = *a;
    if (b)
        both[n++] = *b;
    OK(outbox_configure(f->journal, both, n, &f->err));
}

static struct receiver receiver(struct fixture *f, const char *name)
{
    struct receiver *rows;
    size_t n;
    OK(outbox_receivers(f->journal, &f->arena, &rows, &n, &f->err));
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].name, name))
            return rows[i];
    return (struct receiver){0};
}

static int64_t backlog(struct fixture *f, const char *name)
{
    int64_t events = -1, oldest;
    OK(journal_backlog(f->journal, name, -1, &events, &oldest, &f->err));
    assert_int_equal(oldest != 0, events != 0);
    assert_int_equal(receiver(f, name).waiting, events != 0);
    return events;
}

/* "1:requested 1:planned …" of what waits */
static const char *waiting(struct fixture *f, const char *name)
{
    struct event *events;
    size_t n;
    cleanup_str struct str text = {0};
    int64_t last = 0;
    OK(outbox_next(f->journal, &f->arena, name, 100, &events, &n, &f->err));
    for (size_t i = 0; i < n; i++) {
        str_printf(&text, "%s%d:%s", i ? " " : "", (int)events[i].deployment, events[i].state);
        assert_true(events[i].id > last);
        last = events[i].id;
    }
    assert_int_equal(backlog(f, name), n);
    return arena_strdup(&f->arena, str_text(&text));
}

/* Delivers the next one. */
static struct event deliver(struct fixture *f, const char *name)
{
    struct event *events;
    size_t n;
    OK(outbox_next(f->journal, &f->arena, name, 1, &events, &n, &f->err));
    assert_int_equal(n, 1);
    OK(outbox_done(f->journal, name, events[0].id, NULL, &f->err));
    return events[0];
}

/* Rows of the table itself, whoever waits for them; there is no call for that. */
static int64_t event_rows(struct fixture *f)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM event", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void nobody_is_told(void **state)
{
    struct fixture *f = *state;
    ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    assert_int_equal(event_rows(f), 0);
    configure(f, &chat, NULL);
    assert_string_equal(waiting(f, "notify chat"), ""); /* it begins with what comes */
    ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED);
    assert_int_equal(event_rows(f), 0); /* and wants only some of that */
}

static void each_gets_its_own(void **state)
{
    struct fixture *f = *state;
    configure(f, &chat, &status_shop);
    ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    ended(f, "blog", commit_a, DEPLOYMENT_ROLLED_BACK);
    ended(f, "blog", commit_a, DEPLOYMENT_SUCCEEDED);
    assert_string_equal(waiting(f, "notify chat"), "1:failed 2:rolled_back");
    assert_string_equal(waiting(f, "status shop"), "1:requested 1:planned 1:running 1:failed");
    assert_int_equal(event_rows(f), 5);

    struct event e = deliver(f, "notify chat");
    assert_string_equal(e.stack, "shop");
    assert_string_equal(e.reason, "for a reason");
    assert_int_equal(e.at_us, get(f, 1).finished_us);
    assert_int_equal(event_rows(f), 5); /* the other one waits for it, too */
    deliver(f, "notify chat");
    assert_int_equal(event_rows(f), 4);
    for (unsigned i = 0; i < 4; i++)
        deliver(f, "status shop");
    assert_int_equal(event_rows(f), 0);
    assert_string_equal(waiting(f, "notify chat"), "");

    /* numbers go on, and a new one begins at the end of them */
    configure(f, &chat, &(struct receiver_config){.name = "notify new"});
    request(f, "shop", commit_b);
    assert_string_equal(waiting(f, "notify new"), "4:requested");
    assert_true(deliver(f, "notify new").id > e.id);
}

static void changes_that_are_none(void **state)
{
    struct fixture *f = *state;
    configure(f, &records, NULL);
    int64_t first = request(f, "shop", commit_a);
    request(f, "shop", commit_b); /* supersedes */
    OK(journal_set_state(f->journal, 2, DEPLOYMENT_PLANNED, NULL, &f->err));
    struct plan_rows rows = {.plan = "{}"};
    OK(journal_save_plan(f->journal, 2, &rows, &f->err)); /* planned again */
    OK(journal_set_state(f->journal, 2, DEPLOYMENT_PLANNED, "waits", &f->err));
    FAILS(journal_set_state(f->journal, first, DEPLOYMENT_RUNNING, NULL, &f->err), ERR_CONFLICT);
    assert_string_equal(waiting(f, "records"), "1:requested 2:requested 1:superseded 2:planned");
}

static void history_is_given_once(void **state)
{
    struct fixture *f = *state;
    ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED);
    ended(f, "blog", commit_a, DEPLOYMENT_FAILED);
    request(f, "shop", commit_b);
    configure(f, &status_shop, NULL);
    configure(f, &status_shop, &records);
    assert_string_equal(waiting(f, "records"), "1:succeeded 2:failed 3:requested");
    assert_string_equal(waiting(f, "status shop"), "");
    OK(journal_set_state(f->journal, 3, DEPLOYMENT_PLANNED, NULL, &f->err));
    configure(f, &records, &status_shop);
    assert_string_equal(waiting(f, "records"), "1:succeeded 2:failed 3:requested 3:planned");
    assert_string_equal(waiting(f, "status shop"), "3:planned");
    struct receiver_config changed = records;
    changed.stacks = shop_only;
    configure(f, &changed, &status_shop);
    assert_string_equal(waiting(f, "records"), "1:succeeded 3:requested 3:planned");
    struct event e = deliver(f, "records");
    assert_int_equal(e.at_us, get(f, 1).finished_us);
    assert_string_equal(e.reason, "for a reason");
}

static void configuration_changes(void **state)
{
    struct fixture *f = *state;
    configure(f, &chat, &status_shop);
    ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    struct journal *other;
    OK(journal_open(f->path, JOURNAL_WRITE, &other, &f->err));
    const struct receiver_config same[] = {status_shop, chat};
    int64_t version = journal_data_version(f->journal);
    OK(outbox_configure(other, same, 2, &f->err));
    assert_int_equal(journal_data_version(f->journal), version); /* nothing was written */
    journal_close(other);

    /* what it wants changes, and so does what waits */
    struct receiver_config more = chat;
    more.states = NULL;
    configure(f, &more, &status_shop);
    ended(f, "blog", commit_a, DEPLOYMENT_SUCCEEDED);
    assert_string_equal(
        waiting(f, "notify chat"),
        "1:requested 1:planned 1:running 1:failed 2:requested 2:planned 2:running 2:succeeded");
    configure(f, &chat, &status_shop);
    assert_string_equal(waiting(f, "notify chat"), "1:failed");
    configure(f, &chat, NULL);
    assert_int_equal(event_rows(f), 1);
    FAILS(outbox_done(f->journal, "status shop", 1, NULL, &f->err), ERR_NOT_FOUND);
    configure(f, NULL, NULL);
    assert_int_equal(event_rows(f), 0);
}

static void failing(void **state)
{
    struct fixture *f = *state;
    struct receiver_config all = chat;
    all.states = NULL;
    configure(f, &all, &records);
    for (unsigned i = 0; i < 3; i++)
        request(f, i ? "shop" : "blog", commit_a);
    assert_int_equal(backlog(f, "notify chat"), 4);
    int64_t before = wall_us();
    secret_register("hunter22");
    OK(outbox_failed(f->journal, "notify chat", "refused\nhunter22", before + 7, &f->err));
    secret_forget_all();
    struct receiver r = receiver(f, "notify chat");
    assert_string_equal(r.error, "refused ***");
    assert_int_equal(r.attempts, 1);
    assert_int_equal(r.next_us, before + 7);
    assert_true(r.failing_since_us >= before && r.failing_since_us <= wall_us());
    /* one more than it may keep */
    assert_int_equal(r.dropped, 1);
    assert_string_equal(waiting(f, "notify chat"), "2:requested 3:requested 2:superseded");
    assert_int_equal(backlog(f, "records"), 4);

    int64_t since = r.failing_since_us;
    ended(f, "wiki", commit_b, DEPLOYMENT_HALTED);
    OK(outbox_failed(f->journal, "notify chat", "still", 0, &f->err));
    r = receiver(f, "notify chat");
    assert_int_equal(r.attempts, 2);
    assert_int_equal(r.failing_since_us, since);
    assert_int_equal(r.dropped, 5);
    assert_string_equal(waiting(f, "notify chat"), "4:planned 4:running 4:halted");

    deliver(f, "notify chat");
    r = receiver(f, "notify chat");
    assert_int_equal(r.attempts + r.next_us + r.failing_since_us + r.dropped, 0);
    assert_null(r.error);

    /* records lose nothing */
    OK(outbox_failed(f->journal, "records", "away", 0, &f->err));
    assert_int_equal(backlog(f, "records"), 8);
    assert_int_equal(receiver(f, "records").dropped, 0);
}

static void mended(void **state)
{
    struct fixture *f = *state;
    configure(f, &chat, &records);
    OK(outbox_failed(f->journal, "records", "away", wall_us() + 300 * US_PER_S, &f->err));
    assert_true(receiver(f, "records").next_us > 0);
    OK(outbox_try_now(f->journal, &f->err));
    struct receiver r = receiver(f, "records");
    assert_int_equal(r.next_us, 0);
    assert_int_equal(r.attempts, 1); /* nothing else is forgotten of it */
    assert_string_equal(r.error, "away");

    struct journal *other;
    OK(journal_open(f->path, JOURNAL_WRITE, &other, &f->err));
    int64_t version = journal_data_version(f->journal);
    OK(outbox_try_now(other, &f->err));
    assert_int_equal(journal_data_version(f->journal), version);
    journal_close(other);
}

static void too_old(void **state)
{
    struct fixture *f = *state;
    struct receiver_config brief = {.name = "notify brief", .keep = 100, .keep_us = 3600 * US_PER_S};
    configure(f, &brief, NULL);
    request(f, "shop", commit_a);
    OK(outbox_failed(f->journal, "notify brief", "away", 0, &f->err));
    assert_int_equal(backlog(f, "notify brief"), 1);
    brief.keep_us = 1;
    configure(f, &brief, NULL);
    request(f, "blog", commit_a);
    OK(outbox_failed(f->journal, "notify brief", "away", 0, &f->err));
    assert_string_equal(waiting(f, "notify brief"), "2:requested");
    assert_int_equal(receiver(f, "notify brief").dropped, 1);

    /* also by what this one is not told of */
    brief.stacks = shop_only;
    configure(f, &brief, NULL);
    request(f, "shop", commit_a); /* supersedes the first */
    assert_string_equal(waiting(f, "notify brief"), "3:requested 1:superseded");
    request(f, "blog", commit_b);
    OK(outbox_failed(f->journal, "notify brief", "away", 0, &f->err));
    assert_int_equal(backlog(f, "notify brief"), 0);
    assert_int_equal(receiver(f, "notify brief").dropped, 3);
}

/* A clock that is set ahead makes nothing old: all that waits would be lost for it. */
static void clock_set_ahead(void **state)
{
    struct fixture *f = *state;
    struct receiver_config brief = {.name = "notify brief", .keep = 100, .keep_us = 1};
    configure(f, &brief, NULL);
    request(f, "shop", commit_a);
    OK(outbox_failed(f->journal, "notify brief", "away", 0, &f->err));
    assert_string_equal(waiting(f, "notify brief"), "1:requested");
    assert_int_equal(receiver(f, "notify brief").dropped, 0);
}

static void never_back(void **state)
{
    struct fixture *f = *state;
    configure(f, &chat, &status_shop);
    ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    int64_t first = deliver(f, "status shop").id;
    int64_t second = deliver(f, "status shop").id;
    OK(outbox_done(f->journal, "status shop", first, NULL, &f->err)); /* a twin that was late */
    assert_int_equal(receiver(f, "status shop").position, second);
    assert_string_equal(waiting(f, "status shop"), "1:running 1:failed");
}

/* What nobody needs any more tells nothing of whether the receiver can be told. */
static void passed_over(void **state)
{
    struct fixture *f = *state;
    configure(f, &chat, NULL);
    ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    ended(f, "shop", commit_b, DEPLOYMENT_FAILED);
    OK(outbox_failed(f->journal, "notify chat", "away", wall_us() + 60 * US_PER_S, &f->err));
    struct receiver before = receiver(f, "notify chat");
    struct event *events;
    size_t n;
    OK(outbox_next(f->journal, &f->arena, "notify chat", 10, &events, &n, &f->err));
    assert_int_equal(n, 2);
    OK(outbox_pass(f->journal, "notify chat", events[0].id, &f->err));
    struct receiver after = receiver(f, "notify chat");
    assert_int_equal(after.position, events[0].id);
    assert_int_equal(after.attempts, 1);
    assert_int_equal(after.failing_since_us, before.failing_since_us);
    assert_int_equal(after.next_us, before.next_us);
    assert_string_equal(after.error, "away");
    /* nor is what it will never take delivered */
    OK(outbox_refused(f->journal, "notify chat", events[1].id, "400 no such channel", &f->err));
    after = receiver(f, "notify chat");
    assert_int_equal(backlog(f, "notify chat"), 0);
    assert_int_equal(after.dropped, 1);
    assert_true(after.failing_since_us > 0);
    assert_string_equal(after.error, "400 no such channel");
    ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    deliver(f, "notify chat");
    after = receiver(f, "notify chat");
    assert_true(!after.error && !after.dropped && !after.failing_since_us);
}

/* What one wants is not searched again and again in what another one cannot get. */
static void passing_by(void **state)
{
    struct fixture *f = *state;
    configure(f, &chat, &records);
    for (unsigned i = 0; i < 3; i++)
        request(f, "shop", commit_a);
    int64_t newest = receiver(f, "records").position;
    assert_int_equal(receiver(f, "notify chat").position, 0);
    OK(outbox_failed(f->journal, "records", "away", 0, &f->err));
    assert_int_equal(receiver(f, "records").position, newest);
    newest = receiver(f, "notify chat").position;
    assert_true(newest >= 5);
    assert_int_equal(backlog(f, "records"), 5);
    ended(f, "shop", commit_b, DEPLOYMENT_FAILED);
    OK(outbox_failed(f->journal, "records", "away", 0, &f->err));
    assert_int_equal(receiver(f, "notify chat").position, newest); /* something waits for it */
    assert_string_equal(waiting(f, "notify chat"), "4:failed");
}

static void told(void **state)
{
    struct fixture *f = *state;
    struct verdict v;
    configure(f, &chat, &status_shop);
    OK(outbox_told(f->journal, &f->arena, "notify chat", "shop", &v, &f->err));
    assert_null(v.commit);
    const struct verdict news[] = {{"shop", commit_a, "failed"}, {"shop", commit_b, "halted"}};
    OK(outbox_done(f->journal, "notify chat", 0, &news[0], &f->err));
    OK(outbox_done(f->journal, "notify chat", 0, &news[1], &f->err));
    OK(outbox_told(f->journal, &f->arena, "notify chat", "shop", &v, &f->err));
    assert_string_equal(v.commit, commit_b);
    assert_string_equal(v.state, "halted");
    OK(outbox_told(f->journal, &f->arena, "status shop", "shop", &v, &f->err));
    assert_null(v.commit);
    configure(f, &status_shop, NULL);
    configure(f, &status_shop, &chat); /* forgotten with the receiver */
    OK(outbox_told(f->journal, &f->arena, "notify chat", "shop", &v, &f->err));
    assert_null(v.commit);
}

static void stacks_have_events(void **state)
{
    static const char *const words[] = {"failed", "polls_stalled", "polls_recovered", NULL};
    struct fixture *f = *state;
    struct stack_state row;
    configure(f, &chat, &(struct receiver_config){.name = "notify ops", .states = words});
    OK(outbox_tell_polls(f->journal, "shop", false, "fine", &f->err)); /* nobody was told otherwise */
    OK(outbox_tell_polls(f->journal, "shop", true, "cannot be\nreached", &f->err));
    OK(outbox_tell_polls(f->journal, "shop", true, "cannot be reached still", &f->err));
    OK(journal_stack(f->journal, &f->arena, "shop", &row, &f->err));
    assert_true(row.polls_stalled);
    assert_string_equal(waiting(f, "notify chat"), "");
    assert_string_equal(waiting(f, "notify ops"), "0:polls_stalled");
    assert_string_equal(deliver(f, "notify ops").reason, "cannot be reached");
    OK(outbox_tell_polls(f->journal, "shop", false, "again", &f->err));
    OK(outbox_tell_polls(f->journal, "shop", false, "again", &f->err));
    assert_string_equal(waiting(f, "notify ops"), "0:polls_recovered");
    assert_string_equal(deliver(f, "notify ops").reason, "again");
    OK(journal_stack(f->journal, &f->arena, "shop", &row, &f->err));
    assert_false(row.polls_stalled);
    assert_int_equal(event_rows(f), 0);
}

/* In the transaction of the row: whoever dies afterwards has told it. */
static void alarms_are_events(void **state)
{
    static const char *const words[] = {"approval_needed", NULL};
    struct fixture *f = *state;
    configure(f, &chat, &(struct receiver_config){.name = "notify ops", .states = words});
    OK(journal_set_alarm(f->journal, "shop", "main was rewritten", commit_a, &f->err));
    OK(journal_set_alarm(f->journal, "shop", "main was rewritten", commit_a, &f->err));
    assert_string_equal(waiting(f, "notify ops"), "0:approval_needed");
    assert_string_equal(deliver(f, "notify ops").reason, "main was rewritten");
    OK(journal_set_alarm(f->journal, "shop", NULL, NULL, &f->err));
    assert_string_equal(waiting(f, "notify ops"), "");
    OK(journal_set_alarm(f->journal, "shop", "main was rewritten", commit_a, &f->err));
    OK(journal_set_alarm(f->journal, "shop", "b waits", commit_b, &f->err));
    assert_string_equal(waiting(f, "notify ops"), "0:approval_needed 0:approval_needed");
    OK(journal_approve(f->journal, "shop", commit_b, &f->err));
    assert_string_equal(deliver(f, "notify ops").reason, "main was rewritten");
    assert_string_equal(deliver(f, "notify ops").reason, "b waits");
    assert_int_equal(event_rows(f), 0);
}

static void verdicts_before(void **state)
{
    struct fixture *f = *state;
    struct verdict v;
    int64_t first = ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    ended(f, "blog", commit_b, DEPLOYMENT_HALTED);
    int64_t replaced = request(f, "shop", commit_b), last = request(f, "shop", commit_b); /* supersedes */
    OK(outbox_verdict_before(f->journal, &f->arena, "shop", first, &v, &f->err));
    assert_null(v.commit);
    OK(outbox_verdict_before(f->journal, &f->arena, "shop", last, &v, &f->err));
    assert_string_equal(v.commit, commit_a);
    assert_string_equal(v.state, "failed");
    assert_int_equal(get(f, replaced).state, DEPLOYMENT_SUPERSEDED);
}

static void pauses(void **state)
{
    (void)state;
    static const struct {
        unsigned attempts;
        int64_t most_s;
    } cases[] = {{0, 1}, {1, 2}, {5, 32}, {8, 256}, {9, 300}, {10, 300}, {UINT32_MAX, 300}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned k = 0; k < 50; k++) {
            int64_t us = outbox_retry_us(cases[i].attempts), most = cases[i].most_s * US_PER_S;
            assert_true(us <= most && us > most - most / 5 - 1);
        }
}

static void one_of_them(void **state)
{
    struct fixture *f = *state;
    struct receiver r;
    bool found = true;
    configure(f, &chat, NULL);
    OK(outbox_receiver(f->journal, &f->arena, "notify none", &r, &found, &f->err));
    assert_false(found);
    OK(outbox_receiver(f->journal, &f->arena, "notify chat", &r, &found, &f->err));
    assert_true(found);
    assert_string_equal(r.name, "notify chat");
}

/* What is still to be told of is not forgotten. */
static void trimming(void **state)
{
    struct fixture *f = *state;
    configure(f, &records, NULL);
    for (unsigned i = 0; i < 3; i++)
        ended(f, "shop", commit_a, DEPLOYMENT_FAILED);
    OK(journal_trim(f->journal, 1, &f->err));
    get(f, 1);
    for (unsigned i = 0; i < 4; i++)
        deliver(f, "records");
    OK(journal_trim(f->journal, 1, &f->err));
    struct deployment d;
    bool found = true;
    OK(journal_deployment(f->journal, &f->arena, 1, &d, &found, &f->err));
    assert_false(found);
    get(f, 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(nobody_is_told),
        TEST(each_gets_its_own),
        TEST(changes_that_are_none),
        TEST(history_is_given_once),
        TEST(configuration_changes),
        TEST(failing),
        TEST(too_old),
        TEST(clock_set_ahead),
        TEST(never_back),
        TEST(told),
        TEST(stacks_have_events),
        TEST(alarms_are_events),
        TEST(trimming),
        TEST(pauses),
        TEST(mended),
        TEST(passing_by),
        TEST(passed_over),
        TEST(verdicts_before),
        TEST(one_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

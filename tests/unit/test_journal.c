/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

#include <sys/syscall.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_free)

/* ---- the disk ---- */

/* In the place of libc's, for SQLite, too. */
static unsigned syncs;

int fsync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

/* What a function has returned from is on the disk: a power cut cannot take it back. */
static void waits_for_the_disk(void **state)
{
    struct fixture *f = *state;
    unsigned before = syncs;
    int64_t id = request(f, "shop", commit_a);
    assert_true(syncs > before);
    before = syncs;
    OK(journal_set_state(f->journal, id, DEPLOYMENT_PLANNED, NULL, &f->err));
    assert_true(syncs > before);
}

/* ---- deployments ---- */

static void requested(void **state)
{
    struct fixture *f = *state;
    int64_t before = wall_us();
    struct deployment_request r = {.stack = "shop",
                                   .commit = commit_a,
                                   .branch = "main",
                                   .subject = "Add\033[31m\nit",
                                   .author = "al\xff"
                                             "ice",
                                   .requested_by = "uid 1000",
                                   .trigger = TRIGGER_RETRY,
                                   .target_id = 7};
    int64_t id;
    OK(journal_request(f->journal, &r, &id, &f->err));
    struct deployment d = get(f, id);
    assert_int_equal(d.id, 1);
    assert_string_equal(d.stack, "shop");
    assert_int_equal(d.state, DEPLOYMENT_REQUESTED);
    assert_string_equal(d.commit, commit_a);
    assert_string_equal(d.branch, "main");
    assert_string_equal(d.subject, "Add[31m it"); /* cleaned */
    assert_string_equal(d.author, "al\xef\xbf\xbdice");
    assert_string_equal(d.requested_by, "uid 1000");
    assert_int_equal(d.trigger, TRIGGER_RETRY);
    assert_int_equal(d.target_id, 7);
    assert_null(d.reason);
    assert_null(d.plan);
    assert_true(d.requested_us >= before && d.requested_us <= wall_us());
    assert_int_equal(d.started_us, 0);
    assert_int_equal(d.finished_us, 0);
    bool found = true;
    OK(journal_deployment(f->journal, &f->arena, 99, &d, &found, &f->err));
    assert_false(found);
}

static void superseding(void **state)
{
    struct fixture *f = *state;
    int64_t running = request(f, "shop", commit_a), other = request(f, "blog", commit_a);
    OK(journal_set_state(f->journal, running, DEPLOYMENT_PLANNED, NULL, &f->err));
    OK(journal_set_state(f->journal, running, DEPLOYMENT_RUNNING, NULL, &f->err));
    int64_t waiting = request(f, "shop", commit_a), newest = request(f, "shop", commit_b);
    assert_int_equal(get(f, running).state, DEPLOYMENT_RUNNING);
    assert_int_equal(get(f, other).state, DEPLOYMENT_REQUESTED);
    assert_int_equal(get(f, newest).state, DEPLOYMENT_REQUESTED);
    struct deployment d = get(f, waiting);
    assert_int_equal(d.state, DEPLOYMENT_SUPERSEDED);
    assert_string_equal(d.reason, "by #4");
    assert_true(d.finished_us >= d.requested_us);

    int64_t next = 0;
    OK(journal_runnable(f->journal, "shop", &next, &f->err));
    assert_int_equal(next, running); /* unfinished first */
    OK(journal_set_state(f->journal, running, DEPLOYMENT_SUCCEEDED, "4 services", &f->err));
    OK(journal_runnable(f->journal, "shop", &next, &f->err));
    assert_int_equal(next, newest);
    OK(journal_runnable(f->journal, "none", &next, &f->err));
    assert_int_equal(next, 0);
}

static void states(void **state)
{
    struct fixture *f = *state;
    int64_t id = request(f, "shop", commit_a);
    FAILS(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err), ERR_CONFLICT);
    OK(journal_set_state(f->journal, id, DEPLOYMENT_PLANNED, NULL, &f->err));
    int64_t started = get(f, id).started_us;
    assert_true(started > 0);
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_INTERRUPTED, "stopped", &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_INTERRUPTED, "again", &f->err)); /* what it is already */
    assert_string_equal(get(f, id).reason, "stopped");
    OK(journal_set_reason(f->journal, id, "worker killed", &f->err));
    assert_string_equal(get(f, id).reason, "worker killed");
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err)); /* what it is already */
    assert_int_equal(get(f, id).started_us, started);
    assert_int_equal(get(f, id).finished_us, 0);
    secret_register("hunter22");
    OK(journal_set_state(f->journal, id, DEPLOYMENT_HALTED, "web: hunter22\nrefused", &f->err));
    secret_forget_all();
    struct deployment d = get(f, id);
    assert_string_equal(d.reason, "web: *** refused");
    assert_true(d.finished_us >= started);
    FAILS(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err), ERR_CONFLICT);
    FAILS(journal_set_state(f->journal, id, DEPLOYMENT_HALTED, NULL, &f->err), ERR_CONFLICT);
    FAILS(journal_set_state(f->journal, 99, DEPLOYMENT_PLANNED, NULL, &f->err), ERR_NOT_FOUND);
}

static void cancelling_and_resuming(void **state)
{
    struct fixture *f = *state;
    int64_t id = request(f, "shop", commit_a);
    unsigned resumes = 0;
    struct step step = {.seq = 1, .kind = "images", .name = "images"};
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){.steps = &step, .n_steps = 1}, &f->err));
    OK(journal_count_resume(f->journal, id, &resumes, &f->err));
    OK(journal_count_resume(f->journal, id, &resumes, &f->err));
    assert_int_equal(resumes, 2);
    assert_int_equal(get(f, id).resumes, 2);
    OK(journal_step_begin(f->journal, id, 1, NULL, &f->err));
    OK(journal_step_end(f->journal, id, 1, STEP_DONE, NULL, &f->err)); /* progress */
    assert_int_equal(get(f, id).resumes, 0);
    /* and so is a file that was applied, once */
    struct migration_record file = {"schema", "018", "x", "running", NULL, -1, -1};
    for (unsigned i = 0; i < 3; i++) {
        OK(journal_count_resume(f->journal, id, &resumes, &f->err));
        OK(journal_put_migrations(f->journal, id, &file, 1, &f->err));
        assert_int_equal(get(f, id).resumes, i == 1 ? 0 : 1);
        file.state = "applied";
    }
    FAILS(journal_count_resume(f->journal, 99, &resumes, &f->err), ERR_NOT_FOUND);

    assert_false(get(f, id).cancel_requested);
    OK(journal_request_cancel(f->journal, id, &f->err));
    assert_true(get(f, id).cancel_requested);
    FAILS(journal_request_cancel(f->journal, 99, &f->err), ERR_NOT_FOUND);
    OK(journal_set_state(f->journal, id, DEPLOYMENT_CANCELLED, NULL, &f->err));
    FAILS(journal_request_cancel(f->journal, id, &f->err), ERR_CONFLICT);
}

static void listing(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 6; i++)
        ended(f, i % 2 ? "blog" : "shop", commit_a, i < 4 ? DEPLOYMENT_SUCCEEDED : DEPLOYMENT_FAILED);
    static const enum deployment_state failed = DEPLOYMENT_FAILED;
    static const struct {
        struct deployment_filter filter;
        const char *ids;
    } cases[] = {
        {{0}, "6 5 4 3 2 1"},          {{.limit = 2}, "6 5"},
        {{.stack = "shop"}, "5 3 1"},  {{.stack = "shop", .limit = 1}, "5"},
        {{.state = &failed}, "6 5"},   {{.stack = "blog", .state = &failed}, "6"},
        {{.after_id = 4}, "5 6"},      {{.after_id = 1, .stack = "blog", .limit = 2}, "2 4"},
        {{.stack = "none"}, ""},       {{.since_us = 1}, "6 5 4 3 2 1"},
        {{.since_us = INT64_MAX}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct deployment *rows;
        size_t n;
        struct str ids = {0};
        OK(journal_deployments(f->journal, &f->arena, &cases[i].filter, &rows, &n, &f->err));
        for (size_t k = 0; k < n; k++)
            str_printf(&ids, "%s%d", k ? " " : "", (int)rows[k].id);
        assert_string_equal(str_text(&ids), cases[i].ids);
        str_release(&ids);
    }
    struct deployment last;
    OK(journal_last(f->journal, &f->arena, "shop", DEPLOYMENT_SUCCEEDED, &last, &f->err));
    assert_int_equal(last.id, 3);
    OK(journal_last(f->journal, &f->arena, "shop", DEPLOYMENT_HALTED, &last, &f->err));
    assert_int_equal(last.id, 0);
}

/* ---- plans and their rows ---- */

static void plans(void **state)
{
    struct fixture *f = *state;
    int64_t id = request(f, "shop", commit_a);
    const struct step steps[] = {
        {.seq = 1, .kind = "run", .name = "django", .params = "{\"a\":1}", .fingerprint = "f1"},
        {.seq = 2, .kind = "roll", .name = "web"},
    };
    const struct service_record services[] = {
        {"web", "shop_web", "update", "pending", NULL, "{\"old\":1}", NULL},
        {"worker", "shop_worker", "create", "pending", "unverified", NULL, NULL},
    };
    const struct image_record images[] = {{"web", "web:1", "sha256:aa"}, {"worker", "web:1", NULL}};
    const struct migration_record migrations[] = {
        {"django", "9f3c1ab0c4d5", "uv run manage.py migrate", "pending", NULL, -1, -1}};
    const struct plan_rows rows = {.plan = "{\"plan\":true}",
                                   .env_hash = "e1",
                                   .warnings = "[\"careful\"]",
                                   .base_id = 40,
                                   .steps = steps,
                                   .n_steps = 2,
                                   .services = services,
                                   .n_services = 2,
                                   .images = images,
                                   .n_images = 2,
                                   .migrations = migrations,
                                   .n_migrations = 1};
    OK(journal_save_plan(f->journal, id, &rows, &f->err));
    OK(journal_save_plan(f->journal, id, &rows, &f->err)); /* again: replaces */

    struct deployment d = get(f, id);
    assert_int_equal(d.state, DEPLOYMENT_PLANNED);
    assert_string_equal(d.plan, "{\"plan\":true}");
    assert_string_equal(d.env_hash, "e1");
    assert_string_equal(d.warnings, "[\"careful\"]");
    assert_int_equal(d.base_id, 40);

    struct step *s;
    struct service_record *v;
    struct image_record *im;
    struct migration_record *m;
    size_t n;
    OK(journal_steps(f->journal, &f->arena, id, &s, &n, &f->err));
    assert_int_equal(n, 2);
    assert_int_equal(s[0].seq, 1);
    assert_string_equal(s[0].kind, "run");
    assert_string_equal(s[0].name, "django");
    assert_string_equal(s[0].params, "{\"a\":1}");
    assert_string_equal(s[0].fingerprint, "f1");
    assert_int_equal(s[0].state, STEP_PENDING);
    assert_null(s[0].progress);

    OK(journal_set_service(f->journal, id, "web", "healthy", NULL, NULL, "{\"new\":1}", &f->err));
    OK(journal_set_service(f->journal, id, "worker", NULL, "no check", NULL, NULL, &f->err));
    FAILS(journal_set_service(f->journal, id, "nobody", "healthy", NULL, NULL, NULL, &f->err), ERR_NOT_FOUND);
    OK(journal_services(f->journal, &f->arena, id, &v, &n, &f->err));
    assert_int_equal(n, 2);
    assert_string_equal(v[0].service, "web");
    assert_string_equal(v[0].name, "shop_web");
    assert_string_equal(v[0].state, "healthy");
    assert_string_equal(v[0].before, "{\"old\":1}");
    assert_string_equal(v[0].after, "{\"new\":1}");
    assert_string_equal(v[1].state, "pending");
    assert_string_equal(v[1].note, "no check");
    assert_null(v[1].before);
    OK(journal_service_states(f->journal, &f->arena, id, &v, &n, &f->err));
    assert_int_equal(n, 2);
    assert_null(v[0].before);

    OK(journal_images(f->journal, &f->arena, id, &im, &n, &f->err));
    assert_int_equal(n, 2);
    assert_string_equal(im[0].digest, "sha256:aa");
    assert_null(im[1].digest);

    OK(journal_set_migration(f->journal, id, "django", "9f3c1ab0c4d5", "applied", &f->err));
    FAILS(journal_set_migration(f->journal, id, "django", "x", "applied", &f->err), ERR_NOT_FOUND);
    OK(journal_migrations(f->journal, &f->arena, id, &m, &n, &f->err));
    assert_int_equal(n, 1);
    assert_string_equal(m[0].state, "applied");

    /* files of sql steps: those of the plan are found again, others are added */
    const struct migration_record files[] = {{"tenants", "018", "add x", "running", "acme", 7, -1},
                                             {"tenants", "018", "add x", "pending", "zoo", -1, -1},
                                             {"tenants", "018", "add x", "applied", "acme", 900, 3}};
    OK(journal_put_migrations(f->journal, id, files, 3, &f->err));
    OK(journal_settle_migrations(f->journal, id, "django", "skipped", &f->err)); /* none is pending */
    OK(journal_migrations(f->journal, &f->arena, id, &m, &n, &f->err));
    assert_int_equal(n, 3);
    assert_null(m[0].schema);
    assert_int_equal(m[0].took_us, -1);
    assert_string_equal(m[1].schema, "acme");
    assert_string_equal(m[1].state, "applied");
    assert_int_equal(m[1].took_us, 900);
    assert_int_equal(m[1].rows, 3);
    assert_string_equal(m[2].schema, "zoo");
    assert_string_equal(m[2].state, "pending");
    OK(journal_settle_migrations(f->journal, id, NULL, "not run", &f->err));
    OK(journal_migrations(f->journal, &f->arena, id, &m, &n, &f->err));
    assert_string_equal(m[1].state, "applied");
    assert_string_equal(m[2].state, "not run");

    struct schema_record *schemas;
    OK(journal_put_schema(f->journal, id, &(struct schema_record){"schema", NULL, "016", "017"}, &f->err));
    OK(journal_put_schema(f->journal, id, &(struct schema_record){"schema", NULL, "017", "018"}, &f->err));
    OK(journal_put_schema(f->journal, id, &(struct schema_record){"tenants", "acme", "", "1"}, &f->err));
    OK(journal_schemas(f->journal, &f->arena, id, &schemas, &n, &f->err));
    assert_int_equal(n, 2);
    assert_null(schemas[0].schema);
    assert_string_equal(schemas[0].before, "016");
    assert_string_equal(schemas[0].after, "018");
    assert_string_equal(schemas[1].schema, "acme");

    /* once a step has begun, its plan is history */
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_save_plan(f->journal, id, &rows, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_step_begin(f->journal, id, 1, "{\"job\":\"x\"}", &f->err));
    FAILS(journal_save_plan(f->journal, id, &rows, &f->err), ERR_CONFLICT);
    FAILS(journal_save_plan(f->journal, 99, &rows, &f->err), ERR_NOT_FOUND);
}

/* A plan that cannot be stored whole leaves nothing. */
static void plans_are_whole(void **state)
{
    struct fixture *f = *state;
    int64_t id = request(f, "shop", commit_a);
    const struct step steps[] = {{.seq = 1, .kind = "run", .name = "a"},
                                 {.seq = 1, .kind = "run", .name = "twin"}};
    FAILS(journal_save_plan(f->journal, id, &(struct plan_rows){.plan = "{}", .steps = steps, .n_steps = 2},
                            &f->err),
          ERR_INTERNAL);
    assert_int_equal(get(f, id).state, DEPLOYMENT_REQUESTED);
    assert_null(get(f, id).plan);
    struct step *s;
    size_t n = 9;
    OK(journal_steps(f->journal, &f->arena, id, &s, &n, &f->err));
    assert_int_equal(n, 0);
}

static int64_t with_step(struct fixture *f)
{
    int64_t id = request(f, "shop", commit_a);
    struct step step = {.seq = 1, .kind = "run", .name = "django"};
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){.steps = &step, .n_steps = 1}, &f->err));
    return id;
}

static void steps(void **state)
{
    struct fixture *f = *state;
    int64_t id = with_step(f);
    struct step *s;
    size_t n;
    OK(journal_step_begin(f->journal, id, 1, "{\"job\":\"x\"}", &f->err));
    OK(journal_step_begin(f->journal, id, 1, NULL, &f->err)); /* resumed: progress stays */
    OK(journal_steps(f->journal, &f->arena, id, &s, &n, &f->err));
    assert_int_equal(s[0].state, STEP_RUNNING);
    assert_string_equal(s[0].progress, "{\"job\":\"x\"}");
    assert_true(s[0].started_us > 0);
    OK(journal_step_progress(f->journal, id, 1, "{\"job\":\"y\"}", &f->err));
    OK(journal_step_end(f->journal, id, 1, STEP_FAILED, "exit 1\nsecond line\033[m", &f->err));
    OK(journal_steps(f->journal, &f->arena, id, &s, &n, &f->err));
    assert_int_equal(s[0].state, STEP_FAILED);
    assert_string_equal(s[0].progress, "{\"job\":\"y\"}");
    assert_string_equal(s[0].error, "exit 1\nsecond line[m");
    assert_true(s[0].finished_us >= s[0].started_us);
    FAILS(journal_step_begin(f->journal, id, 1, NULL, &f->err), ERR_NOT_FOUND); /* ended */
    FAILS(journal_step_end(f->journal, id, 7, STEP_DONE, NULL, &f->err), ERR_NOT_FOUND);
    FAILS(journal_step_progress(f->journal, 7, 1, "{}", &f->err), ERR_NOT_FOUND);
    OK(journal_step_end(f->journal, id, 1, STEP_UNDONE, NULL, &f->err)); /* put back later: the error stays */
    OK(journal_steps(f->journal, &f->arena, id, &s, &n, &f->err));
    assert_int_equal(s[0].state, STEP_UNDONE);
    assert_non_null(s[0].error);
}

/* ---- output ---- */

static const char *output_of(struct fixture *f, int64_t id)
{
    const char *output;
    OK(journal_step_output(f->journal, &f->arena, id, 1, &output, &f->err));
    return output;
}

static void append(struct fixture *f, int64_t id, const char *text)
{
    OK(journal_step_append_output(f->journal, id, 1, text, strlen(text), &f->err));
}

static void output_small(void **state)
{
    struct fixture *f = *state;
    int64_t id = with_step(f);
    assert_null(output_of(f, id));
    append(f, id, "one\n");
    append(f, id, "");
    append(f, id, "two \xc3"); /* a character cut by the pipe */
    append(f, id, "\xa4\033[0m\n");
    secret_register("hunter22");
    append(f, id, "password=hunter22\n");
    secret_forget_all();
    OK(journal_step_append_output(f->journal, id, 1, "a\0b\n", 4, &f->err));
    assert_string_equal(output_of(f, id), "one\ntwo \xc3\xa4[0m\npassword=***\na b\n");
    FAILS(journal_step_append_output(f->journal, id, 9, "x", 1, &f->err), ERR_NOT_FOUND);
}

static void output_at_the_cap(void **state)
{
    struct fixture *f = *state;
    int64_t id = with_step(f);
    char *line = malloc(1001);
    memset(line, 'x', 999);
    memcpy(line + 999, "\n", 2);
    for (unsigned i = 0; i < 1000; i++)
        append(f, id, line);
    const char *output = output_of(f, id);
    assert_int_equal(strlen(output), 1000000); /* nothing left out below the cap */
    assert_null(strstr(output, "left out"));
    for (unsigned i = 0; i < 200; i++)
        append(f, id, line);
    append(f, id, "the end\n");
    output = output_of(f, id);
    assert_true(strlen(output) <= 1 << 20);
    assert_true(strlen(output) > 1000000);
    assert_non_null(strstr(output, "bytes are left out here"));
    assert_true(str_ends(output, "the end\n"));
    free(line);
}

static void output_of_one_huge_piece(void **state)
{
    struct fixture *f = *state;
    int64_t id = with_step(f);
    size_t size = 5 << 20;
    char *big = malloc(size);
    memset(big, 'm', size);
    memcpy(big, "head", 4);
    memcpy(big + size - 4, "tail", 4);
    OK(journal_step_append_output(f->journal, id, 1, big, size, &f->err));
    free(big);
    const char *output = output_of(f, id);
    assert_true(strlen(output) <= 1 << 20);
    assert_true(str_starts(output, "headm"));
    assert_true(str_ends(output, "mtail"));
    assert_non_null(strstr(output, "[… "));
}

/* 100 MB in pieces of 64 KiB; invalid bytes, which grow when cleaned, do not lift the cap. */
static void output_flood(void **state)
{
    struct fixture *f = *state;
    int64_t id = with_step(f);
    enum { PIECE = 64 << 10, PIECES = 1600 };
    char *piece = malloc(PIECE);
    append(f, id, "first\n");
    int64_t started = mono_us();
    for (unsigned i = 0; i < PIECES; i++) {
        memset(piece, i % 2 ? 'x' : '\xff', PIECE);
        OK(journal_step_append_output(f->journal, id, 1, piece, PIECE, &f->err));
    }
    int64_t took = mono_us() - started;
    append(f, id, "last\n");
    free(piece);
    const char *output = output_of(f, id);
    assert_true(strlen(output) <= 1 << 20);
    assert_true(str_starts(output, "first\n"));
    assert_true(str_ends(output, "last\n"));
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    print_message("100 MB of output in %d ms, the file has %d KiB\n", (int)(took / 1000),
                  (int)(st.st_size / 1024));
    assert_true(st.st_size < 8 << 20);
}

/* ---- stack rows ---- */

static struct stack_state stack(struct fixture *f, const char *name)
{
    struct stack_state s;
    OK(journal_stack(f->journal, &f->arena, name, &s, &f->err));
    return s;
}

static void stack_polls(void **state)
{
    struct fixture *f = *state;
    struct stack_state s = stack(f, "shop");
    assert_string_equal(s.stack, "shop");
    assert_null(s.tip);
    assert_int_equal(s.held_id, 0);

    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    s = stack(f, "shop");
    assert_string_equal(s.tip, commit_a);
    int64_t seen = s.tip_seen_us;
    assert_true(seen > 0);

    bool first = false;
    OK(journal_set_poll_error(f->journal, "shop", "no route\033", &first, &f->err));
    assert_true(first);
    s = stack(f, "shop");
    assert_string_equal(s.poll_error, "no route");
    int64_t since = s.poll_failing_since_us;
    assert_true(since > 0);
    OK(journal_set_poll_error(f->journal, "shop", "no route", &first, &f->err));
    assert_false(first);
    OK(journal_set_poll_error(f->journal, "shop", "401", &first, &f->err));
    assert_false(first);
    s = stack(f, "shop");
    assert_string_equal(s.poll_error, "401");
    assert_int_equal(s.poll_failing_since_us, since);
    OK(journal_set_poll_error(f->journal, "shop", NULL, &first, &f->err));
    assert_true(first); /* recovered */
    OK(journal_set_poll_error(f->journal, "shop", NULL, &first, &f->err));
    assert_false(first);

    OK(journal_set_poll_error(f->journal, "shop", "again", &first, &f->err));
    OK(journal_set_tip(f->journal, "shop", commit_a,
                       &f->err)); /* clears the error, keeps the time it was seen first */
    s = stack(f, "shop");
    assert_null(s.poll_error);
    assert_int_equal(s.poll_failures, 0);
    assert_int_equal(s.tip_seen_us, seen);
    OK(journal_set_tip(f->journal, "shop", commit_b, &f->err));
    assert_true(stack(f, "shop").tip_seen_us >= seen);
}

/* A poll without news commits nothing: another connection sees no change. */
static void quiet_polls_write_nothing(void **state)
{
    struct fixture *f = *state;
    struct journal *other = NULL;
    bool first, news;
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    OK(journal_set_waiting(f->journal, "shop", "the image", &f->err));
    OK(journal_set_drift(f->journal, "shop", "{}", &news, &f->err));
    OK(journal_set_alarm(f->journal, "shop", "main was rewritten", commit_b, &f->err));
    OK(journal_open(f->path, JOURNAL_READ, &other, &f->err));
    int64_t version = journal_data_version(other);
    assert_true(version >= 0);
    for (unsigned i = 0; i < 100; i++) {
        OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
        OK(journal_set_poll_error(f->journal, "shop", NULL, &first, &f->err));
        OK(journal_set_waiting(f->journal, "shop", "the image", &f->err));
        OK(journal_set_drift(f->journal, "shop", "{}", &news, &f->err));
        assert_false(news);
        OK(journal_set_alarm(f->journal, "shop", "main was rewritten", commit_b, &f->err));
    }
    assert_int_equal(journal_data_version(other), version);
    OK(journal_set_poll_error(f->journal, "shop", "down", &first, &f->err));
    assert_int_not_equal(journal_data_version(other), version);
    version = journal_data_version(other);
    for (unsigned i = 0; i < 100; i++)
        OK(journal_set_poll_error(f->journal, "shop", "down", &first, &f->err));
    assert_int_equal(journal_data_version(other), version);
    journal_close(other);
}

static void drift_of_a_stack(void **state)
{
    struct fixture *f = *state;
    bool news;
    OK(journal_set_drift(f->journal, "shop", NULL, &news, &f->err));
    assert_false(news);
    OK(journal_set_drift(f->journal, "shop", "{\"a\":1}", &news, &f->err));
    assert_true(news);
    int64_t since = stack(f, "shop").drift_since_us;
    assert_true(since > 0);
    OK(journal_set_drift(f->journal, "shop", "{\"a\":2}", &news, &f->err));
    assert_true(news);
    assert_string_equal(stack(f, "shop").drift, "{\"a\":2}");
    assert_int_equal(stack(f, "shop").drift_since_us, since);
    OK(journal_set_drift(f->journal, "shop", NULL, &news, &f->err));
    assert_true(news);
    assert_null(stack(f, "shop").drift);
    assert_int_equal(stack(f, "shop").drift_since_us, 0);
}

/* What was decided from an older record is not requested any more. */
static void request_after_the_newest(void **state)
{
    struct fixture *f = *state;
    int64_t first = ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED), id = 0;
    ended(f, "blog", commit_a, DEPLOYMENT_SUCCEEDED);
    struct deployment_request r = {
        .stack = "shop", .commit = commit_a, .branch = "main", .trigger = TRIGGER_DRIFT, .newest_id = first};
    OK(journal_request(f->journal, &r, &id, &f->err));
    assert_true(id > first);
    int64_t refused = 0;
    assert_int_equal(journal_request(f->journal, &r, &refused, &f->err), -1);
    assert_int_equal(f->err.kind, ERR_CONFLICT);
    assert_int_equal(refused, 0);
    struct deployment d;
    bool found;
    OK(journal_deployment(f->journal, &f->arena, id, &d, &found, &f->err));
    assert_int_equal(d.state, DEPLOYMENT_REQUESTED);
}

/* A rollback and its hold: both, or neither. */
static void request_with_a_hold(void **state)
{
    struct fixture *f = *state;
    int64_t first = ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED), id = 0;
    struct deployment_request r = {.stack = "shop",
                                   .commit = commit_a,
                                   .branch = "main",
                                   .trigger = TRIGGER_ROLLBACK,
                                   .target_id = first,
                                   .newest_id = first + 1,
                                   .hold_absolute = true};
    FAILS(journal_request(f->journal, &r, &id, &f->err), ERR_CONFLICT);
    assert_false(stack(f, "shop").hold_absolute);
    r.newest_id = 0;
#ifdef AGENT_FAULTS
    setenv("FAULTS", "journal.commit:errno=28", 1);
    FAILS(journal_request(f->journal, &r, &id, &f->err), ERR_UNAVAILABLE);
    unsetenv("FAULTS");
    assert_false(stack(f, "shop").hold_absolute);
#endif
    assert_int_equal(id, 0);
    OK(journal_request(f->journal, &r, &id, &f->err));
    assert_true(stack(f, "shop").hold_absolute);
    assert_int_equal(get(f, id).state, DEPLOYMENT_REQUESTED);
    request(f, "shop", commit_b); /* says nothing of it: as it was */
    assert_true(stack(f, "shop").hold_absolute);
    request(f, "blog", commit_a);
    assert_false(stack(f, "blog").hold_absolute);
}

static void stack_waits_and_alarms(void **state)
{
    struct fixture *f = *state;
    OK(journal_set_waiting(f->journal, "shop", "image web:1", &f->err));
    assert_string_equal(stack(f, "shop").waiting, "image web:1");
    assert_true(stack(f, "shop").waiting_since_us > 0);
    OK(journal_set_waiting(f->journal, "shop", NULL, &f->err));
    assert_null(stack(f, "shop").waiting);
    assert_int_equal(stack(f, "shop").waiting_since_us, 0);

    OK(journal_set_alarm(f->journal, "shop", "main was rewritten", commit_b, &f->err));
    assert_string_equal(stack(f, "shop").alarm_commit, commit_b);
    OK(journal_approve(f->journal, "shop", commit_b, &f->err));
    struct stack_state s = stack(f, "shop");
    assert_null(s.alarm);
    assert_null(s.alarm_commit);
    assert_string_equal(s.approved, commit_b);
    ended(f, "shop", commit_b, DEPLOYMENT_FAILED);
    ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED);
    assert_string_equal(stack(f, "shop").approved, commit_b);
    ended(f, "shop", commit_b, DEPLOYMENT_SUCCEEDED); /* for once */
    assert_null(stack(f, "shop").approved);

    int64_t until = wall_us() + 60 * US_PER_S;
    OK(journal_pause(f->journal, "shop", true, "release\nday", until, &f->err));
    s = stack(f, "shop");
    assert_true(s.paused);
    assert_string_equal(s.pause_reason, "release day");
    assert_int_equal(s.paused_until_us, until);
    assert_true(s.paused_since_us > 0);
    OK(journal_pause(f->journal, "shop", false, NULL, 0, &f->err));
    s = stack(f, "shop");
    assert_false(s.paused);
    assert_null(s.pause_reason);
    assert_int_equal(s.paused_since_us, 0);

    OK(journal_set_hold_absolute(f->journal, "shop", true, &f->err));
    assert_true(stack(f, "shop").hold_absolute);
    OK(journal_set_hold_absolute(f->journal, "shop", false, &f->err));
    assert_false(stack(f, "shop").hold_absolute);

    ended(f, "blog", commit_a, DEPLOYMENT_SUCCEEDED);
    char **names;
    size_t n;
    OK(journal_stacks(f->journal, &f->arena, &names, &n, &f->err));
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "blog");
    assert_string_equal(names[1], "shop");
    assert_null(names[2]);
}

static void holding(void **state)
{
    struct fixture *f = *state;
    ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED);
    assert_int_equal(stack(f, "shop").held_id, 0);
    int64_t bad = ended(f, "shop", commit_b, DEPLOYMENT_ROLLED_BACK);
    assert_int_equal(stack(f, "shop").held_id, bad);
    assert_int_equal(stack(f, "blog").held_id, 0);
    request(f, "shop", commit_a);
    assert_int_equal(stack(f, "shop").held_id, bad); /* not over before another end */
    struct deployment_request retry = {
        .stack = "shop", .commit = commit_b, .trigger = TRIGGER_RETRY, .target_id = bad};
    int64_t id;
    OK(journal_request(f->journal, &retry, &id, &f->err)); /* supersedes the other request */
    assert_int_equal(stack(f, "shop").held_id, 0);
    int64_t newer = request(f, "shop", commit_a); /* supersedes the retry */
    assert_int_equal(stack(f, "shop").held_id, bad);
    OK(journal_set_state(f->journal, newer, DEPLOYMENT_SUCCEEDED, "no change", &f->err));
    assert_int_equal(stack(f, "shop").held_id, 0);
}

/* ---- identity, audit, trim ---- */

static void identity(void **state)
{
    struct fixture *f = *state;
    const char *host, *salt, *again_host, *again_salt;
    OK(journal_identity(f->journal, &f->arena, &host, &salt, &f->err));
    assert_int_equal(strlen(host), 16);
    assert_int_equal(strlen(salt), 64);
    OK(journal_audit(f->journal, 1000, 42, "pause", "{\"reason\":\"x\"}", &f->err));
    journal_close(f->journal);
    f->journal = NULL;
    OK(journal_open(f->path, JOURNAL_CHECK, &f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    OK(journal_identity(f->journal, &f->arena, &again_host, &again_salt, &f->err));
    assert_string_equal(host, again_host);
    assert_string_equal(salt, again_salt);
}

static size_t count(struct fixture *f, const char *name)
{
    struct deployment *rows;
    size_t n;
    OK(journal_deployments(f->journal, &f->arena, &(struct deployment_filter){.stack = name}, &rows, &n,
                           &f->err));
    return n;
}

static int64_t unchanged(struct fixture *f, const char *stack)
{
    int64_t id = request(f, stack, commit_a);
    OK(journal_set_state(f->journal, id, DEPLOYMENT_SUCCEEDED, "no change", &f->err));
    return id;
}

static void approver(void **state)
{
    struct fixture *f = *state;
    const char *who, *what = arena_printf(&f->arena, "shop %s", commit_a);
    OK(journal_approver(f->journal, &f->arena, "shop", commit_a, &who, &f->err));
    assert_null(who);
    OK(journal_audit(f->journal, 1000, 42, "approve", what, &f->err)); /* asked, not done */
    OK(journal_approver(f->journal, &f->arena, "shop", commit_a, &who, &f->err));
    assert_null(who);
    OK(journal_audit(f->journal, 1000, 42, "approved", what, &f->err));
    OK(journal_audit(f->journal, 1001, 42, "approved", what, &f->err));
    OK(journal_approver(f->journal, &f->arena, "shop", commit_a, &who, &f->err));
    assert_string_equal(who, "uid 1001");
    OK(journal_approver(f->journal, &f->arena, "shop", commit_b, &who, &f->err));
    assert_null(who);
    OK(journal_approver(f->journal, &f->arena, "blog", commit_a, &who, &f->err));
    assert_null(who);
}

/* A deployment of one image; state: how far it came. */
static int64_t with_image(struct fixture *f, const char *stack, const char *digest,
                          enum deployment_state state)
{
    const struct image_record image = {"web", "web:1", digest};
    const struct plan_rows rows = {.plan = "{}", .images = &image, .n_images = 1};
    int64_t id = request(f, stack, commit_a);
    OK(journal_save_plan(f->journal, id, &rows, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    if (state != DEPLOYMENT_RUNNING)
        OK(journal_set_state(f->journal, id, state, "for a reason", &f->err));
    return id;
}

static const char *old_images(struct fixture *f, const char *stack)
{
    struct image_record *rows;
    size_t n;
    char *text = arena_strdup(&f->arena, "");
    OK(journal_old_images(f->journal, &f->arena, stack, &rows, &n, &f->err));
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(rows[i].reference, "web:1");
        text = arena_printf(&f->arena, "%s%s ", text, rows[i].digest);
    }
    return text;
}

/* What `rollback` may go back to, and what is under way, needs its images. */
static void images_that_nobody_needs(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(old_images(f, "shop"), "");
    with_image(f, "shop", "d0", DEPLOYMENT_SUCCEEDED);
    with_image(f, "shop", "d1", DEPLOYMENT_SUCCEEDED);
    with_image(f, "shop", "d2", DEPLOYMENT_FAILED);
    with_image(f, "shop", NULL, DEPLOYMENT_SUCCEEDED);
    for (unsigned i = 3; i < 6; i++)
        with_image(f, "shop", arena_printf(&f->arena, "d%u", i), DEPLOYMENT_SUCCEEDED);
    assert_string_equal(old_images(f, "shop"), "d0 d2 ");
    unchanged(f, "shop"); /* is no way back of its own */
    assert_string_equal(old_images(f, "shop"), "d0 d2 ");
    with_image(f, "shop", "d6", DEPLOYMENT_SUCCEEDED);
    assert_string_equal(old_images(f, "shop"), "d0 d1 d2 ");
    assert_string_equal(old_images(f, "blog"), "");
    with_image(f, "blog", "d1", DEPLOYMENT_RUNNING); /* the same image, of another stack */
    assert_string_equal(old_images(f, "shop"), "d0 d2 ");
    with_image(f, "shop", "d2", DEPLOYMENT_ROLLED_BACK); /* the newest, however it ended */
    assert_string_equal(old_images(f, "shop"), "d0 ");
}

static int64_t with_spec(struct fixture *f, const char *stack, const char *spec, enum deployment_state state)
{
    const struct service_record service = {"web", "shop_web", "update", "pending", NULL, "{}", spec};
    int64_t id = request(f, stack, commit_a);
    OK(journal_save_plan(f->journal, id,
                         &(struct plan_rows){.plan = "{}", .services = &service, .n_services = 1}, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_set_state(f->journal, id, state, "for a reason", &f->err));
    return id;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *rollback_specs(struct fixture *f, const char *stack)
{
    const char **specs;
    size_t n;
    char *text = arena_strdup(&f->arena, "");
    OK(journal_rollback_specs(f->journal, &f->arena, stack, &specs, &n, &f->err));
    if (n)
        qsort(specs, n, sizeof *specs, by_text);
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&f->arena, "%s%s ", text, specs[i]);
    return text;
}

/* Configs and secrets that they name stay. */
static void specs_that_a_rollback_needs(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(rollback_specs(f, "shop"), "");
    with_spec(f, "shop", "[1]", DEPLOYMENT_SUCCEEDED);
    assert_string_equal(rollback_specs(f, "shop"), "[1] ");
    with_spec(f, "shop", "[2]", DEPLOYMENT_SUCCEEDED);
    with_spec(f, "shop", "[2]", DEPLOYMENT_SUCCEEDED); /* the same again */
    with_spec(f, "shop", "[3]", DEPLOYMENT_ROLLED_BACK);
    with_spec(f, "shop", "[4]", DEPLOYMENT_SUCCEEDED);
    with_spec(f, "blog", "[5]", DEPLOYMENT_SUCCEEDED);
    with_spec(f, "shop", NULL, DEPLOYMENT_SUCCEEDED); /* removed it */
    assert_string_equal(rollback_specs(f, "shop"), "[1] [2] [4] ");
    with_spec(f, "shop", "[6]", DEPLOYMENT_SUCCEEDED);
    assert_string_equal(rollback_specs(f, "shop"), "[2] [4] [6] ");
    int64_t last = unchanged(f, "shop"); /* is no target of its own, but what the next plan starts from */
    assert_string_equal(rollback_specs(f, "shop"), "[2] [4] [6] ");
    OK(journal_trim(f->journal, 1, &f->err));
    assert_string_equal(rollback_specs(f, "shop"), "[2] [4] [6] ");
    assert_int_equal(get(f, last).id, last);
    assert_string_equal(rollback_specs(f, "blog"), "[5] ");
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void fill(struct fixture *f, unsigned n)
{
    static char output[64 << 10];
    const struct step step = {.seq = 1, .kind = "run", .name = "django", .params = "{}"};
    const struct plan_rows rows = {.plan = "{}", .steps = &step, .n_steps = 1};
    memset(output, 'x', sizeof output);
    for (unsigned i = 0; i < n; i++) {
        int64_t id = request(f, "shop", commit_a);
        OK(journal_save_plan(f->journal, id, &rows, &f->err));
        OK(journal_step_append_output(f->journal, id, 1, output, sizeof output, &f->err));
        OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
        OK(journal_set_state(f->journal, id, DEPLOYMENT_SUCCEEDED, "done", &f->err));
        OK(journal_trim(f->journal, 5, &f->err));
    }
    journal_close(f->journal);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
}

/* What is deleted makes room for what comes: the file does not grow for ever. */
static void file_stops_growing(void **state)
{
    struct fixture *f = *state;
    fill(f, 15);
    off_t before = size_of(f->path);
    assert_true(before > 5 * (64 << 10));
    fill(f, 30);
    if (size_of(f->path) > before + before / 10)
        fail_msg("%lld bytes after 15 deployments, %lld after 45", (long long)before,
                 (long long)size_of(f->path));
}

static void trimming(void **state)
{
    struct fixture *f = *state;
    int64_t good[7], same[3];
    for (unsigned i = 0; i < 7; i++)
        good[i] = ended(f, "shop", commit_a, DEPLOYMENT_SUCCEEDED);
    for (unsigned i = 0; i < 3; i++)
        same[i] = unchanged(f, "shop");
    for (unsigned i = 0; i < 20; i++)
        ended(f, "shop", commit_b, DEPLOYMENT_FAILED);
    for (unsigned i = 0; i < 3; i++)
        ended(f, "blog", commit_b, DEPLOYMENT_FAILED);
    int64_t id = request(f, "shop", commit_b);
    OK(journal_trim(f->journal, 5, &f->err));
    assert_int_equal(count(f, "blog"), 3);
    assert_int_equal(count(f, "shop"), 5 + 1 + 5); /* the newest, the last success, five to go back to */
    OK(journal_trim(f->journal, 0,
                    &f->err)); /* what has not ended and what is needed stay whatever is asked */
    assert_int_equal(count(f, "shop"), 1 + 1 + 5);
    get(f, good[2]);
    get(f, good[6]);
    get(f, same[2]);
    get(f, id);
    assert_true(request(f, "shop", commit_b) > id); /* ids are never given twice */
}

static void trimming_takes_everything_along(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 30; i++) {
        int64_t id = request(f, "shop", commit_a);
        char spec[64];
        snprintf(spec, sizeof spec, "{\"spec\":%u}", i);
        const struct step step = {.seq = 1, .kind = "run", .name = "x"};
        const struct service_record service = {"web", "shop_web", "update", "pending", NULL, spec, spec};
        OK(journal_save_plan(
            f->journal, id,
            &(struct plan_rows){
                .plan = "{}", .steps = &step, .n_steps = 1, .services = &service, .n_services = 1},
            &f->err));
        append(f, id, "output");
        OK(journal_set_state(f->journal, id, DEPLOYMENT_FAILED, "x", &f->err));
    }
    OK(journal_trim(f->journal, 2, &f->err));
    assert_int_equal(count(f, "shop"), 2);
    assert_string_equal(output_of(f, 30), "output");
    assert_null(output_of(f, 1));
    struct service_record *v;
    size_t n;
    OK(journal_services(f->journal, &f->arena, 30, &v, &n, &f->err));
    assert_string_equal(v[0].before, "{\"spec\":29}");
    OK(journal_services(f->journal, &f->arena, 28, &v, &n, &f->err));
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(waits_for_the_disk),
        TEST(requested),
        TEST(superseding),
        TEST(states),
        TEST(cancelling_and_resuming),
        TEST(listing),
        TEST(plans),
        TEST(plans_are_whole),
        TEST(steps),
        TEST(output_small),
        TEST(output_at_the_cap),
        TEST(output_of_one_huge_piece),
        TEST(output_flood),
        TEST(stack_polls),
        TEST(quiet_polls_write_nothing),
        TEST(stack_waits_and_alarms),
        TEST(drift_of_a_stack),
        TEST(request_after_the_newest),
        TEST(request_with_a_hold),
        TEST(holding),
        TEST(identity),
        TEST(approver),
        TEST(images_that_nobody_needs),
        TEST(specs_that_a_rollback_needs),
        TEST(file_stops_growing),
        TEST(trimming),
        TEST(trimming_takes_everything_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

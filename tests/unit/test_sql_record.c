/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

#include "agent/step.h"
#include "base/cleanup.h"
#include "steps/sql_record.h"

struct run { /* of a step, whose files are recorded */
    struct fixture *f;
    struct deployment deployment;
    struct step_ctx ctx;
    struct step *steps;
    struct sql_record record;
};

static void read_steps(struct run *run)
{
    struct fixture *f = run->f;
    size_t n;
    OK(journal_steps(f->journal, &f->arena, run->deployment.id, &run->steps, &n, &f->err));
}

static void begin(struct run *run, struct fixture *f)
{
    int64_t id = request(f, "shop", commit_a);
    struct step planned = {.seq = 1, .kind = "sql", .name = "schema"};
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){.steps = &planned, .n_steps = 1}, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_step_begin(f->journal, id, 1, NULL, &f->err));
    *run = (struct run){.f = f, .deployment = get(f, id)};
    run->ctx = (struct step_ctx){.arena = &f->arena, .journal = f->journal, .deployment = &run->deployment};
    read_steps(run);
    sql_record_init(&run->record, &run->ctx, &run->steps[0], true);
}

static void tell(struct run *run, const struct migration *m, struct migrate_file file)
{
    struct fixture *f = run->f;
    file.migration = m;
    OK(sql_record_file(&run->record, &file, &f->err));
}

static void end(struct run *run)
{
    struct fixture *f = run->f;
    sql_record_release(&run->record);
    OK(journal_set_state(f->journal, run->deployment.id, DEPLOYMENT_FAILED, "for a reason", &f->err));
}

/* What stays on record of a file that breaks the old code: its name, unless it is certain that nothing of it
   is in the database. */
static void breaking(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *what;
        enum sql_mode mode;
        struct migrate_file end;
        bool noted;
    } cases[] = {
        {"applied", SQL_TX, {.event = MIGRATE_APPLIED, .done = 2}, true},
        {"rolled back", SQL_TX, {.event = MIGRATE_FAILED}, false},
        {"lost at its COMMIT", SQL_TX, {.event = MIGRATE_FAILED, .unknown = true}, true},
        {"lost at its first COMMIT", SQL_MULTI_TX, {.event = MIGRATE_FAILED, .unknown = true}, true},
        {"its first transaction rolled back", SQL_MULTI_TX, {.event = MIGRATE_FAILED}, false},
        {"half of it", SQL_MULTI_TX, {.event = MIGRATE_FAILED, .done = 3}, true},
        {"who knows", SQL_NO_TX, {.event = MIGRATE_FAILED}, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct migration m = {.file = "018_a.sql",
                                    .version = "018",
                                    .name = "a",
                                    .summary = {.mode = cases[i].mode, .breaking = true}};
        struct run run;
        begin(&run, f);
        tell(&run, &m, (struct migrate_file){.event = MIGRATE_BEGINS});
        tell(&run, &m, cases[i].end);
        read_steps(&run);
        if ((sql_breaking(&f->arena, &run.steps[0]) != NULL) != cases[i].noted)
            fail_msg("%s: %s", cases[i].what, run.steps[0].progress ? run.steps[0].progress : "-");
        end(&run);
    }
}

/* The same of a file within which a worker died, once the next has run it again and it has failed. */
static void breaking_taken_up(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *what, *file, *schema;
        enum sql_mode mode;
        bool unversioned;
        struct migrate_file end;
        const char *noted;
    } cases[] = {
        {"rolled back", "018_a.sql", NULL, SQL_TX, false, {.event = MIGRATE_FAILED}, NULL},
        {"applied", "018_a.sql", NULL, SQL_TX, false, {.event = MIGRATE_APPLIED}, "018_a.sql"},
        {"lost at its COMMIT",
         "018_a.sql",
         NULL,
         SQL_TX,
         false,
         {.event = MIGRATE_FAILED, .unknown = true},
         "018_a.sql"},
        {"the next file", "019_b.sql", NULL, SQL_TX, false, {.event = MIGRATE_FAILED}, "018_a.sql"},
        {"the next schema", "018_a.sql", "acme", SQL_TX, false, {.event = MIGRATE_FAILED}, "018_a.sql"},
        {"not told how far", "018_a.sql", NULL, SQL_MULTI_TX, false, {.event = MIGRATE_FAILED}, "018_a.sql"},
        {"who knows", "018_a.sql", NULL, SQL_NO_TX, false, {.event = MIGRATE_FAILED}, "018_a.sql"},
        {"runs every time", "018_a.sql", NULL, SQL_TX, true, {.event = MIGRATE_FAILED}, "018_a.sql"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct migration first = {.file = "018_a.sql", .summary = {.mode = cases[i].mode, .breaking = true}};
        struct migration again = first;
        struct run run;
        again.file = cases[i].file;
        begin(&run, f);
        tell(&run, &first, (struct migrate_file){.event = MIGRATE_BEGINS});
        sql_record_release(&run.record);
        read_steps(&run);
        sql_record_init(&run.record, &run.ctx, &run.steps[0], !cases[i].unversioned);
        sql_record_schema(&run.record, cases[i].schema);
        tell(&run, &again, (struct migrate_file){.event = MIGRATE_BEGINS});
        tell(&run, &again, cases[i].end);
        read_steps(&run);
        const char *noted = sql_breaking(&f->arena, &run.steps[0]);
        if (!str_eq(noted, cases[i].noted))
            fail_msg("%s: %s", cases[i].what, noted ? noted : "-");
        end(&run);
    }
}

/* A file that was stopped on request did not fail, however long it ran. */
static void stopped(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct error why;
        const char *state;
    } cases[] = {
        {{.kind = ERR_FAILED}, "failed"},
        {{.kind = ERR_CANCELLED, .code = STOP_CANCEL}, "not run"},
        {{.kind = ERR_CANCELLED, .code = STOP_SHUTDOWN}, "pending"},
    };
    const struct migration m = {.file = "018_a.sql", .version = "018", .name = "a"};
    const struct migrate_result result = {.before = "017", .after = "017"};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct run run;
        struct migration_record *rows;
        size_t n;
        begin(&run, f);
        tell(&run, &m, (struct migrate_file){.event = MIGRATE_BEGINS});
        run.record.written_us = 0;
        sql_record_breathe(&run.record);
        run.record.written_us = 0;
        tell(&run, &m, (struct migrate_file){.event = MIGRATE_FAILED});
        OK(sql_record_end(&run.record, &result, &cases[i].why, &f->err));
        OK(journal_migrations(f->journal, &f->arena, run.deployment.id, &rows, &n, &f->err));
        assert_int_equal(n, 1);
        assert_string_equal(rows[0].state, cases[i].state);
        end(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(breaking, fixture_open, fixture_free),
        cmocka_unit_test_setup_teardown(breaking_taken_up, fixture_open, fixture_free),
        cmocka_unit_test_setup_teardown(stopped, fixture_open, fixture_free)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

#include "agent/step.h"
#include "base/cleanup.h"
#include "steps/sql_record.h"

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
        int64_t id = request(f, "shop", commit_a);
        struct step planned = {.seq = 1, .kind = "sql", .name = "schema"}, *steps;
        size_t n;
        OK(journal_save_plan(f->journal, id, &(struct plan_rows){.steps = &planned, .n_steps = 1}, &f->err));
        OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
        OK(journal_step_begin(f->journal, id, 1, NULL, &f->err));
        OK(journal_steps(f->journal, &f->arena, id, &steps, &n, &f->err));
        const struct deployment d = get(f, id);
        struct step_ctx ctx = {.arena = &f->arena, .journal = f->journal, .deployment = &d};
        struct sql_record record;
        const struct migration m = {.file = "018_a.sql",
                                    .version = "018",
                                    .name = "a",
                                    .summary = {.mode = cases[i].mode, .breaking = true}};
        const struct migrate_file begins = {.migration = &m, .event = MIGRATE_BEGINS};
        struct migrate_file end = cases[i].end;
        end.migration = &m;
        sql_record_init(&record, &ctx, &steps[0], true);
        OK(sql_record_file(&record, &begins, &f->err));
        OK(sql_record_file(&record, &end, &f->err));
        sql_record_release(&record);
        OK(journal_steps(f->journal, &f->arena, id, &steps, &n, &f->err));
        if ((sql_breaking(&f->arena, &steps[0]) != NULL) != cases[i].noted)
            fail_msg("%s: %s", cases[i].what, steps[0].progress ? steps[0].progress : "-");
        OK(journal_set_state(f->journal, id, DEPLOYMENT_FAILED, "for a reason", &f->err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(breaking, fixture_open, fixture_free)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

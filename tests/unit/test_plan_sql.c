/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_fixture.h"

/* Plans with sql and expect steps. */

static const char stack_text[] =
    "services:\n"
    "  db: {image: db, networks: [back]}\n"
    "  web: {image: web, networks: [back]}\n"
    "networks: {back: {}}\n"
    "x-release:\n"
    "  database: {service: db, url_from: URL, admin_url_from: ADMIN, migrate_url_from: DIRECT}\n"
    "  steps:\n"
    "    - sql: {name: init, dir: init, as: admin, versioned: false}\n"
    "    - sql: {name: schema, dir: db, accept_duplicates: ['040'], lint: {truncate: error}}\n"
    "    - run: {name: seed, service: web, command: [seed]}\n"
    "    - sql: {name: tenants, dir: tenant, for_each_schema: SELECT 1, on_error: continue}\n"
    "    - expect: {tables: [users]}\n";

enum { INIT, SCHEMA, SEED, TENANTS, EXPECT, STEPS };

/* What the folders have, and the database says. */
struct sql_world {
    struct arena arena;
    struct migration_set sets[STEPS];
    struct plan_sql sql[STEPS];
};

static struct migration file_of(struct arena *arena, const char *name, const char *blob)
{
    size_t digits = strspn(name, "0123456789");
    const char *rest = name + digits + (digits ? 1 : 0);
    return (struct migration){.file = name,
                              .version = arena_strndup(arena, name, digits),
                              .name = arena_strndup(arena, rest, strlen(rest) - 4),
                              .number = atoll(name),
                              .blob = blob};
}

/* "001_a.sql=blob 002_b.sql": files; the last n of them are pending */
static void set_folder(struct sql_world *w, size_t step, const char *files, bool asked, size_t pending)
{
    static const char *none[] = {NULL};
    struct migration_set *set = &w->sets[step];
    char **words = words_split(&w->arena, files, &set->n);
    set->items = arena_array(&w->arena, set->n + 1, sizeof *set->items);
    for (size_t i = 0; i < set->n; i++) {
        char *blob = strchr(words[i], '=');
        if (blob)
            *blob++ = '\0';
        set->items[i] = file_of(&w->arena, words[i], blob ? blob : "b");
    }
    struct migration_diff *diff = arena_alloc(&w->arena, sizeof *diff);
    *diff = (struct migration_diff){.n_pending = pending,
                                    .adopted = none,
                                    .ahead = none,
                                    .modified = none,
                                    .failed = none,
                                    .warnings = none,
                                    .before = "",
                                    .after = ""};
    diff->pending = arena_array(&w->arena, pending + 1, sizeof(void *));
    for (size_t i = 0; i < pending; i++)
        diff->pending[i] = &set->items[set->n - pending + i];
    struct plan_sql_run *run = arena_alloc(&w->arena, sizeof *run);
    run->diff = diff;
    w->sql[step] = (struct plan_sql){.url_hash = "url", .set = set, .asked = asked, .runs = run, .n_runs = 1};
}

static void init(struct sql_world *w)
{
    set_folder(w, INIT, "roles.sql", false, 1);
    set_folder(w, SCHEMA, "001_a.sql 002_b.sql", true, 1);
    set_folder(w, TENANTS, "001_t.sql", true, 0);
}

static void say(struct str *out, const struct plan *plan)
{
    if (plan->empty)
        str_append(out, "empty");
    for (size_t i = 0; !plan->empty && i < plan->rows.n_steps; i++)
        str_printf(out, "%s%s %s", i ? ", " : "", plan->rows.steps[i].kind, plan->rows.steps[i].name);
}

static void plan_it(struct world *w, const struct manifest *m, const struct sql_world *sql, struct plan *ret)
{
    struct error err = {0};
    const struct world_options options = {.sql = sql->sql};
    if (world_plan(w, m, &options, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void first_deployment(void **state)
{
    (void)state;
    struct manifest m = {0};
    struct world w;
    struct plan plan = {0};
    struct sql_world sql = {0};
    struct error err = {0};
    cleanup_str struct str steps = {0}, rows = {0};
    world_init(&w);
    init(&sql);
    if (fixture_load(stack_text, NULL, NULL, 0, &m, &err) < 0)
        fail_msg("%s", err.text);
    plan_it(&w, &m, &sql, &plan);
    say(&steps, &plan);
    expect_text(
        "first", str_text(&steps),
        "pull db:latest, pull web:latest, network shop_back, relay shop, before db, "
        "ready admin, sql init, ready db, sql schema, run seed, sql tenants, expect expect, roll web, "
        "soak shop");
    for (size_t i = 0; i < plan.rows.n_migrations; i++)
        str_printf(&rows, "%s %s %s %s %s\n", plan.rows.migrations[i].step,
                   plan.rows.migrations[i].schema ? plan.rows.migrations[i].schema : "-",
                   plan.rows.migrations[i].version, plan.rows.migrations[i].name,
                   plan.rows.migrations[i].state);
    expect_text("rows", str_text(&rows),
                "init -  roles pending\nschema - 002 b pending\nseed - 111111111111 seed pending\n");
    /* the logins go where the steps go */
    for (size_t i = 0; i < plan.rows.n_steps; i++) {
        const struct step *step = &plan.rows.steps[i];
        const char *want = str_eq(step->name, "admin") || str_eq(step->name, "init") ? "ADMIN" : "DIRECT";
        cleanup_json json_t *params = json_loads(step->params, 0, NULL);
        if (json_object_get(params, "url_from")) {
            expect_text(step->name, json_path_string(params, "url_from", NULL), want);
            expect_text(step->name, json_path_string(params, "name", NULL), "shop_db");
        }
    }
    world_deploy(&w, &m, &plan);
    plan_release(&plan);
    set_folder(&sql, SCHEMA, "001_a.sql 002_b.sql", true, 0);
    plan_it(&w, &m, &sql, &plan);
    assert_true(plan.empty);
    plan_release(&plan);
    manifest_release(&m);
    world_release(&w);
    arena_release(&sql.arena);
}

/* What makes a plan of an unchanged stack file. */
static void reasons(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t step;
        const char *files;
        bool asked;
        size_t pending;
        const char *url, *text; /* text: NULL: the same stack file */
        bool empty;
    } cases[] = {
        {"the same, asked", SCHEMA, "001_a.sql 002_b.sql", true, 0, NULL, NULL, true},
        {"the same, not asked", SCHEMA, "001_a.sql 002_b.sql", false, 0, NULL, NULL, true},
        {"the same, restored from a backup", SCHEMA, "001_a.sql 002_b.sql", true, 1, NULL, NULL, false},
        {"a new file", SCHEMA, "001_a.sql 002_b.sql 003_c.sql", false, 1, NULL, NULL, false},
        {"a new file, applied by hand", SCHEMA, "001_a.sql 002_b.sql 003_c.sql", true, 0, NULL, NULL, false},
        {"another content", SCHEMA, "001_a.sql=c 002_b.sql", false, 0, NULL, NULL, false},
        {"another name", SCHEMA, "001_x.sql 002_b.sql", false, 0, NULL, NULL, false},
        {"a file less", SCHEMA, "001_a.sql", false, 0, NULL, NULL, false},
        {"another database", SCHEMA, "001_a.sql 002_b.sql", false, 0, "other", NULL, false},
        {"idempotent files do not count as pending", INIT, "roles.sql", true, 1, NULL, NULL, true},
        {"another idempotent file", INIT, "roles.sql=c", false, 1, NULL, NULL, false},
        {"another definition", SCHEMA, "001_a.sql 002_b.sql", true, 0, NULL, "truncate: warn", false},
        {"another expectation", SCHEMA, "001_a.sql 002_b.sql", true, 0, NULL, "[usage]", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest m = {0}, changed = {0};
        struct world w;
        struct plan plan = {0};
        struct sql_world sql = {0};
        struct error err = {0};
        world_init(&w);
        init(&sql);
        assert_int_equal(fixture_load(stack_text, NULL, NULL, 0, &m, &err), 0);
        plan_it(&w, &m, &sql, &plan);
        world_deploy(&w, &m, &plan);
        plan_release(&plan);
        set_folder(&sql, SCHEMA, "001_a.sql 002_b.sql", true, 0);
        set_folder(&sql, cases[i].step, cases[i].files, cases[i].asked, cases[i].pending);
        if (cases[i].url)
            sql.sql[cases[i].step].url_hash = cases[i].url;
        cleanup_arena struct arena arena = {0};
        char *text = arena_strdup(&arena, stack_text);
        if (cases[i].text) { /* as long as what it replaces */
            char *at = strstr(text, cases[i].text[0] == '[' ? "[users]" : "truncate: error");
            memset(at, ' ', strlen(cases[i].text[0] == '[' ? "[users]" : "truncate: error"));
            memcpy(at, cases[i].text, strlen(cases[i].text));
        }
        assert_int_equal(fixture_load(text, NULL, NULL, 0, &changed, &err), 0);
        plan_it(&w, &changed, &sql, &plan);
        if (plan.empty != cases[i].empty)
            fail_msg("%s: %s", cases[i].name, plan.rows.plan);
        plan_release(&plan);
        manifest_release(&m);
        manifest_release(&changed);
        world_release(&w);
        arena_release(&sql.arena);
    }
}

static void shown(void **state)
{
    (void)state;
    static const char *warnings[] = {"002_b.sql:3: truncate: careful", NULL}, *ahead[] = {"000", NULL};
    struct manifest m = {0};
    struct world w;
    struct plan plan = {0};
    struct sql_world sql = {0};
    struct error err = {0};
    cleanup_str struct str files = {0};
    world_init(&w);
    init(&sql);
    for (unsigned i = 1; i <= 40; i++)
        str_printf(&files, "%03u_t.sql ", i);
    set_folder(&sql, TENANTS, str_text(&files), true, 32);
    struct migration_diff second = *sql.sql[TENANTS].runs[0].diff;
    struct plan_sql_run runs[] = {{"acme", sql.sql[TENANTS].runs[0].diff}, {"zoo", &second}};
    second.n_pending = 0;
    second.before = "040";
    sql.sql[TENANTS].runs = runs;
    sql.sql[TENANTS].n_runs = 2;
    struct migration_diff schema = *sql.sql[SCHEMA].runs[0].diff;
    schema.warnings = warnings;
    schema.ahead = ahead;
    schema.before = "001";
    schema.after = "002";
    sql.sql[SCHEMA].runs[0].diff = &schema;
    sql.sql[SCHEMA].asked = false;
    sql.sql[SCHEMA].why_not = "no relay runs yet";
    assert_int_equal(fixture_load(stack_text, NULL, NULL, 0, &m, &err), 0);
    plan_it(&w, &m, &sql, &plan);
    const char *text = plan_text(&plan.arena, plan.json), *from = strstr(text, "  migration");
    expect_text("text", arena_strndup(&plan.arena, from, (size_t)(strstr(from, "…") - from)),
                "  migration seed: seed\n"
                "  migrations init, init: 1 pending\n"
                "      roles.sql\n"
                "  migrations schema, db: 1 pending, 001 → 002\n"
                "      002_b.sql\n"
                "  migrations tenants in acme, tenant: 32 pending\n"
                "      009_t.sql\n      010_t.sql\n      011_t.sql\n      012_t.sql\n      013_t.sql\n"
                "      014_t.sql\n      015_t.sql\n      016_t.sql\n      017_t.sql\n      018_t.sql\n"
                "      019_t.sql\n      020_t.sql\n      021_t.sql\n      022_t.sql\n      023_t.sql\n"
                "      024_t.sql\n      025_t.sql\n      026_t.sql\n      027_t.sql\n      028_t.sql\n"
                "      029_t.sql\n      030_t.sql\n      031_t.sql\n      032_t.sql\n      033_t.sql\n"
                "      034_t.sql\n      035_t.sql\n      036_t.sql\n      037_t.sql\n      038_t.sql\n"
                "      ");
    if (!strstr(text, "      … and 2 more\n  migrations tenants in zoo, tenant: nothing pending, at 040\n") ||
        !strstr(text, "warning: schema: 002_b.sql:3: truncate: careful\n") ||
        !strstr(text, "warning: schema: the database was not asked (no relay runs yet); all files are shown"))
        fail_msg("%s", text);
    const json_t *migration = json_array_get(json_object_get(plan.json, "migrations"), 1),
                 *step = json_array_get(json_object_get(plan.json, "sql"), 1);
    cleanup_json json_t *want = fixture_json("{'step': 'schema', 'version': '002', 'name': 'b', 'file': "
                                             "'002_b.sql', 'state': 'pending'}"),
                        *want_step = fixture_json(
                            "{'step': 'schema', 'dir': 'db', 'asked': false, 'not_asked': 'no relay runs "
                            "yet', 'pending': 1, 'before': '001', 'after': '002', 'ahead': ['000'], "
                            "'modified': []}");
    assert_true(json_equal(migration, want));
    assert_true(json_equal(step, want_step));
    plan_release(&plan);
    manifest_release(&m);
    world_release(&w);
    arena_release(&sql.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_deployment), cmocka_unit_test(reasons),
                                       cmocka_unit_test(shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

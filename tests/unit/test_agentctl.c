/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl over a journal as a few deployments leave it: what is printed, to the letter, and the exit codes.
 */

#include "journal_fixture.h"

#include <jansson.h>
#include <sqlite3.h>
#include <time.h>

#include "agent/control.h"
#include "agentctl/text.h"
#include "agentctl/verbs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "view/json.h"
#include "view/view.h"

/* ---- running it ---- */

struct ran {
    int code;
    char *out; /* freed by the next run */
};

static struct ran run(const char *const *words)
{
    static struct ran r;
    size_t len;
    int argc = 0;
    char *argv[16] = {(char *)(uintptr_t) "agentctl"};
    while (words[argc]) {
        argv[argc + 1] = (char *)(uintptr_t)words[argc];
        argc++;
    }
    free(r.out);
    FILE *real = stdout;
    fflush(stdout);
    stdout = open_memstream(&r.out, &len);
    r.code = ctl_main(argc + 1, argv);
    fclose(stdout);
    stdout = real;
    return r;
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static json_t *run_json(const char *const *words)
{
    struct ran r = run(words);
    assert_int_equal(r.code, 0);
    json_t *value = json_loads(r.out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(value);
    return value;
}
#define JSON(...) run_json((const char *const[]){__VA_ARGS__, NULL})

/* ---- the journal ---- */

static int64_t at(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return (int64_t)timegm(&tm) * 1000000;
}

static void set_times(struct fixture *f, int64_t id, const char *started, const char *finished)
{
    sqlite3 *db;
    char sql[300];
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    snprintf(sql, sizeof sql,
             "UPDATE deployment SET requested_us = %lld, started_us = %lld, finished_us = nullif(%lld, 0) "
             "WHERE id = %lld;"
             "UPDATE step SET started_us = %lld, finished_us = %lld WHERE started_us IS NOT NULL AND "
             "deployment = %lld",
             (long long)at(started) - 1000000, (long long)at(started),
             (long long)(finished ? at(finished) : 0), (long long)id, (long long)at(started),
             (long long)at(started) + 2000000, (long long)id);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

#define SPEC(tag)                                                                                            \
    "{\"Name\":\"shop_web\",\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"registry/web:" tag              \
    "\",\"Env\":[\"DATABASE_PASSWORD=hunter22\",\"PLAIN\"]}}}"

struct outline {
    const char *author, *subject, *migration;
    enum deployment_state end;
    const char *reason, *started, *finished;
};

static int64_t deploy(struct fixture *f, const struct outline *o)
{
    static const struct step steps[] = {
        {.seq = 1, .kind = "run", .name = "django", .params = "{\"job\":" SPEC("2") "}"},
        {.seq = 2, .kind = "roll", .name = "web"},
    };
    const struct service_record services[] = {
        {"web", "shop_web", "update", "healthy", NULL, SPEC("1"), SPEC("2")}};
    const struct image_record images[] = {{"web", "registry/web:2", "sha256:abc"}};
    const struct migration_record migrations[] = {
        {"django", "9f3c1ab0c4d5", "manage.py migrate", o->migration, NULL, -1, -1}};
    struct deployment_request r = {.stack = "shop",
                                   .commit = commit_a,
                                   .branch = "main",
                                   .subject = o->subject,
                                   .author = o->author,
                                   .requested_by = "uid 1000",
                                   .trigger = TRIGGER_SYNC};
    bool failed = str_eq(o->migration, "failed"), ended = o->finished != NULL;
    int64_t id;
    OK(journal_request(f->journal, &r, &id, &f->err));
    OK(journal_save_plan(f->journal, id,
                         &(struct plan_rows){.plan = "{\"services\":[{\"spec\":" SPEC("2") "}]}",
                                             .warnings = "[\"web has no healthcheck\"]",
                                             .base_id = id - 1,
                                             .steps = steps,
                                             .n_steps = 2,
                                             .services = services,
                                             .n_services = 1,
                                             .images = images,
                                             .n_images = 1,
                                             .migrations = migrations,
                                             .n_migrations = o->migration ? 1 : 0},
                         &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_step_begin(f->journal, id, 1, "{\"secret\":\"progress\"}", &f->err));
    for (unsigned i = 1; i <= 30; i++) {
        char line[40];
        int n = snprintf(line, sizeof line, "line %u\n", i);
        OK(journal_step_append_output(f->journal, id, 1, line, (size_t)n, &f->err));
    }
    if (ended) {
        OK(journal_step_end(f->journal, id, 1, failed ? STEP_FAILED : STEP_DONE,
                            failed ? "exit 1: lock timeout" : NULL, &f->err));
        OK(journal_set_state(f->journal, id, o->end, o->reason, &f->err));
    }
    set_times(f, id, o->started, o->finished);
    return id;
}

/* shop: a success, a failed migration, a rollback, one running; blog: nothing yet */
static int setup(void **state)
{
    static const struct outline outlines[] = {
        {"bob", "Add the index", "failed", DEPLOYMENT_FAILED,
         "schema: 0119_add_index.sql:3: lock timeout; no service was touched", "2026-08-22 08:55:00",
         "2026-08-22 08:55:19"},
        {"bob", "Mend it", NULL, DEPLOYMENT_SUCCEEDED, "4 services, 60s stable", "2026-08-22 09:11:00",
         "2026-08-22 09:12:04"},
        {"alice \033[31m", "Redden", "applied", DEPLOYMENT_ROLLED_BACK,
         "web /health: 5 of 5 before, 0 of 5 now (200 before, 500 now); back on #41, database stays at 0118",
         "2026-08-23 14:02:00", "2026-08-23 14:05:12"},
    };
    if (fixture_open(state) < 0)
        return -1;
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++)
        deploy(f, &outlines[i]);
    OK(journal_set_tip(f->journal, "shop", commit_b, &f->err));
    char conf[100], text[400];
    snprintf(conf, sizeof conf, "%s/agent.conf", f->folder);
    int n = snprintf(text, sizeof text,
                     "[agent]\nstate_dir = %s\nrun_dir = %s/run\n[stack shop]\nrepository = "
                     "file:///srv/shop.git\nfile = stack.yml\n",
                     f->folder, f->folder);
    FILE *file = fopen(conf, "w");
    fwrite(text, 1, (size_t)n, file);
    fclose(file);
    setenv("DEPLOY_AGENT_CONFIG", conf, 1);
    setenv("TZ", "UTC", 1);
    tzset();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_free)

/* ---- log ---- */

static void log_table(void **state)
{
    (void)state;
    struct ran r = RUN("log", "--wide");
    assert_int_equal(r.code, 0);
    assert_string_equal(
        r.out,
        "ID  WHEN              COMMIT   AUTHOR      MIGRATIONS     VERDICT      TOOK   WHY\n"
        "3   2026-08-23 14:02  9f3c1ab  alice [31m  1 applied      rolled back  3m12s  "
        "web /health: 5 of 5 before, 0 of 5 now (200 before, 500 now); back on #41, database stays at 0118\n"
        "2   2026-08-22 09:11  9f3c1ab  bob         none           succeeded    1m04s  4 "
        "services, 60s stable\n"
        "1   2026-08-22 08:55  9f3c1ab  bob         FAILED exit 1  failed       0m19s  "
        "schema: 0119_add_index.sql:3: lock timeout; no service was touched\n");
}

static void log_fits(void **state)
{
    struct fixture *f = *state;
    deploy(f, &(struct outline){"Åse Ærø-Jørgensen 漢字漢字", "x", "failed (allowed)", DEPLOYMENT_SUCCEEDED,
                                "日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語",
                                "2026-08-24 08:55:00", "2026-08-24 20:55:19"});
    struct ran r = RUN("log");
    for (const char *line = r.out; *line; line += strcspn(line, "\n") + 1) {
        const char *one = arena_strndup(&f->arena, line, strcspn(line, "\n"));
        if (text_columns(one) > 100)
            fail_msg("%zu columns: %s", text_columns(one), one);
    }
    assert_non_null(strstr(r.out, "1 failed (allow"));
}

static void log_filters(void **state)
{
    (void)state;
    static const struct {
        const char *words[5];
        int code;
        size_t rows;
    } cases[] = {
        {{"log", "-n", "2"}, 0, 2},
        {{"log", "-n1"}, 0, 1},
        {{"log", "--number=2", "shop"}, 0, 2},
        {{"log", "shop", "--state", "failed"}, 0, 1},
        {{"log", "--state", "halted"}, 0, 0},
        {{"log", "--since", "2026-08-23"}, 0, 1},
        {{"log", "nosuch"}, EXIT_NOT_FOUND, 0},
        {{"log", "-n", "0"}, EXIT_BAD_USAGE, 0},
        {{"log", "-n", "x"}, EXIT_BAD_USAGE, 0},
        {{"log", "-n"}, EXIT_BAD_USAGE, 0},
        {{"log", "--state", "rolled back"}, EXIT_BAD_USAGE, 0},
        {{"log", "--since", "soon"}, EXIT_BAD_USAGE, 0},
        {{"log", "--records", "--follow"}, EXIT_BAD_USAGE, 0},
        {{"log", "--records", "--state", "rolled back"}, EXIT_BAD_USAGE, 0},
        {{"log", "--nosuch"}, EXIT_BAD_USAGE, 0},
        {{"log", "shop", "blog"}, EXIT_BAD_USAGE, 0},
        {{"log", "--json=yes"}, EXIT_BAD_USAGE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ran r = run(cases[i].words);
        size_t lines = 0;
        for (const char *p = r.out; (p = strchr(p, '\n')); p++)
            lines++;
        if (r.code != cases[i].code || lines != (cases[i].rows ? cases[i].rows + 1 : 0))
            fail_msg("case %zu: exit %d, %zu lines: %s", i, r.code, lines, r.out);
    }
}

static void log_json(void **state)
{
    (void)state;
    cleanup_json json_t *list = JSON("log", "--json");
    assert_int_equal(json_array_size(list), 3);
    cleanup_json json_t *want = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:[{s:s, s:s, s:s}], s:[{s:s, "
        "s:s, s:s, s:s, s:n, s:n, s:n}], s:[],"
        " s:[{s:s, s:s, s:s, s:n}]}",
        "id", 1, "stack", "shop", "state", "failed", "commit", commit_a, "branch", "main", "subject",
        "Add the index", "author", "bob", "trigger", "sync", "reason",
        "schema: 0119_add_index.sql:3: lock timeout; no service was touched", "requested_at",
        "2026-08-22T08:54:59Z", "started_at", "2026-08-22T08:55:00Z", "finished_at", "2026-08-22T08:55:19Z",
        "duration_s", 19.0, "images", "service", "web", "reference", "registry/web:2", "digest", "sha256:abc",
        "migrations", "step", "django", "version", "9f3c1ab0c4d5", "name", "manage.py migrate", "state",
        "failed", "schema", "duration_s", "rows", "schemas", "services", "name", "web", "action", "update",
        "state", "healthy", "note");
    assert_true(json_equal(json_array_get(list, 2), want));
    cleanup_json json_t *none = JSON("log", "--json", "--state", "halted");
    assert_int_equal(json_array_size(none), 0);
}

static void log_running(void **state)
{
    struct fixture *f = *state;
    deploy(f,
           &(struct outline){"bob", "x", "running", DEPLOYMENT_RUNNING, NULL, "2026-08-24 08:55:00", NULL});
    OK(journal_set_waiting(f->journal, "shop", "image registry/web:2", &f->err));
    struct ran r = RUN("log", "-n1", "--wide");
    assert_non_null(strstr(r.out, "1 running   running  "));
    assert_non_null(strstr(r.out, "waiting: image registry/web:2\n"));
    cleanup_json json_t *list = JSON("log", "-n1", "--json");
    const json_t *o = json_array_get(list, 0);
    assert_true(json_is_null(json_object_get(o, "finished_at")));
    assert_true(json_is_null(json_object_get(o, "duration_s")));
    assert_true(json_is_null(json_object_get(o, "reason")));
}

static void log_of_several_stacks(void **state)
{
    struct fixture *f = *state;
    ended(f, "blog", commit_b, DEPLOYMENT_SUCCEEDED);
    assert_true(str_starts(RUN("log").out, "ID  STACK  WHEN"));
    assert_true(str_starts(RUN("log", "blog").out, "ID  WHEN")); /* no longer configured, still on record */
}

/* ---- show ---- */

/* Files of sql steps, in one schema and in many. */
static void show_sql(void **state)
{
    struct fixture *f = *state;
    const struct migration_record files[] = {{"schema", "0118", "add_users", "applied", NULL, 400000, 12},
                                             {"tenants", "7", "x", "applied", "acme", 1234567, 1},
                                             {"init", "", "roles", "applied", NULL, 1000, 0},
                                             {"schema", "0119", "add_index", "failed", NULL, 3000, -1}};
    const struct schema_record versions[] = {{"schema", NULL, "0117", "0118"}, {"tenants", "acme", "7", "7"}};
    static const struct step sql[] = {{.seq = 1, .kind = "sql", .name = "schema"},
                                      {.seq = 2, .kind = "sql", .name = "tenants"},
                                      {.seq = 3, .kind = "sql", .name = "init"}};
    int64_t id = request(f, "shop", commit_a);
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){.plan = "{}", .steps = sql, .n_steps = 3},
                         &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    for (unsigned seq = 1; seq <= 3; seq++) {
        OK(journal_step_begin(f->journal, id, seq, NULL, &f->err));
        OK(journal_step_end(f->journal, id, seq, STEP_DONE, NULL, &f->err));
    }
    OK(journal_put_migrations(f->journal, id, files, 4, &f->err));
    OK(journal_put_schema(f->journal, id, &versions[0], &f->err));
    OK(journal_put_schema(f->journal, id, &versions[1], &f->err));
    const char *page = RUN("show", "4").out;
    static const char *const wanted[] = {("  done  sql schema\n"
                                          "  │      0118 add_users: applied, 0.400 s, 12 rows\n"
                                          "  │      0119 add_index: failed, 0.003 s\n"
                                          "  │      version 0117 → 0118\n"
                                          "  ├─  2  "),
                                         ("  done  sql tenants\n"
                                          "  │      acme: 7 x: applied, 1.234 s, 1 row\n"
                                          "  │      acme: version stays at 7\n"
                                          "  └─  3  "),
                                         ("  done  sql init\n"
                                          "         roles: applied, 0.001 s, 0 rows\n")};
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (!strstr(page, wanted[i]))
            fail_msg("%s", page);
    OK(journal_put_migrations(
        f->journal, id, &(struct migration_record){"schema", "0119", "add_index", "applied", NULL, 3, 0}, 1,
        &f->err));
    const char *log = RUN("log").out; /* idempotent files are no news */
    if (!strstr(log, "3 applied"))
        fail_msg("%s", log);
    cleanup_json json_t *list = JSON("log", "--json"), *d = json_incref(json_array_get(list, 0));
    cleanup_json json_t *schema = json_pack("{s:s, s:n, s:s, s:s}", "step", "schema", "schema", "before",
                                            "0117", "after", "0118"),
                        *file = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:i}", "step", "tenants", "version",
                                          "7", "name", "x", "state", "applied", "schema", "acme",
                                          "duration_s", 1.234567, "rows", 1);
    assert_true(json_equal(json_array_get(json_object_get(d, "schemas"), 0), schema));
    assert_true(json_equal(json_array_get(json_object_get(d, "migrations"), 1), file));
}

static void show_page(void **state)
{
    (void)state;
    struct ran r = RUN("show", "1");
    assert_int_equal(r.code, 0);
    assert_string_equal(
        r.out,
        "deployment 1 of shop: failed\n"
        "  commit      9f3c1ab0c4d5e6f708192a3b4c5d6e7f80912a3b on main\n"
        "  subject     Add the index\n"
        "  author      bob\n"
        "  trigger     sync, by uid 1000\n"
        "  requested   2026-08-22 08:54:59\n"
        "  started     2026-08-22 08:55:00\n"
        "  finished    2026-08-22 08:55:19, took 0m19s\n"
        "  why         schema: 0119_add_index.sql:3: lock timeout; no service was touched\n"
        "\n"
        "warnings\n"
        "  - web has no healthcheck\n"
        "\n"
        "steps\n"
        "  ├─  1  08:55:00   0m02s  failed   run django\n"
        "  │      exit 1: lock timeout\n"
        "  │      9f3c1ab0c4d5 manage.py migrate: failed\n"
        "  │      the last 20 of 30 lines; all of them: agentctl show 1 --logs\n"
        "  │      │ line 11\n  │      │ line 12\n  │      │ line 13\n  │      │ line 14\n"
        "  │      │ line 15\n  │      │ line 16\n  │      │ line 17\n  │      │ line 18\n"
        "  │      │ line 19\n  │      │ line 20\n  │      │ line 21\n  │      │ line 22\n"
        "  │      │ line 23\n  │      │ line 24\n  │      │ line 25\n  │      │ line 26\n"
        "  │      │ line 27\n  │      │ line 28\n  │      │ line 29\n  │      │ line 30\n"
        "  └─  2                    not run  roll web\n"
        "\n"
        "images\n"
        "  web: registry/web:2 sha256:abc\n"
        "\n"
        "what happened\n"
        "  failed      step 1, run django: exit 1: lock timeout\n"
        "  runs new    web\n"
        "  database    django manage.py migrate failed: migrations are not undone\n"
        "\n"
        "what next\n"
        "  No application service was touched: what ran before runs on. What the failed migration "
        "changed in the database stays.\n"
        "  This commit is held. Push one that mends it, or, when the cause lay elsewhere, try this one "
        "again: agentctl retry 1\n");
    assert_non_null(strstr(RUN("show", "2", "--logs").out, "│ line 1\n"));
    assert_null(strstr(RUN("show", "2").out, "│ line"));
    assert_non_null(strstr(RUN("show", "#3").out, "The services were put back to what ran before."));
}

/* What somebody reads who was woken: which check, before and now, what was put back, what the database holds.
 */
static void show_regression(void **state)
{
    struct fixture *f = *state;
    static const char noted[] =
        "{\"sent\": \"x\", \"regressed\": {\"check\": \"web /health\", \"service\": \"web\","
        " \"before\": {\"passed\": 5, \"asked\": 5, \"last\": \"200\"},"
        " \"now\": {\"passed\": 1, \"asked\": 5, \"last\": \"500\"}}}";
    const struct migration_record files[] = {{"schema", "0118", "add_users", "applied", NULL, 400000, 12}};
    OK(journal_put_migrations(f->journal, 3, files, 1, &f->err));
    OK(journal_put_schema(f->journal, 3, &(struct schema_record){"schema", NULL, "0117", "0118"}, &f->err));
    OK(journal_step_begin(f->journal, 3, 2, noted, &f->err));
    OK(journal_step_end(f->journal, 3, 2, STEP_FAILED, "web /health: 5 of 5 before, 1 of 5 now", &f->err));
    OK(journal_set_service(f->journal, 3, "web", "rolled_back", NULL, NULL, NULL, &f->err));
    const char *page = RUN("show", "3").out,
               *want =
                   "\nwhat happened\n"
                   "  check       web /health\n"
                   "  before      5 of 5 samples passed, the last: 200\n"
                   "  now         1 of the newest 5 samples passed, the last: 500\n"
                   "  failed      step 2, roll web\n"
                   "  put back    web: exactly as before, registry/web:1, and it passed its gate\n"
                   "  database    schema at 0118 (0117 before), django applied: migrations are not undone\n"
                   "\n"
                   "what next\n";
    if (!strstr(page, want))
        fail_msg("%s", page);
    cleanup_json json_t *o = JSON("show", "3", "--json"),
                        *before = json_pack("{s:i, s:i, s:s}", "passed", 5, "asked", 5, "last", "200");
    const json_t *regressed = json_object_get(o, "regressed");
    assert_string_equal(json_string_value(json_object_get(regressed, "check")), "web /health");
    assert_true(json_equal(json_object_get(regressed, "before"), before));
}

/* Slower is said beside the numbers, without the single samples. */
static void show_latency(void **state)
{
    struct fixture *f = *state;
    static const char noted[] =
        "{\"speed\": {\"check 0\": {\"check\": \"web /health\", \"service\": \"web\", \"ms\": [420],"
        " \"median_ms\": 420, \"samples\": 23, \"before_ms\": 80, \"before_samples\": 41, \"slower\": true,"
        " \"words\": \"w\"}, \"check 1\": {\"check\": \"api /\", \"service\": \"api\", \"ms\": [7],"
        " \"median_ms\": 7, \"samples\": 1, \"slower\": false}}}";
    static const struct step soak = {.seq = 1, .kind = "soak", .name = "shop"};
    struct deployment_request r = {.stack = "shop", .commit = commit_a, .trigger = TRIGGER_SYNC};
    static const struct service_record web = {"web", "shop_web", "none", "unchanged", NULL, NULL, NULL};
    int64_t id;
    OK(journal_request(f->journal, &r, &id, &f->err));
    OK(journal_save_plan(
        f->journal, id,
        &(struct plan_rows){.plan = "{\"services\":[{\"service\":\"web\",\"failures_before\":3}]}",
                            .steps = &soak,
                            .n_steps = 1,
                            .services = &web,
                            .n_services = 1},
        &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_step_begin(f->journal, id, 1, noted, &f->err));
    const char *page = RUN("show", "4").out;
    if (!strstr(page, "\nother services\n  web: unchanged\n      3 task failures in the 10 minutes before\n"
                      "\nanswers\n"
                      "  web /health: median 420 ms of 23 samples, was 80 ms of 41: slower\n"
                      "  api /: median 7 ms of 1 samples\n"))
        fail_msg("%s", page);
    cleanup_json json_t *o = JSON("show", "4", "--json");
    cleanup_json json_t *want =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:b}", "check", "web /health", "service", "web",
                  "median_ms", 420, "samples", 23, "before_ms", 80, "before_samples", 41, "slower", 1);
    assert_true(json_equal(json_array_get(json_object_get(o, "latency"), 0), want));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(o, "services"), 0),
                                                        "failures_before")),
                     3);
}

static void show_json(void **state)
{
    (void)state;
    struct ran r = RUN("show", "1", "--json");
    assert_null(strstr(r.out, "hunter22")); /* neither in plan, params nor specs */
    assert_null(strstr(r.out, "progress"));
    assert_non_null(strstr(r.out, "DATABASE_PASSWORD=***"));
    assert_non_null(strstr(r.out, "\"PLAIN\""));
    cleanup_json json_t *o = JSON("show", "1", "--json");
    const char *state_name, *output, *image, *error;
    assert_int_equal(json_unpack(o, "{s:s, s:[{s:s, s:s}], s:[{s:{s:{s:{s:s}}}}]}", "state", &state_name,
                                 "steps", "output", &output, "error", &error, "services", "after",
                                 "TaskTemplate", "ContainerSpec", "Image", &image),
                     0);
    assert_string_equal(state_name, "failed");
    assert_string_equal(image, "registry/web:2");
    assert_string_equal(error, "exit 1: lock timeout");
    assert_true(str_ends(output, "line 30\n"));
    assert_true(json_is_array(json_object_get(o, "warnings")));
    assert_true(json_is_object(json_object_get(o, "plan")));
}

/* A rollback is no advice where what it would start is gone. */
static void show_halted(void **state)
{
    struct fixture *f = *state;
    static const char regressed[] = "web /health: 200 before, 500 now; putting back failed: web: ";
    static const char *const ends[][2] = {
        {"task a rejected: No such image: registry/web:1",
         "A rollback does not help before it is back there"},
        {"3 tasks failed", "Put the services back: agentctl rollback shop"},
    };
    for (size_t i = 0; i < 2; i++) {
        int64_t id = request(f, "shop", commit_b);
        OK(journal_set_state(f->journal, id, DEPLOYMENT_PLANNED, NULL, &f->err));
        OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
        OK(journal_set_state(f->journal, id, DEPLOYMENT_HALTED,
                             arena_printf(&f->arena, "%s%s", regressed, ends[i][0]), &f->err));
        const char *page = RUN("show", arena_printf(&f->arena, "%lld", (long long)id)).out;
        if (!strstr(page, ends[i][1]))
            fail_msg("%s", page);
    }
}

/* ---- status ---- */

static void status_text(void **state)
{
    struct fixture *f = *state;
    struct ran r = RUN("status");
    assert_int_equal(r.code, 0);
    assert_true(str_starts(
        r.out,
        "agentd: not running\n\nshop: behind\n  deployed   9f3c1ab by #2, 2026-08-22 09:12:04  Mend it\n"));
    assert_non_null(strstr(r.out, "\n  services   web healthy (when deployed)\n"));
    assert_non_null(strstr(r.out, "agentctl retry 3\n"));
    OK(journal_pause(f->journal, "shop", true, "release day", 0, &f->err));
    OK(journal_set_alarm(f->journal, "shop", "main was rewritten; agentctl approve shop", commit_b, &f->err));
    bool first;
    OK(journal_set_poll_error(f->journal, "shop", "no route to host", &first, &f->err));
    r = RUN("status", "shop");
    assert_non_null(strstr(r.out, "release day; end it with: agentctl resume shop"));
    assert_non_null(strstr(r.out, "alarm      main was rewritten"));
    assert_non_null(strstr(r.out, "no route to host"));
}

static void status_json(void **state)
{
    struct fixture *f = *state;
    OK(journal_set_hold_absolute(f->journal, "shop", true, &f->err));
    cleanup_json json_t *o = JSON("status", "--json");
    static const char *const keys[] = {
        "stack",     "commit",     "deployment",         "tip",  "in_step", "state", "waiting", "next_poll",
        "last_poll", "poll_error", "poll_failing_since", "held", "paused",  "alarm", "drift",   "services",
        "frozen"};
    const json_t *s = json_array_get(json_object_get(o, "stacks"), 0);
    assert_true(json_is_null(json_object_get(o, "agentd")));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!json_object_get(s, keys[i]))
            fail_msg("no %s", keys[i]);
    assert_true(json_is_false(json_object_get(s, "in_step")));
    assert_int_equal(json_integer_value(json_object_get(s, "deployment")), 2);
    assert_true(json_is_true(json_object_get(json_object_get(s, "held"), "absolute")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(s, "held"), "commit")), commit_b);
}

static void status_drift(void **state)
{
    struct fixture *f = *state;
    bool news;
    OK(journal_set_tip(f->journal, "shop", commit_b, &f->err));
    OK(journal_set_drift(f->journal, "shop",
                         "{\"services\":[{\"service\":\"web\",\"text\":\"web: changed\"},{\"service\":\"db\","
                         "\"text\":\"db: removed\"}],\"note\":\"not put right\"}",
                         &news, &f->err));
    const char *out = RUN("status").out;
    assert_non_null(strstr(out, "\n  drift      web: changed\n             db: removed\n"));
    assert_non_null(strstr(out, "; not put right\n"));
    cleanup_json json_t *o = JSON("status", "--json");
    const char *since, *note, *text;
    assert_int_equal(json_unpack(json_array_get(json_object_get(o, "stacks"), 0), "{s:{s:s, s:s, s:[{s:s}]}}",
                                 "drift", "since", &since, "note", &note, "services", "text", &text),
                     0);
    assert_string_equal(text, "web: changed");
    assert_true(str_ends(since, "Z"));
}

/* agentd is down: the file says what holds. */
static void status_frozen(void **state)
{
    struct fixture *f = *state;
    cleanup_json json_t *before = JSON("status", "--json");
    assert_true(
        json_is_null(json_object_get(json_array_get(json_object_get(before, "stacks"), 0), "frozen")));
    FILE *file = fopen(getenv("DEPLOY_AGENT_CONFIG"), "a");
    fputs("freeze = 2020-01-01 00:00..2100-01-01 00:00\n", file);
    fclose(file);
    const char *out = RUN("status").out;
    if (!strstr(out, "\n  frozen     until 2100-01-01 00:00:00; 77be0d2 waits, to deploy it now: "
                     "agentctl approve shop --commit 77be0d2c4d5e\n"))
        fail_msg("%s", out);
    cleanup_json json_t *o = JSON("status", "--json");
    const char *until;
    assert_int_equal(
        json_unpack(json_array_get(json_object_get(o, "stacks"), 0), "{s:{s:s}}", "frozen", "until", &until),
        0);
    assert_string_equal(until, "2100-01-01T00:00:00Z");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err)); /* deployed: nothing waits */
    assert_null(strstr(RUN("status").out, " waits, to deploy it now"));
}

static bool is_in_step(void)
{
    cleanup_json json_t *o = JSON("status", "--json");
    return json_is_true(json_object_get(json_array_get(json_object_get(o, "stacks"), 0), "in_step"));
}

/* The commit of the last success is the tip, but what was tried since may have left something else. */
static void in_step(void **state)
{
    struct fixture *f = *state;
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    assert_false(is_in_step()); /* #3 holds */
    assert_true(strstr(RUN("status").out, "shop: held\n"));
    int64_t id;
    struct deployment_request again = {
        .stack = "shop", .commit = commit_a, .branch = "main", .trigger = TRIGGER_IMAGE};
    OK(journal_request(f->journal, &again, &id, &f->err));
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){0}, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_SUCCEEDED, "done", &f->err));
    /* agentd is down here: nobody has looked since, and nobody knows */
    assert_false(is_in_step());
    assert_true(strstr(RUN("status").out, "shop: in step when the branch was last seen\n"));
    OK(journal_request(f->journal, &again, &id, &f->err));
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){0}, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_HALTED, "half way", &f->err));
    assert_false(is_in_step());
    assert_true(strstr(RUN("status").out, "shop: held\n"));
}

/* ---- what a deployment is at ---- */

static int64_t begun(struct fixture *f)
{
    static const struct step steps[] = {{.seq = 1, .kind = "pull", .name = "web:2"},
                                        {.seq = 2, .kind = "roll", .name = "worker"},
                                        {.seq = 3, .kind = "roll", .name = "web"}};
    int64_t id = request(f, "shop", commit_b);
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){.plan = "{}", .steps = steps, .n_steps = 3},
                         &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_step_begin(f->journal, id, 1, NULL, &f->err));
    return id;
}

static void at_work(void **state)
{
    struct fixture *f = *state;
    int64_t id = begun(f);
    /* nothing told: nothing invented */
    assert_non_null(strstr(RUN("status").out, "step 1 of 3: pull web:2, 0m00s\n"));
    OK(journal_step_live(f->journal, id, 1, "{\"of\":\"layers\",\"done\":2,\"total\":5,\"bytes\":12300000}",
                         &f->err));
    assert_non_null(
        strstr(RUN("status").out, "step 1 of 3: pull web:2, 0m00s, 2 of 5 layers pulled, 12 MB\n"));
    assert_non_null(strstr(RUN("show", "4").out, "2 of 5 layers pulled, 12 MB\n"));
    OK(journal_step_end(f->journal, id, 1, STEP_DONE, NULL, &f->err));
    assert_null(strstr(RUN("show", "4").out, "layers")); /* it has ended */
    OK(journal_step_begin(f->journal, id, 2, NULL, &f->err));
    OK(journal_step_end(f->journal, id, 2, STEP_DONE, NULL, &f->err));
    OK(journal_step_begin(f->journal, id, 3, NULL, &f->err));
    OK(journal_step_end(f->journal, id, 3, STEP_FAILED, "no", &f->err));
    assert_null(strstr(RUN("status").out, "step 3"));
    /* what was rolled before the failure goes back, too */
    OK(journal_step_live(f->journal, id, 2, "{\"doing\":\"putting it back\",\"of\":\"replicas\",\"total\":1}",
                         &f->err));
    const char *out = RUN("status").out;
    if (!strstr(out, "step 2 of 3: roll worker, putting it back, 0 of 1 replica up\n"))
        fail_msg("%s", out);
    cleanup_json json_t *o = JSON("status", "--json");
    const json_t *step = json_object_get(json_array_get(json_object_get(o, "stacks"), 0), "step");
    assert_true(json_is_true(json_object_get(step, "putting_back")));
    assert_int_equal(json_integer_value(json_object_get(step, "seq")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(step, "live"), "total")), 1);
    assert_true(json_is_null(json_object_get(json_object_get(step, "live"), "deadline_at")));
}

/* ---- exit codes ---- */

static void exit_codes(void **state)
{
    struct fixture *f = *state;
    char missing[100];
    snprintf(missing, sizeof missing, "%s/none/agent.conf", f->folder);
    static const struct {
        const char *words[5];
        int code;
    } cases[] = {
        {{"--version"}, EXIT_GOOD},
        {{"--help"}, EXIT_GOOD},
        {{"-h"}, EXIT_GOOD},
        {{"log", "--help"}, EXIT_GOOD},
        {{"show", "-h"}, EXIT_GOOD},
        {{NULL}, EXIT_BAD_USAGE},
        {{"nosuch"}, EXIT_BAD_USAGE},
        {{"--nosuch"}, EXIT_BAD_USAGE},
        {{"--config"}, EXIT_BAD_USAGE},
        {{"show"}, EXIT_BAD_USAGE},
        {{"show", "x"}, EXIT_BAD_USAGE},
        {{"show", "-1"}, EXIT_BAD_USAGE},
        {{"show", "99"}, EXIT_NOT_FOUND},
        {{"show", "99999999999999999999"}, EXIT_BAD_USAGE},
        {{"status", "nosuch"}, EXIT_NOT_FOUND},
        {{"sync"}, EXIT_NO_DAEMON},
        {{"sync", "nosuch"}, EXIT_NOT_FOUND},
        {{"retry", "3"}, EXIT_NO_DAEMON},
        {{"retry", "99"}, EXIT_NOT_FOUND},
        {{"cancel", "shop"}, EXIT_NO_DAEMON},
        {{"approve", "nosuch"}, EXIT_NOT_FOUND},
        {{"pause", "shop", "--until", "2020-01-01"}, EXIT_BAD_USAGE},
        {{"pause", "--reason=x", "--until=2h"}, EXIT_NO_DAEMON},
        {{"resume"}, EXIT_NO_DAEMON},
        {{"rollback"}, EXIT_NO_DAEMON},
        {{"rollback", "shop", "2"}, EXIT_NO_DAEMON},
        {{"rollback", "2", "2"}, EXIT_BAD_USAGE},
        {{"rollback", "shop", "99"}, EXIT_NOT_FOUND},
        {{"render", "stack.yml"}, EXIT_BAD_USAGE},
        {{"plan", "nosuch"}, EXIT_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = run(cases[i].words).code;
        if (code != cases[i].code)
            fail_msg("agentctl %s %s: exit %d, not %d", cases[i].words[0], cases[i].words[1], code,
                     cases[i].code);
    }
}

/* Every verb of the table has help that names its flags. */
static void help(void **state)
{
    (void)state;
    static const char *const names[] = {"log",    "show",    "status", "plan",   "render",   "sync", "retry",
                                        "cancel", "approve", "pause",  "resume", "rollback", "check"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[20];
        snprintf(line, sizeof line, "\n  %s ", names[i]);
        assert_non_null(strstr(RUN("--help").out, line));
        struct ran r = RUN(names[i], "--help");
        for (const struct flag *flag = verb_find(names[i])->flags; flag->name; flag++)
            assert_non_null(strstr(r.out, flag->name));
    }
}

/* ---- text ---- */

static void cutting(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        size_t columns;
        const char *want;
    } cases[] = {
        {"plain", 5, "plain"},   {"plain", 4, "pla…"},
        {"plain", 1, "…"},       {"plain", 0, ""},
        {"äöü", 3, "äöü"},       {"äöü", 2, "ä…"},
        {"漢字漢", 6, "漢字漢"}, {"漢字漢", 5, "漢字…"},
        {"漢字漢", 4, "漢…"},    {"e\xcc\x81x", 2, "e\xcc\x81x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(text_cut(&f->arena, cases[i].text, cases[i].columns), cases[i].want);
    assert_string_equal(text_safe(&f->arena, NULL), "");
    assert_string_equal(text_safe(&f->arena, "a\033b\nc"), "ab c");
}

static void tails(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t lines;
        const char *want;
    } cases[] = {
        {"a\nb\nc\n", 2, "> b\n> c\n"},
        {"a\nb\nc", 2, "> b\n> c\n"},
        {"a\nb\n", 9, "> a\n> b\n"},
        {"a\n\nc\n", 2, "> \n> c\n"},
        {"", 3, ""},
        {"one", 1, "> one\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cleanup_str struct str s = {0};
        text_tail(&s, cases[i].text, cases[i].lines, "> ");
        assert_string_equal(str_text(&s), cases[i].want);
    }
}

/* Nothing takes less than no time. */
static void clock_set_back(void **state)
{
    struct fixture *f = *state;
    const struct view v = {.d = {.started_us = 86400 * US_PER_S, .finished_us = 123 * US_PER_S}};
    assert_string_equal(view_took(&f->arena, &v), "0m00s");
    cleanup_json json_t *s = json_duration(v.d.started_us, v.d.finished_us);
    assert_true(json_real_value(s) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(log_table),      TEST(log_fits),
        TEST(log_filters),    TEST(log_json),
        TEST(log_running),    TEST(log_of_several_stacks),
        TEST(show_page),      TEST(show_sql),
        TEST(show_json),      TEST(show_regression),
        TEST(show_latency),   TEST(status_text),
        TEST(status_json),    TEST(status_drift),
        TEST(status_frozen),  TEST(show_halted),
        TEST(in_step),        TEST(exit_codes),
        TEST(help),           TEST(cutting),
        TEST(tails),          TEST(at_work),
        TEST(clock_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/secret.h"
#include "core_fixture.h"

/* Four services in two lines; what a case adds begins in line 3. */
#define SERVICES                                                                                             \
    "services: {web: {image: web, depends_on: [worker, cache]}, worker: {image: worker, depends_on: [db]}, " \
    "cache: {image: cache}, db: {image: db}}\n"                                                              \
    "x-release:\n"

/* ---- what is decoded, as text ---- */

static void dump_list(struct str *out, const char *word, const char *const *items)
{
    if (!items)
        return;
    str_printf(out, " %s=[", word);
    for (size_t i = 0; items[i]; i++)
        str_printf(out, "%s%s", i ? "|" : "", items[i]);
    str_append(out, "]");
}

/* Only what is not the default. */
static void dump_sql(struct str *out, const struct release *r, size_t i)
{
    static const char *const edited[] = {
        [EDITED_ERROR] = "", [EDITED_WARN] = " warn", [EDITED_IGNORE] = " ignore"};
    const struct sql_step *s = &r->steps[i].sql;
    str_printf(out, "sql %s %s", r->steps[i].name, s->dir);
    if (strcmp(s->table, "schema_migrations") != 0)
        str_printf(out, " table=%s", s->table);
    if (s->timeout_us != 900 * US_PER_S)
        str_printf(out, " timeout=%lldms", (long long)s->timeout_us / 1000);
    if (s->lock_timeout_us != 5 * US_PER_S)
        str_printf(out, " lock=%lldms", (long long)s->lock_timeout_us / 1000);
    str_printf(out, "%s%s%s", s->admin ? " admin" : "", release_step_is_early(r, i) ? " early" : "",
               s->versioned ? "" : " unversioned");
    if (s->for_each_schema)
        str_printf(out, " each=(%s)%s", s->for_each_schema, s->continue_on_error ? " continue" : "");
    str_append(out, edited[s->rules.on_edited]);
    dump_list(out, "accept", s->rules.accept_duplicates);
    dump_list(out, "lint", s->rules.lint_errors);
    str_append(out, "\n");
}

static void dump_expect(struct str *out, const struct release_step *step)
{
    const struct expect_step *e = &step->expect;
    str_printf(out, "expect %s", step->name);
    dump_list(out, "tables", e->tables);
    dump_list(out, "columns", e->columns);
    dump_list(out, "constraints", e->constraints);
    dump_list(out, "indexes", e->indexes);
    str_printf(out, " query=%s\n", e->query ? e->query : "-");
}

static void dump_steps(struct str *out, const struct release *r)
{
    static const char *const when[] = {
        [RUN_ALWAYS] = "always", [RUN_FIRST_DEPLOY] = "first", [RUN_CHANGED] = "changed"};
    for (size_t i = 0; i < r->n_steps; i++) {
        if (r->steps[i].kind == RELEASE_SQL) {
            dump_sql(out, r, i);
            continue;
        }
        if (r->steps[i].kind == RELEASE_EXPECT) {
            dump_expect(out, &r->steps[i]);
            continue;
        }
        const struct run_step *s = &r->steps[i].run;
        str_printf(out, "run %s in %s", r->steps[i].name, s->service);
        dump_list(out, "command", s->command);
        dump_list(out, "check", s->check);
        str_printf(out, " timeout=%lldms when=%s", (long long)(s->timeout_us / 1000), when[s->when]);
        dump_list(out, "paths", s->paths);
        str_printf(out, "%s\n", s->allow_failure ? " allowed" : "");
    }
}

static void dump_checks(struct str *out, const struct release *r)
{
    for (size_t i = 0; i < r->n_checks; i++) {
        const struct health_check *c = &r->checks[i];
        if (c->kind != CHECK_HTTP) {
            str_printf(out, "check %s: label=\"%s\" %s:%u sql=%s", c->service, c->label, c->host, c->port,
                       c->sql ? c->sql : "-");
            dump_list(out, "command", c->command);
            str_printf(out, " timeout=%lldms\n", (long long)(c->timeout_us / 1000));
            continue;
        }
        str_printf(out, "check %s: %s:%u %s label='%s' status=%u body=%s host=%s", c->service, c->host,
                   c->port, c->path, c->label, c->status, c->body ? c->body : "-", c->host_header);
        dump_list(out, "headers", c->headers);
        str_printf(out, " timeout=%lldms\n", (long long)(c->timeout_us / 1000));
    }
}

/* Only what is not the default. */
static void dump_gate(struct str *out, const struct gate_settings *g)
{
    static const char defaults[] =
        "gate probe=2000ms min=10000ms healthy=300000ms total=1800000ms soak=60000ms pass=3 fail=3\n";
    cleanup_str struct str text = {0};
    str_printf(&text,
               "gate probe=%lldms min=%lldms healthy=%lldms total=%lldms soak=%lldms pass=%u fail=%u\n",
               (long long)g->probe_interval_us / 1000, (long long)g->min_healthy_us / 1000,
               (long long)g->healthy_deadline_us / 1000, (long long)g->total_deadline_us / 1000,
               (long long)g->soak_us / 1000, g->success_threshold, g->failure_threshold);
    if (strcmp(str_text(&text), defaults) != 0)
        str_append(out, str_text(&text));
    if (g->baseline_samples != 5 || g->block_on_failing)
        str_printf(out, "baseline samples=%u%s\n", g->baseline_samples, g->block_on_failing ? " block" : "");
}

static void dump(struct str *out, const struct manifest *m)
{
    const struct release *r = &m->release;
    if (r->database_service || r->database_url_from)
        str_printf(out, "database %s from %s\n", r->database_service ? r->database_service : "-",
                   r->database_url_from ? r->database_url_from : "-");
    if (r->migrate_url_from || r->admin_url_from || r->session_pooler)
        str_printf(out, "migrate from %s admin from %s%s\n", r->migrate_url_from ? r->migrate_url_from : "-",
                   r->admin_url_from ? r->admin_url_from : "-", r->session_pooler ? " pooler" : "");
    if (r->backup.when != BACKUP_NEVER || r->backup.volume)
        str_printf(out, "backup %s to %s keep=%u timeout=%lldms%s\n",
                   r->backup.when == BACKUP_ALWAYS    ? "always"
                   : r->backup.when == BACKUP_PENDING ? "pending"
                                                      : "never",
                   r->backup.volume ? r->backup.volume : "-", r->backup.keep,
                   (long long)r->backup.timeout_us / 1000, r->backup.required ? " required" : "");
    if (r->database_ready_us != 120 * US_PER_S)
        str_printf(out, "ready %lldms\n", (long long)r->database_ready_us / 1000);
    dump_steps(out, r);
    if (r->before[0])
        dump_list(out, "before", r->before);
    if (r->order[0])
        dump_list(out, "order", r->order);
    dump_checks(out, r);
    dump_gate(out, &r->gate);
}

#define DATABASE "  database: {service: db, url_from: URL, "
#define SQL(rest)                                                                                            \
    "  database: {service: db, url_from: URL, admin_url_from: ADMIN}\n  steps:\n    - sql: {" rest "}\n"
#define EXPECT(rest)                                                                                         \
    "  database: {service: db, url_from: URL, admin_url_from: ADMIN}\n  steps:\n    - expect: {" rest "}\n"

static void decoding(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"  {}\n", ""},
        {"  database: {}\n", ""},
        {"  database: {service: db}\n", "database db from -\n"},
        {"  database: {url_from: DATABASE_URL, ready_timeout: 30s}\n",
         "database - from DATABASE_URL\nready 30000ms\n"},
        {"  database: {service: db, url_from: DATABASE_URL, ready_timeout: 1h30m}\n",
         "database db from DATABASE_URL\nready 5400000ms\n"},
        {DATABASE "migrate_url_from: DIRECT_URL, admin_url_from: ADMIN_URL, pooler: session}\n",
         "database db from URL\nmigrate from DIRECT_URL admin from ADMIN_URL pooler\n"},
        {DATABASE "backup: {volume: dumps}}\nvolumes: {dumps: {}}\n",
         "database db from URL\nbackup pending to dumps keep=5 timeout=1800000ms required\n"},
        {DATABASE "backup: {when: always, volume: dumps, keep: 1, timeout: 5m, required: false}}\n"
                  "volumes: {dumps: {}}\n",
         "database db from URL\nbackup always to dumps keep=1 timeout=300000ms\n"},
        {"  database: {backup: {when: never}}\n", ""},
        {SQL("name: schema, dir: docker/postgres/migrations"),
         "database db from URL\nmigrate from - admin from ADMIN\nsql schema docker/postgres/migrations\n"},
        {SQL("name: init, dir: ., as: admin, versioned: false"),
         "database db from URL\nmigrate from - admin from ADMIN\nsql init . admin early unversioned\n"},
        {SQL("name: t, dir: a, table: app.versions, timeout: 1h, for_each_schema: SELECT 1, on_error: "
             "continue, lock_timeout: 500ms, on_edited: warn, accept_duplicates: ['040', '41'], lint: "
             "{drop-table: error, truncate: warn}"),
         "database db from URL\nmigrate from - admin from ADMIN\nsql t a table=app.versions "
         "timeout=3600000ms lock=500ms each=(SELECT 1) continue warn accept=[040|41] lint=[drop-table]\n"},
        {SQL("name: t, dir: a, for_each_schema: SELECT 1, on_error: stop, on_edited: ignore"),
         "database db from URL\nmigrate from - admin from ADMIN\nsql t a each=(SELECT 1) ignore\n"},
        /* admin steps are early only at the head of the list */
        {SQL("name: a, dir: a, as: admin") "    - sql: {name: b, dir: b, as: admin}\n"
                                           "    - expect: {tables: [x]}\n"
                                           "    - sql: {name: c, dir: c, as: admin}\n",
         "database db from URL\nmigrate from - admin from ADMIN\nsql a a admin early\nsql b b admin "
         "early\nexpect expect tables=[x] columns=[] constraints=[] indexes=[] query=-\nsql c c admin\n"},
        {EXPECT("name: late, tables: [users, app.users], columns: [users.name, app.users.name], constraints: "
                "[users.users_pkey, \"tasks.rule_check contains 'a.b.c.d'\"], indexes: [users_idx], query: "
                "'SELECT true'"),
         "database db from URL\nmigrate from - admin from ADMIN\nexpect late tables=[users|app.users] "
         "columns=[users.name|app.users.name] constraints=[users.users_pkey|tasks.rule_check contains "
         "'a.b.c.d'] indexes=[users_idx] query=SELECT true\n"},
        {"  steps: []\n", ""},
        {"  steps:\n"
         "    - run: {name: django, service: web, command: [uv, run, manage.py, migrate, --noinput]}\n",
         "run django in web command=[uv|run|manage.py|migrate|--noinput] timeout=900000ms when=always\n"},
        {"  steps:\n"
         "    - run: {name: django, service: web, command: [a, '', 'b c'], check: [a, --check], timeout: "
         "90s, when: always}\n"
         "    - run: {name: seed_1, service: db, command: [x], when: first_deploy, allow_failure: true}\n"
         "    - run: {name: x-2, service: cache, command: [x], when: {changed: [deploy/seed, ./a/, .]}, "
         "allow_failure: false}\n",
         "run django in web command=[a||b c] check=[a|--check] timeout=90000ms when=always\n"
         "run seed_1 in db command=[x] timeout=900000ms when=first allowed\n"
         "run x-2 in cache command=[x] timeout=900000ms when=changed paths=[deploy/seed|./a/|.]\n"},
        {"  rollout: {}\n", ""},
        {"  rollout: {before: [cache], order: [worker, web], together: 1}\n",
         " before=[cache] order=[worker|web]"},
        {"  health: {}\n", ""},
        {"  health: {web: []}\n", ""},
        {"  health: {web: [{http: 'http://web:8000/health'}]}\n",
         "check web: web:8000 /health label='web /health' status=200 body=- host=web headers=[] "
         "timeout=5000ms\n"},
        {"  health:\n"
         "    web:\n"
         "      - {http: 'http://web', status: 301, body: '^(ok|fine)$$', host: example.org, header: {X-A: "
         "b, Accept: '*/*'}, timeout: 1s}\n"
         "      - {http: 'http://web:1/a?b=c&d=%20'}\n"
         "      - {http: 'http://web:65535?x'}\n"
         "    worker: [{http: 'http://10.0.0.7:9000/'}, {http: 'http://tasks.worker_a.example:80/'}]\n",
         "check web: web:80 / label='web /' status=301 body=^(ok|fine)$ host=example.org headers=[X-A: "
         "b|Accept: */*] timeout=1000ms\n"
         "check web: web:1 /a?b=c&d=%20 label='web /a?b=c&d=%20' status=200 body=- host=web headers=[] "
         "timeout=5000ms\n"
         "check web: web:65535 /?x label='web /?x' status=200 body=- host=web headers=[] timeout=5000ms\n"
         "check worker: 10.0.0.7:9000 / label='10.0.0.7 /' status=200 body=- host=10.0.0.7 headers=[] "
         "timeout=5000ms\n"
         "check worker: tasks.worker_a.example:80 / label='tasks.worker_a.example /' status=200 body=- "
         "host=tasks.worker_a.example headers=[] timeout=5000ms\n"},
        {"  database: {url_from: URL}\n  health: {web: [{tcp: 'web:8000'}, {sql: ' SELECT count(*) > 0 FROM "
         "t ; '}, "
         "{command: [a, 'b c'], timeout: 9s}], worker: [{tcp: 'db.example:5432', timeout: 1s}, {command: "
         "[x]}]}\n",
         "database - from URL\ncheck web: label=\"web:8000\" web:8000 sql=- timeout=5000ms\n"
         "check web: label=\"web sql 'SELECT count(*) > 0 FROM t ; '\" :0 sql= SELECT count(*) > 0 FROM t ;  "
         "timeout=5000ms\n"
         "check web: label=\"web command 'a b c'\" :0 sql=- command=[a|b c] timeout=9000ms\n"
         "check worker: label=\"db.example:5432\" db.example:5432 sql=- timeout=1000ms\n"
         "check worker: label=\"worker command 'x'\" :0 sql=- command=[x] timeout=30000ms\n"},
        {"  gate: {}\n", ""},
        {"  gate: {probe_interval: 250ms, success_threshold: 1, failure_threshold: 2, min_healthy_time: 0s, "
         "healthy_deadline: 1s, "
         "total_deadline: 0, soak: 0}\n",
         "gate probe=250ms min=0ms healthy=1000ms total=0ms soak=0ms pass=1 fail=2\n"},
        {"  gate: {baseline_samples: 5, baseline_failing: allow}\n", ""},
        {"  gate: {baseline_samples: 0, baseline_failing: block}\n", "baseline samples=0 block\n"},
        {"  gate: {soak: 30d}\n",
         "gate probe=2000ms min=10000ms healthy=300000ms total=1800000ms soak=2592000000ms pass=3 fail=3\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str have = {0};
        struct manifest m = {0};
        struct error err = {0};
        int r = fixture_load(arena_printf(&arena, "%s%s", SERVICES, cases[i].text), NULL, NULL, 0, &m, &err);
        if (r < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        dump(&have, &m);
        expect_text(cases[i].text, str_text(&have), cases[i].want);
        manifest_release(&m);
    }
}

static void no_section(void **state)
{
    (void)state;
    cleanup_str struct str have = {0};
    struct manifest m = {0};
    struct error err = {0};
    assert_int_equal(fixture_load("services: {web: {image: web}}\n", NULL, NULL, 0, &m, &err), 0);
    dump(&have, &m);
    assert_string_equal(str_text(&have), "");
    manifest_release(&m);
    manifest_release(&m);
}

/* Labels are shown, and short: a secret is hidden before they are cut, since half of one is not known. */
static void labels(void **state)
{
    (void)state;
    struct manifest m = {0};
    struct error err = {0};
    secret_register("a-very-long-password-1234");
    assert_int_equal(
        fixture_load(SERVICES
                     "  database: {url_from: URL}\n  health: {web: [{command: [psql, "
                     "'host=database.example.org user=somebody password=a-very-long-password-1234']}, "
                     "{sql: \"SELECT 'a long string, and one more' > 'a-very-long-password-1234'\"}]}\n",
                     NULL, NULL, 0, &m, &err),
        0);
    for (size_t i = 0; i < m.release.n_checks; i++)
        assert_null(strstr(m.release.checks[i].label, "a-very"));
    manifest_release(&m);
    secret_forget_all();
}

/* ---- refusals ---- */

#define RUN(rest)   "  steps:\n    - run: {name: a, service: web, command: [x], " rest "}\n"
#define HTTP(url)   "  health:\n    web:\n      - {http: '" url "'}\n"
#define CHECK(rest) "  health:\n    web:\n      - {http: 'http://web:8000/', " rest "}\n"

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* the whole message behind "stack.yml:" */
    } cases[] = {
        {"  []\n", "3:3: x-release: must be a mapping"},
        {"  7\n", "3:3: x-release: must be a mapping"},
        {"\n", "2:11: x-release: must be a mapping"},
        {"  deploy: {}\n",
         "3:3: x-release: unknown key 'deploy' (known: database, steps, rollout, health, gate)"},
        {"  steps: []\n  Gate: {}\n",
         "4:3: x-release: unknown key 'Gate' (known: database, steps, rollout, health, gate)"},
        /* database */
        {"  database: db\n", "3:13: x-release.database: must be a mapping"},
        {"  database: {servic: db}\n",
         "3:14: x-release.database: unknown key 'servic' (known: service, url_from, migrate_url_from, "
         "admin_url_from, pooler, ready_timeout, backup)"},
        {"  database: {service: postgres}\n",
         "3:23: x-release.database.service: no service 'postgres' in this stack"},
        {"  database: {service: [db]}\n", "3:23: x-release.database.service: must be a string"},
        {"  database: {service: ''}\n", "3:23: x-release.database.service: must be a non-empty string"},
        {"  database:\n    service: db\n    ready_timeout: 30\n",
         "5:20: x-release.database.ready_timeout: must be a duration such as 30s, 5m or 1h30m"},
        {"  database: {ready_timeout: 0}\n", "3:29: x-release.database: ready_timeout must be more than 0"},
        {"  database: {ready_timeout: 30x}\n",
         "3:29: x-release.database.ready_timeout: '30x' is not a duration: units are ms, s, m, h, d, w"},
        {"  database: {ready_timeout: -1s}\n",
         "3:29: x-release.database.ready_timeout: '-1s' is not a duration (30s, 5m, 1h30m)"},
        {"  database: {ready_timeout: 31d}\n", "3:29: x-release.database.ready_timeout: must be at most 30d"},
        {"  database: {url_from: 7}\n", "3:24: x-release.database.url_from: must be a string"},
        {"  database: {migrate_url_from: X}\n",
         "3:13: x-release.database: needs url_from, too: the URL that the application uses"},
        {"  database: {admin_url_from: X}\n",
         "3:13: x-release.database: needs url_from, too: the URL that the application uses"},
        {DATABASE "pooler: transaction}\n", "3:50: x-release.database.pooler: must be session"},
        {DATABASE "backup: {when: pending}}\n",
         "3:50: x-release.database.backup: needs volume: one of the stack file's top level"},
        {DATABASE "backup: {when: daily}}\n",
         "3:57: x-release.database.backup.when: must be pending, always or never"},
        {DATABASE "backup: {volume: dumps}}\n",
         "3:59: x-release.database.backup: no volume 'dumps' at the top level of this stack"},
        {DATABASE "backup: {volume: dumps, keep: 0}}\nvolumes: {dumps: {}}\n",
         "3:72: x-release.database.backup: keep must be at least 1"},
        {DATABASE "backup: {volume: dumps, timeout: 0}}\nvolumes: {dumps: {}}\n",
         "3:75: x-release.database.backup: timeout must be more than 0"},
        {"  database: {url_from: URL, backup: {volume: dumps}}\nvolumes: {dumps: {}}\n",
         "3:37: x-release.database.backup: needs service and url_from beside it: a dump is made by the "
         "service's own image"},
        /* steps */
        {"  steps: {}\n", "3:10: x-release.steps: must be a list of steps"},
        {"  steps: [run]\n",
         "3:11: x-release.steps.0: must be a mapping with one key, the kind of step: run, sql or expect"},
        {"  steps:\n    - run: {name: a, service: web, command: [x]}\n      sql: {}\n",
         "4:7: x-release.steps.0: must be a mapping with one key, the kind of step: run, sql or expect"},
        {"  steps:\n    - shell: x\n",
         "4:7: x-release.steps.0: no step kind 'shell' (known: run, sql, expect)"},
        /* sql */
        {"  steps:\n    - sql: {name: schema, dir: x}\n",
         "4:7: x-release.steps.0: sql steps need database.url_from"},
        {"  steps:\n    - sql: {name: schema, dir: x, as: admin}\n  database: {url_from: URL}\n",
         "4:7: x-release.steps.0: a step as: admin needs database.admin_url_from"},
        {"  steps:\n    - expect: {tables: [x]}\n",
         "4:7: x-release.steps.0: expect steps need database.url_from"},
        {SQL("name: a"), "5:12: x-release.steps.0.sql: needs name and dir"},
        {SQL("dir: a"), "5:12: x-release.steps.0.sql: needs name and dir"},
        {SQL("name: A, dir: a"),
         "5:19: x-release.steps.0.sql: the name 'A' must be 1 to 32 of a-z, 0-9, _ and -: it becomes part of "
         "a Swarm service's name"},
        {SQL("name: a, dir: a") "    - run: {name: a, service: web, command: [x]}\n",
         "6:19: x-release.steps.1.run: two steps are called 'a'"},
        {SQL("name: a, dir: /a"), "5:27: x-release.steps.0.sql: '/a' is no path from the repository's root "
                                  "(db/migrations, without ..)"},
        {SQL("name: a, dir: a, table: a.b.c"),
         "5:37: x-release.steps.0.sql: 'a.b.c' is no table: NAME or SCHEMA.NAME"},
        {SQL("name: a, dir: a, table: 'a b'"),
         "5:37: x-release.steps.0.sql: 'a b' is no table: NAME or SCHEMA.NAME"},
        {SQL("name: a, dir: a, table: '\"a\"'"),
         "5:37: x-release.steps.0.sql: '\"a\"' is no table: NAME or SCHEMA.NAME"},
        {SQL("name: a, dir: a, table: .a"),
         "5:37: x-release.steps.0.sql: '.a' is no table: NAME or SCHEMA.NAME"},
        {SQL("name: a, dir: a, timeout: 0"), "5:39: x-release.steps.0.sql: timeout must be more than 0"},
        {SQL("name: a, dir: a, lock_timeout: 0"),
         "5:44: x-release.steps.0.sql: lock_timeout must be more than 0: without one, users of a table stand "
         "behind a migration that waits for it"},
        {SQL("name: a, dir: a, as: root"), "5:34: x-release.steps.0.sql.as: must be admin"},
        {SQL("name: a, dir: a, on_edited: x"),
         "5:41: x-release.steps.0.sql.on_edited: must be error, warn or ignore"},
        {SQL("name: a, dir: a, for_each_schema: x, on_error: y"),
         "5:60: x-release.steps.0.sql.on_error: must be stop or continue"},
        {SQL("name: a, dir: a, on_error: stop"),
         "5:40: x-release.steps.0.sql: on_error belongs to for_each_schema"},
        {SQL("name: a, dir: a, versioned: false, table: t"),
         "5:55: x-release.steps.0.sql: table has no meaning with versioned: false"},
        {SQL("name: a, dir: a, accept_duplicates: [40]"),
         "5:50: x-release.steps.0.sql.accept_duplicates: must be a list of strings: quote numbers and "
         "booleans"},
        {SQL("name: a, dir: a, accept_duplicates: ['40_a']"),
         "5:50: x-release.steps.0.sql.accept_duplicates: '40_a' is no version (\"040\")"},
        {SQL("name: a, dir: a, lint: error"),
         "5:36: x-release.steps.0.sql.lint: must be a mapping of rules to error or warn"},
        {SQL("name: a, dir: a, lint: {trunkate: error}"),
         "5:37: x-release.steps.0.sql.lint: no rule 'trunkate'; docs/database.md lists them"},
        {SQL("name: a, dir: a, lint: {truncate: fatal}"),
         "5:47: x-release.steps.0.sql.lint.truncate: must be warn or error"},
        {SQL("name: a, dir: a, allow_failure: true"),
         "5:30: x-release.steps.0.sql: unknown key 'allow_failure' (known: name, dir, table, timeout, as, "
         "versioned, for_each_schema, on_error, lock_timeout, on_edited, accept_duplicates, lint)"},
        /* expect */
        {EXPECT(""), "5:15: x-release.steps.0.expect: expects nothing: needs tables, columns, constraints, "
                     "indexes or query"},
        {EXPECT("tables: [a]") "    - expect: {tables: [b]}\n",
         "6:15: x-release.steps.1.expect: two steps are called 'expect': give this one a name"},
        {EXPECT("tables: [a.b.c]"),
         "5:25: x-release.steps.0.expect.tables: 'a.b.c' must be TABLE or SCHEMA.TABLE"},
        {EXPECT("tables: ['']"), "5:25: x-release.steps.0.expect.tables: '' must be TABLE or SCHEMA.TABLE"},
        {EXPECT("columns: [a.b, name]"),
         "5:31: x-release.steps.0.expect.columns: 'name' must be TABLE.COLUMN, with or without a schema"},
        {EXPECT("constraints: [name]"),
         "5:30: x-release.steps.0.expect.constraints: 'name' must be TABLE.CONSTRAINT, with or without a "
         "schema, and perhaps: contains 'TEXT'"},
        {EXPECT("indexes: [.a]"),
         "5:26: x-release.steps.0.expect.indexes: '.a' must be INDEX or SCHEMA.INDEX"},
        {"  steps:\n    - run: x\n", "4:12: x-release.steps.0.run: must be a mapping"},
        {"  steps:\n    - run: {}\n", "4:12: x-release.steps.0.run: needs name, service and command"},
        {"  steps:\n    - run: {name: a, service: web}\n",
         "4:12: x-release.steps.0.run: needs name, service and command"},
        {"  steps:\n    - run: {name: a, service: web, command: []}\n",
         "4:12: x-release.steps.0.run: needs name, service and command"},
        {"  steps:\n    - run: {name: a, service: web, command: migrate}\n",
         "4:45: x-release.steps.0.run.command: must be a list of strings"},
        {"  steps:\n    - run: {name: a, service: web, command: [x, 1]}\n",
         "4:49: x-release.steps.0.run.command: must be a list of strings: quote numbers and booleans"},
        {"  steps:\n    - run: {name: a, service: web, command: [\"x\\0y\"]}\n",
         "4:46: x-release.steps.0.run.command.0: text must not hold NUL"},
        {"  steps:\n    - run: {name: a, service: wep, command: [x]}\n",
         "4:31: x-release.steps.0.run.service: no service 'wep' in this stack"},
        {"  steps:\n    - run: {name: A, service: web, command: [x]}\n",
         "4:19: x-release.steps.0.run: the name 'A' must be 1 to 32 of a-z, 0-9, _ and -: it becomes part of "
         "a Swarm service's name"},
        {"  steps:\n    - run: {name: -a, service: web, command: [x]}\n",
         "4:19: x-release.steps.0.run: the name '-a' must be 1 to 32 of a-z, 0-9, _ and -: it becomes part "
         "of a Swarm service's name"},
        {"  steps:\n    - run: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, service: web, command: [x]}\n",
         "4:19: x-release.steps.0.run: the name 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' must be 1 to 32 of a-z, "
         "0-9, _ and -: it becomes part of a Swarm service's name"},
        {"  steps:\n    - run: {name: a, service: web, command: [x]}\n    - run: {name: a, service: web, "
         "command: [y]}\n",
         "5:19: x-release.steps.1.run: two steps are called 'a'"},
        {RUN("check: []"), "4:57: x-release.steps.0.run: check must not be empty; leave it out for none"},
        {RUN("check: x"), "4:57: x-release.steps.0.run.check: must be a list of strings"},
        {RUN("timeout: 0"), "4:59: x-release.steps.0.run: timeout must be more than 0"},
        {RUN("timeout: soon"),
         "4:59: x-release.steps.0.run.timeout: 'soon' is not a duration (30s, 5m, 1h30m)"},
        {RUN("when: never"),
         "4:56: x-release.steps.0.run.when: must be always, first_deploy, or changed: [paths]"},
        {RUN("when: {changed: []}"), "4:66: x-release.steps.0.run.when.changed: must name at least one path"},
        {RUN("when: {changed: deploy}"),
         "4:66: x-release.steps.0.run.when.changed: must be a list of strings"},
        {RUN("when: {changed: [a], always: true}"),
         "4:56: x-release.steps.0.run.when: must be always, first_deploy, or changed: [paths]"},
        {RUN("when: {changed: [/etc]}"), "4:67: x-release.steps.0.run.when.changed: '/etc' is no path from "
                                         "the repository's root (deploy/seed, without ..)"},
        {RUN("when: {changed: [a, a/../b]}"), "4:70: x-release.steps.0.run.when.changed: 'a/../b' is no path "
                                              "from the repository's root (deploy/seed, without ..)"},
        {RUN("when: {changed: [..]}"), "4:67: x-release.steps.0.run.when.changed: '..' is no path from the "
                                       "repository's root (deploy/seed, without ..)"},
        {RUN("when: {changed: ['']}"), "4:67: x-release.steps.0.run.when.changed: '' is no path from the "
                                       "repository's root (deploy/seed, without ..)"},
        {RUN("when: [always]"),
         "4:56: x-release.steps.0.run.when: must be always, first_deploy, or changed: [paths]"},
        {RUN("allow_failure: 1"), "4:65: x-release.steps.0.run.allow_failure: must be true or false"},
        {RUN("retries: 3"), "4:50: x-release.steps.0.run: unknown key 'retries' (known: name, service, "
                            "command, check, timeout, when, allow_failure)"},
        /* rollout */
        {"  rollout: [web]\n", "3:12: x-release.rollout: must be a mapping"},
        {"  rollout: {after: []}\n",
         "3:13: x-release.rollout: unknown key 'after' (known: before, order, together)"},
        {"  rollout: {before: web}\n", "3:21: x-release.rollout.before: must be a list of strings"},
        {"  rollout: {before: [wep]}\n", "3:22: x-release.rollout.before: no service 'wep' in this stack"},
        {"  rollout: {before: [web, '']}\n", "3:27: x-release.rollout.before: must be a non-empty string"},
        {"  rollout:\n    order:\n      - web\n      - worker\n      - web\n",
         "7:9: x-release.rollout.order: service 'web' is named twice"},
        {"  rollout: {together: 2}\n",
         "3:23: x-release.rollout: this version rolls one service at a time: together must be 1"},
        {"  rollout: {together: 0}\n",
         "3:23: x-release.rollout: this version rolls one service at a time: together must be 1"},
        {"  rollout: {together: one}\n",
         "3:23: x-release.rollout.together: must be a whole number from 0 to 2147483647"},
        /* health */
        {"  health: []\n", "3:11: x-release.health: must be a mapping of services to lists of checks"},
        {"  health: {wep: []}\n", "3:12: x-release.health: no service 'wep' in this stack"},
        {"  health: {web: {http: x}}\n", "3:17: x-release.health.web: must be a list of checks"},
        {"  health: {web: [x]}\n", "3:18: x-release.health.web.0: must be a mapping"},
        {"  health: {web: [{}]}\n", "3:18: x-release.health.web.0: needs one of http, tcp, sql and command"},
        {"  health: {web: [{status: 200}]}\n",
         "3:18: x-release.health.web.0: needs one of http, tcp, sql and command"},
        {"  health: {web: [{tcp: 'web:80', http: 'http://web'}]}\n",
         "3:18: x-release.health.web.0: needs one of http, tcp, sql and command"},
        {"  health: {web: [{tcp: 'web:80', status: 200}]}\n",
         "3:42: x-release.health.web.0: status is for http only"},
        {"  health: {web: [{sql: SELECT true, body: x}]}\n",
         "3:43: x-release.health.web.0: body is for http only"},
        {"  health: {web: [{tcp: web}]}\n",
         "3:24: x-release.health.web.0: 'web' is no host:port (a service name "
         "or host name, a port from 1 to 65535)"},
        {"  health: {web: [{tcp: 'web:0'}]}\n", "3:24: x-release.health.web.0: 'web:0' is no host:port (a "
                                                "service name or host name, a port from 1 to "
                                                "65535)"},
        {"  health: {web: [{sql: 'SELECT true'}]}\n",
         "3:18: x-release.health.web.0: sql checks need database.url_from"},
        {"  health: {web: [{sql: 'DELETE FROM t'}]}\n",
         "3:24: x-release.health.web.0: must be one SELECT, without ; in it, that yields one row with true"},
        {"  health: {web: [{sql: 'SELECT 1; COMMIT; DELETE FROM t'}]}\n",
         "3:24: x-release.health.web.0: must be one SELECT, without ; in it, that yields one row with true"},
        {"  health: {web: [{command: []}]}\n", "3:28: x-release.health.web.0: command must not be empty"},
        {"  health: {web: [{command: x}]}\n",
         "3:28: x-release.health.web.0.command: must be a list of strings"},
        {"  health: {web: [{command: [x], timeout: 0s}]}\n",
         "3:42: x-release.health.web.0: timeout must be more than 0"},
        {"  health: {web: [{url: x}]}\n", "3:19: x-release.health.web.0: unknown key 'url' (known: http, "
                                          "tcp, sql, command, status, body, host, header, timeout)"},
        {HTTP("https://web/"),
         "5:16: x-release.health.web.0: must be an http:// URL: inside the overlay the task itself is asked"},
        {HTTP("web:8000/health"),
         "5:16: x-release.health.web.0: must be an http:// URL: inside the overlay the task itself is asked"},
        {HTTP("http://"), "5:16: x-release.health.web.0: '' is no host:port (a service name or host name, a "
                          "port from 1 to 65535)"},
        {HTTP("http:///health"), "5:16: x-release.health.web.0: '' is no host:port (a service name or host "
                                 "name, a port from 1 to 65535)"},
        {HTTP("http://:80/"), "5:16: x-release.health.web.0: ':80' is no host:port (a service name or host "
                              "name, a port from 1 to 65535)"},
        {HTTP("http://web:/"), "5:16: x-release.health.web.0: 'web:' is no host:port (a service name or host "
                               "name, a port from 1 to 65535)"},
        {HTTP("http://web:0/"), "5:16: x-release.health.web.0: 'web:0' is no host:port (a service name or "
                                "host name, a port from 1 to 65535)"},
        {HTTP("http://web:65536/"), "5:16: x-release.health.web.0: 'web:65536' is no host:port (a service "
                                    "name or host name, a port from 1 to 65535)"},
        {HTTP("http://web:+80/"), "5:16: x-release.health.web.0: 'web:+80' is no host:port (a service name "
                                  "or host name, a port from 1 to 65535)"},
        {HTTP("http://web:8o/"), "5:16: x-release.health.web.0: 'web:8o' is no host:port (a service name or "
                                 "host name, a port from 1 to 65535)"},
        {HTTP("http://web:1:2/"), "5:16: x-release.health.web.0: 'web:1:2' is no host:port (a service name "
                                  "or host name, a port from 1 to 65535)"},
        {HTTP("http://[::1]:80/"), "5:16: x-release.health.web.0: '[::1]:80' is no host:port (a service name "
                                   "or host name, a port from 1 to 65535)"},
        {HTTP("http://we b/"), "5:16: x-release.health.web.0: 'we b' is no host:port (a service name or host "
                               "name, a port from 1 to 65535)"},
        {HTTP("http://me:pw@web/"), "5:16: x-release.health.web.0: must not hold a user name; use header"},
        {HTTP("http://web/#top"), "5:16: x-release.health.web.0: '/#top' is no path of an HTTP request"},
        {HTTP("http://web/a b"), "5:16: x-release.health.web.0: '/a b' is no path of an HTTP request"},
        {"  health: {web: [{http: \"http://web/a\\r\\nX: y\"}]}\n",
         "3:25: x-release.health.web.0: '/a X: y' is no path of an HTTP request"},
        {CHECK("status: 99"), "5:44: x-release.health.web.0: status must be from 100 to 599"},
        {CHECK("status: 600"), "5:44: x-release.health.web.0: status must be from 100 to 599"},
        {CHECK("status: -200"),
         "5:44: x-release.health.web.0.status: must be a whole number from 0 to 2147483647"},
        {CHECK("status: '200'"),
         "5:44: x-release.health.web.0.status: must be a whole number from 0 to 2147483647"},
        {CHECK("status: 200.0"),
         "5:44: x-release.health.web.0.status: must be a whole number from 0 to 2147483647"},
        {CHECK("body: '('"),
         "5:42: x-release.health.web.0: '(' is no extended regular expression: Unmatched ( or \\("},
        {CHECK("body: ok, timeout: 0s"), "5:55: x-release.health.web.0: timeout must be more than 0"},
        {CHECK("host: \"a\\r\\nX: y\""), "5:42: x-release.health.web.0: 'a X: y' is no host name"},
        {CHECK("host: 'a b'"), "5:42: x-release.health.web.0: 'a b' is no host name"},
        {CHECK("header: [a]"),
         "5:44: x-release.health.web.0.header: must be a mapping of header names to values"},
        {CHECK("header: {'a b': c}"),
         "5:52: x-release.health.web.0.header.a b: holds characters that a header cannot"},
        {CHECK("header: {'': c}"),
         "5:49: x-release.health.web.0.header.: holds characters that a header cannot"},
        {CHECK("header: {a: \"b\\nc: d\"}"),
         "5:48: x-release.health.web.0.header.a: holds characters that a header cannot"},
        {CHECK("header: {a: 1}"), "5:48: x-release.health.web.0.header.a: must be a string"},
        {CHECK("header: {host: web}"),
         "5:51: x-release.health.web.0.header.host: is set with host, beside header"},
        /* gate */
        {"  gate: x\n", "3:9: x-release.gate: must be a mapping"},
        {"  gate: {probe: 1s}\n",
         "3:10: x-release.gate: unknown key 'probe' (known: probe_interval, success_threshold, "
         "failure_threshold, min_healthy_time, healthy_deadline, total_deadline, soak, baseline_samples, "
         "baseline_failing)"},
        {"  gate: {probe_interval: 0}\n", "3:26: x-release.gate: probe_interval must be more than 0"},
        {"  gate: {probe_interval: 2}\n",
         "3:26: x-release.gate.probe_interval: must be a duration such as 30s, 5m or 1h30m"},
        {"  gate: {success_threshold: 0}\n",
         "3:9: x-release.gate: success_threshold and failure_threshold must be at least 1"},
        {"  gate: {failure_threshold: 0}\n",
         "3:9: x-release.gate: success_threshold and failure_threshold must be at least 1"},
        {"  gate: {failure_threshold: -1}\n",
         "3:29: x-release.gate.failure_threshold: must be a whole number from 0 to 2147483647"},
        {"  gate: {failure_threshold: 3000000000}\n",
         "3:29: x-release.gate.failure_threshold: must be a whole number from 0 to 2147483647"},
        {"  gate: {healthy_deadline: 10s}\n",
         "3:9: x-release.gate: healthy_deadline must be longer than min_healthy_time"},
        {"  gate: {min_healthy_time: 5m}\n",
         "3:9: x-release.gate: healthy_deadline must be longer than min_healthy_time"},
        {"  gate: {soak: 10000000000000000000s}\n",
         "3:16: x-release.gate.soak: '10000000000000000000s' is too long a duration"},
        {"  gate: {baseline_samples: 61}\n", "3:28: x-release.gate: baseline_samples must be at most 60"},
        {"  gate: {baseline_failing: maybe}\n",
         "3:28: x-release.gate.baseline_failing: must be allow or block"},
    };
    unsigned failures = 0;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct manifest m = {0};
        struct error err = {0};
        int r = fixture_load(arena_printf(&arena, "%s%s", SERVICES, cases[i].text), NULL, NULL, 0, &m, &err);
        const char *want = arena_printf(&arena, "stack.yml:%s", cases[i].want);
        if (r < 0 && err.kind == ERR_INVALID && strcmp(err.text, want) == 0)
            continue;
        print_error("%s%s\n", cases[i].text, r < 0 ? err.text : "accepted");
        manifest_release(&m);
        failures++;
    }
    assert_int_equal(failures, 0);
}

/* ---- order ---- */

static void order(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text,
            *want; /* want: keys, "|" after those that roll before the steps; NULL: refused */
    } cases[] = {
        {"file order", "services: {c: {image: x}, a: {image: x}, b: {image: x}}\n", "| c a b"},
        {"dependencies first", SERVICES "  {}\n", "| db worker cache web"},
        {"database before the steps", SERVICES "  {database: {service: db}}\n", "db | worker cache web"},
        {"before, after the database",
         SERVICES "  {database: {service: db}, rollout: {before: [cache, db]}}\n", "db cache | worker web"},
        {"before does not bring its dependencies", SERVICES "  {rollout: {before: [web]}}\n",
         "web | db worker cache"},
        {"order wins over dependencies", SERVICES "  {rollout: {order: [web, cache]}}\n",
         "| web cache db worker"},
        {"order and before name the same",
         SERVICES "  {rollout: {before: [cache], order: [web, cache, worker]}}\n", "cache | web worker db"},
        {"everything at once",
         SERVICES "  {database: {service: db}, rollout: {before: [cache], order: [web]}}\n",
         "db cache | web worker"},
        {"cycle",
         "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [c]}, c: {image: x, "
         "depends_on: [a]}}\n",
         NULL},
        {"itself", "services: {a: {image: x, depends_on: [a]}}\n", NULL},
        {"cycle that order resolves",
         "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}\nx-release: {rollout: "
         "{order: [b]}}\n",
         "| b a"},
        {"diamond",
         "services: {a: {image: x, depends_on: [c, b]}, b: {image: x, depends_on: [d]}, c: {image: x, "
         "depends_on: [d]}, d: {image: x}}\n",
         "| d c b a"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_str struct str have = {0};
        struct manifest m = {0};
        struct error err = {0};
        int r = fixture_load(cases[i].text, NULL, NULL, 0, &m, &err);
        if (!cases[i].want) {
            assert_int_equal(r, -1);
            assert_int_equal(err.kind, ERR_INVALID);
            expect_text(cases[i].name, err.text,
                        "stack.yml:1:15: depends_on: service 'a' depends on itself in a circle");
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", cases[i].name, err.text);
        for (size_t k = 0; k < m.stack->n_services; k++)
            str_printf(&have, "%s%s%s", k ? " " : "", k == m.n_before ? "| " : "", m.order[k]);
        expect_text(cases[i].name, str_text(&have), cases[i].want);
        assert_null(m.order[m.stack->n_services]);
        manifest_release(&m);
    }
}

/* Each service depends on the one behind it: the deepest that a file can ask for. */
static void long_chain(void **state)
{
    (void)state;
    enum { N = 2000 };
    cleanup_str struct str text = {0};
    struct manifest m = {0};
    struct error err = {0};
    str_append(&text, "services:\n");
    for (int i = 0; i < N - 1; i++)
        str_printf(&text, "  s%d: {image: x, depends_on: [s%d]}\n", i, i + 1);
    str_printf(&text, "  s%d: {image: x}\n", N - 1);
    if (fixture_load(str_text(&text), NULL, NULL, 0, &m, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(m.order[0], "s1999");
    assert_string_equal(m.order[N - 1], "s0");
    manifest_release(&m);
}

/* Names that nobody has checked are refused, too. */
static void unchecked_names(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    const char *none[] = {NULL}, *strange[] = {"strange", NULL}, **keys;
    struct manifest m = {0};
    struct error err = {0};
    size_t n_before;
    assert_int_equal(fixture_load("services: {web: {image: web}}\n", NULL, NULL, 0, &m, &err), 0);
    const struct release cases[] = {{.before = strange, .order = none},
                                    {.before = none, .order = strange},
                                    {.database_service = "strange", .before = none, .order = none}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(release_rollout_order(&arena, &cases[i], m.stack, &keys, &n_before, &err), -1);
    manifest_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding),        cmocka_unit_test(no_section), cmocka_unit_test(labels),
        cmocka_unit_test(refusals),        cmocka_unit_test(order),      cmocka_unit_test(long_chain),
        cmocka_unit_test(unchecked_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * docs/examples/output: what `log`, `show` and `status` print of a deployment in each state, and `plan` and
 * `migrate status`. The journal is filled by its own calls, with a clock of our own, and agentd's answer is
 * ours, too; what agentctl then prints is compared to the letter. RECORD=1 writes it down instead.
 */

#include "journal_fixture.h"

#include <jansson.h>
#include <time.h>

#include "agent/control.h"
#include "agent/outbox.h"
#include "agent/progress.h"
#include "agentctl/text.h"
#include "agentctl/verbs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "plan_fixture.h"
#include "worker/migrate.h"

/* ---- the clock, and agentd ---- */

static int64_t now;

int64_t __wrap_wall_us(void);
int64_t __wrap_wall_us(void)
{
    return now;
}

static bool agentd_runs, has_polled;
static const char *poll_error, *frozen_until;
/* What agentd hands on of a worker; NULL: it is not asked for that. */
static const char *worker_answer;
static int worker_exit;

/* The disk of whoever runs this is no part of what is printed. */
int __wrap_fs_space(const char *path, struct fs_space *ret, struct error *err);
int __wrap_fs_space(const char *path, struct fs_space *ret, struct error *err)
{
    (void)path, (void)ret;
    return error_set(err, ERR_UNAVAILABLE, 0, "not asked");
}

int __wrap_control_call(const char *socket_path, const json_t *request, int64_t timeout_us,
                        json_t **ret_reply, struct error *err);
int __wrap_control_call(const char *socket_path, const json_t *request, int64_t timeout_us,
                        json_t **ret_reply, struct error *err)
{
    (void)socket_path, (void)request, (void)timeout_us;
    struct arena arena = {0};
    if (worker_answer) {
        *ret_reply = json_pack("{s:b, s:i, s:s}", "ok", 1, "exit", worker_exit, "output", worker_answer);
        return 0;
    }
    if (!agentd_runs)
        return error_set(err, ERR_NOT_FOUND, 0, "agentd is not running");
    *ret_reply = json_pack("{s:b, s:i, s:{s:s, s:i, s:s, s:s, s:n}, s:[{s:s, s:s?, s:s?, s:s?, s:s}]}", "ok",
                           1, "exit", 0, "agentd", "version", "0.1.0", "pid", 812, "config",
                           "/etc/deploy-agent/agent.conf", "since", "2026-08-20T06:00:00Z", "journal_error",
                           "stacks", "stack", "shop", "poll_error", poll_error, "frozen_until", frozen_until,
                           "last_poll", has_polled ? rfc3339_utc(&arena, now - 12 * US_PER_S) : NULL,
                           "next_poll", rfc3339_utc(&arena, now + 18 * US_PER_S));
    arena_release(&arena);
    return 0;
}

static void at(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    now = (int64_t)timegm(&tm) * US_PER_S;
}

static void tick(unsigned seconds)
{
    now += seconds * US_PER_S;
}

/* ---- the stack shop ---- */

#define REGISTRY   "registry.example.org/shop"
#define DIGEST_OLD "sha256:44af06181d379161c5c794276841f0aeaca37ce3f5ca9eae346b15d865817525"
#define DIGEST_NEW "sha256:5bcd63f980a8b2f7258e3bbd40945904b5a02cf6853ec47eb3181f1105217166"
#define DIGEST_DB  "sha256:12fab307df893097de36e218aa864f8c0963b43b3ccf7296ac55ddf58de99af1"
#define SPEC(service, image, digest)                                                                         \
    "{\"Name\":\"shop_" service "\",\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"" image "@" digest      \
    "\",\"Env\":[\"DATABASE_URL=postgres://shop:hunter22@db/"                                                \
    "shop\"]}},\"Mode\":{\"Replicated\":{\"Replicas\":2}}}"
#define DB         SPEC("db", "postgres:15", DIGEST_DB)
#define WEB_OLD    SPEC("web", REGISTRY "/web:77be0d2", DIGEST_OLD)
#define WEB_NEW    SPEC("web", REGISTRY "/web:9f3c1ab", DIGEST_NEW)
#define WORKER_OLD SPEC("worker", REGISTRY "/web:77be0d2", DIGEST_OLD)
#define WORKER_NEW SPEC("worker", REGISTRY "/web:9f3c1ab", DIGEST_NEW)

/* A plan as plan_make() makes it: kinds, names and their order. */
enum {
    PULL = 1,
    RELAY,
    BASELINE,
    READY,
    BACKUP,
    SQL,
    RUN,
    COMPARE,
    ROLL_WORKER,
    ROLL_WEB,
    SOAK,
    PRUNE,
    STEPS = PRUNE
};
static const struct step steps[STEPS] = {
    {.seq = PULL,
     .kind = "pull",
     .name = REGISTRY "/web:9f3c1ab",
     .params = "{\"image\":\"" REGISTRY "/web:9f3c1ab\"}"},
    {.seq = RELAY, .kind = "relay", .name = "shop", .params = "{\"networks\":[\"shop_default\"]}"},
    {.seq = BASELINE, .kind = "baseline", .name = "stack shop", .params = "{}"},
    {.seq = READY, .kind = "ready", .name = "db", .params = "{\"url_from\":\"DATABASE_URL\"}"},
    {.seq = BACKUP, .kind = "backup", .name = "db", .params = "{}"},
    {.seq = SQL, .kind = "sql", .name = "schema", .params = "{}"},
    {.seq = RUN, .kind = "run", .name = "django", .params = "{}"},
    {.seq = COMPARE, .kind = "compare", .name = "stack shop", .params = "{}"},
    {.seq = ROLL_WORKER, .kind = "roll", .name = "worker", .params = "{}"},
    {.seq = ROLL_WEB, .kind = "roll", .name = "web", .params = "{}"},
    {.seq = SOAK, .kind = "soak", .name = "shop", .params = "{}"},
    {.seq = PRUNE, .kind = "prune", .name = "shop", .params = "{}"},
};
static const unsigned seconds[STEPS + 1] = {0, 9, 1, 5, 1, 14, 2, 6, 5, 12, 14, 60, 1};

static const struct service_record services[] = {
    {"db", "shop_db", "none", "unchanged", NULL, DB, NULL},
    {"worker", "shop_worker", "update", "pending", NULL, WORKER_OLD, NULL},
    {"web", "shop_web", "update", "pending", NULL, WEB_OLD, NULL}};
static const struct image_record images[] = {{"db", "postgres:15", DIGEST_DB},
                                             {"worker", REGISTRY "/web:9f3c1ab", DIGEST_NEW},
                                             {"web", REGISTRY "/web:9f3c1ab", DIGEST_NEW}};
static const struct migration_record migrations[] = {
    {"schema", "0118", "add_users", "pending", NULL, -1, -1},
    {"schema", "0119", "index_users", "pending", NULL, -1, -1},
    {"django", "9f3c1ab0c4d5", "python3 manage.py migrate --noinput", "pending", NULL, -1, -1}};
static const char backup_done[] =
    "{\"phase\":\"done\",\"file\":\"shop.app_20260823T140224Z_9f3c1ab0.dump\",\"volume\":\"shop_backups\","
    "\"node\":"
    "\"node1\",\"restore\":\"docker exec $(docker ps -qf name=shop_db.1) pg_restore …\"}";

static int64_t ask(struct fixture *f, const char *commit, const char *subject, enum trigger trigger)
{
    struct deployment_request r = {.stack = "shop",
                                   .commit = commit,
                                   .branch = "main",
                                   .subject = subject,
                                   .author = "alice",
                                   .trigger = trigger};
    int64_t id;
    OK(journal_request(f->journal, &r, &id, &f->err));
    return id;
}

static const struct service_record unchanged[] = {
    {"db", "shop_db", "none", "unchanged", NULL, DB, NULL},
    {"worker", "shop_worker", "none", "unchanged", NULL, WORKER_OLD, NULL},
    {"web", "shop_web", "none", "unchanged", NULL, WEB_OLD, NULL}};

/* Everything is to be done, or nothing is. */
static void save_plan(struct fixture *f, int64_t id, bool empty)
{
    struct plan_rows rows = {.plan = "{\"empty\":true,\"services\":[]}",
                             .base_id = id - 1,
                             .services = unchanged,
                             .n_services = ARRAY_SIZE(unchanged),
                             .images = images,
                             .n_images = ARRAY_SIZE(images)};
    if (!empty) {
        rows.plan = "{\"empty\":false,\"services\":[{\"service\":\"worker\",\"failures_before\":3}]}";
        rows.warnings = "[\"service worker has no healthcheck and no check: it is only seen to run\"]";
        rows.steps = steps;
        rows.n_steps = STEPS;
        rows.services = services;
        rows.migrations = migrations;
        rows.n_migrations = ARRAY_SIZE(migrations);
    }
    OK(journal_save_plan(f->journal, id, &rows, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
}

static void set_service(struct fixture *f, int64_t id, const char *service, const char *state,
                        const char *note, const char *after)
{
    OK(journal_set_service(f->journal, id, service, state, note, NULL, after, &f->err));
}

static void end(struct fixture *f, int64_t id, enum deployment_state state, const char *reason)
{
    tick(1);
    OK(journal_set_state(f->journal, id, state, reason, &f->err));
}

static void say(struct fixture *f, int64_t id, unsigned seq, const char *output)
{
    OK(journal_step_append_output(f->journal, id, seq, output, strlen(output), &f->err));
}

static void begin(struct fixture *f, int64_t id, unsigned seq)
{
    OK(journal_step_begin(f->journal, id, seq, NULL, &f->err));
    if (seq == ROLL_WORKER || seq == ROLL_WEB)
        set_service(f, id, steps[seq - 1].name, "updating", NULL, NULL);
}

static void live(struct fixture *f, int64_t id, unsigned seq, struct progress p)
{
    if (p.deadline_us)
        p.deadline_us += now;
    OK(journal_step_live(f->journal, id, seq, progress_text(&f->arena, &p), &f->err));
}

static void file_is(struct fixture *f, int64_t id, size_t i, const char *state, int64_t took_us, int64_t rows)
{
    struct migration_record m = migrations[i];
    m.state = state;
    m.took_us = took_us;
    m.rows = rows;
    OK(journal_put_migrations(f->journal, id, &m, 1, &f->err));
}

static void version_is(struct fixture *f, int64_t id, const char *after)
{
    OK(journal_put_schema(f->journal, id, &(struct schema_record){"schema", NULL, "0117", after}, &f->err));
}

/* What a step that goes well leaves behind. */
static void leave(struct fixture *f, int64_t id, unsigned seq)
{
    if (seq == BACKUP)
        OK(journal_step_progress(f->journal, id, seq, backup_done, &f->err));
    if (seq == SQL) {
        file_is(f, id, 0, "applied", 412000, 1204);
        file_is(f, id, 1, "applied", 1330000, 0);
        version_is(f, id, "0119");
    }
    if (seq == RUN) {
        say(f, id, seq,
            "Operations to perform:\n  Apply all migrations: tracker\nRunning migrations:\n"
            "  Applying tracker.0007_watches... OK\n");
        OK(journal_set_migration(f->journal, id, "django", "9f3c1ab0c4d5", "applied", &f->err));
    }
    if (seq == ROLL_WORKER)
        set_service(f, id, "worker", "unverified", "seen to run; it has no healthcheck and no check", NULL);
    if (seq == ROLL_WEB)
        set_service(f, id, "web", "healthy", NULL, NULL);
}

/* Steps from..to go well. */
static void run_steps(struct fixture *f, int64_t id, unsigned from, unsigned to)
{
    for (unsigned seq = from; seq <= to; seq++) {
        begin(f, id, seq);
        tick(seconds[seq]);
        leave(f, id, seq);
        OK(journal_step_end(f->journal, id, seq, STEP_DONE, NULL, &f->err));
    }
}

static void fail_step(struct fixture *f, int64_t id, unsigned seq, const char *error)
{
    OK(journal_step_end(f->journal, id, seq, STEP_FAILED, error, &f->err));
}

/* The success that everything else comes after: #1 of commit 77be0d2. */
static void deployed(struct fixture *f)
{
    at("2026-08-22 09:11:02");
    int64_t id = ask(f, commit_b, "Count the watches in the right table", TRIGGER_POLL);
    OK(journal_set_tip(f->journal, "shop", commit_b, &f->err));
    save_plan(f, id, true);
    tick(64);
    set_service(f, id, "db", "healthy", NULL, DB);
    set_service(f, id, "worker", "unverified", NULL, WORKER_OLD);
    set_service(f, id, "web", "healthy", NULL, WEB_OLD);
    end(f, id, DEPLOYMENT_SUCCEEDED, "3 services rolled, 60s stable");
}

/* #2 of commit 9f3c1ab, found by a poll and planned. */
static int64_t planned(struct fixture *f)
{
    at("2026-08-23 14:02:09");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    int64_t id = ask(f, commit_a, "Let a watch have several e-mail addresses", TRIGGER_POLL);
    tick(2);
    save_plan(f, id, false);
    return id;
}

/* ---- what is compared ---- */

struct transcript {
    const char *name;
    struct str text;
    json_t *json;
};

/* Into a file: width and colour are those of a pipe, wherever the test runs. */
static char *run_agentctl(struct fixture *f, const char *const *words, int want)
{
    char *argv[16] = {(char *)(uintptr_t) "agentctl"}, *out = NULL;
    int argc = 0;
    size_t len;
    for (; words[argc]; argc++)
        argv[argc + 1] = (char *)(uintptr_t)words[argc];
    FILE *real = stdout;
    fflush(stdout);
    stdout = open_memstream(&out, &len);
    int code = ctl_main(argc + 1, argv);
    fclose(stdout);
    stdout = real;
    char *kept = arena_strdup(&f->arena, out);
    free(out);
    assert_int_equal(code, want);
    return kept;
}

static void add_text(struct fixture *f, struct transcript *t, const char *const *words)
{
    str_printf(&t->text, "%s$ agentctl", t->text.len ? "\n" : "");
    for (size_t i = 0; words[i]; i++)
        str_printf(&t->text, " %s", words[i]);
    str_printf(&t->text, "\n%s", run_agentctl(f, words, 0));
}
#define SHOW(...) add_text(f, t, (const char *const[]){__VA_ARGS__, NULL})

static void add_json(struct fixture *f, struct transcript *t, const char *key, const char *const *words)
{
    json_t *value = json_loads(run_agentctl(f, words, 0), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(value);
    json_object_set_new(t->json, key, value);
}
#define JSON_OF(key, ...) add_json(f, t, key, (const char *const[]){__VA_ARGS__, NULL})

/* Of a verb that a worker answers. */
static void add_answer(struct fixture *f, struct transcript *t, const char *const *words, const char *text,
                       int code)
{
    worker_answer = text;
    worker_exit = code;
    str_printf(&t->text, "%s$ agentctl", t->text.len ? "\n" : "");
    for (size_t i = 0; words[i]; i++)
        str_printf(&t->text, " %s", words[i]);
    str_printf(&t->text, "\n%s", run_agentctl(f, words, code));
    worker_answer = NULL;
}

static void add_answer_json(struct fixture *f, struct transcript *t, const char *key,
                            const char *const *words, const json_t *value, int code)
{
    cleanup_free char *text = json_dumps(value, JSON_INDENT(2));
    worker_answer = text;
    worker_exit = code;
    json_object_set_new(t->json, key, json_loads(run_agentctl(f, words, code), JSON_REJECT_DUPLICATES, NULL));
    worker_answer = NULL;
}

/* All three, of the newest deployment. */
static void show_all(struct fixture *f, struct transcript *t, const char *id)
{
    SHOW("log", "--wide");
    SHOW("show", id);
    SHOW("status");
    JSON_OF("log", "log", "--json");
    JSON_OF("show", "show", id, "--json");
    JSON_OF("status", "status", "--json");
}

/* ---- the scenarios ---- */

static void succeeded(struct fixture *f, struct transcript *t)
{
    int64_t id = planned(f);
    static const char noted[] =
        "{\"speed\":{\"check 0\":{\"check\":\"web /health\",\"service\":\"web\",\"median_ms\":41,"
        "\"samples\":118,\"before_ms\":38,\"before_samples\":120,\"slower\":false}}}";
    run_steps(f, id, PULL, ROLL_WEB);
    begin(f, id, SOAK);
    tick(60);
    OK(journal_step_progress(f->journal, id, SOAK, noted, &f->err));
    OK(journal_step_end(f->journal, id, SOAK, STEP_DONE, NULL, &f->err));
    run_steps(f, id, PRUNE, PRUNE);
    set_service(f, id, "db", "unchanged", NULL, DB);
    set_service(f, id, "worker", "unverified", NULL, WORKER_NEW);
    set_service(f, id, "web", "healthy", NULL, WEB_NEW);
    end(f, id, DEPLOYMENT_SUCCEEDED, "2 services rolled, schema 0117 → 0119, 60s stable; unverified: worker");
    tick(40);
    show_all(f, t, "2");
}

static void no_change(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    int64_t id = ask(f, commit_a, "Say in the README how to run the tests", TRIGGER_POLL);
    tick(1);
    save_plan(f, id, true);
    end(f, id, DEPLOYMENT_SUCCEEDED, "no change");
    tick(40);
    show_all(f, t, "2");
}

static void failed(struct fixture *f, struct transcript *t)
{
    static const char why[] = "django: exit 1: django.db.utils.IntegrityError: could not create unique index "
                              "\"tracker_user_email_uniq\"";
    int64_t id = planned(f);
    run_steps(f, id, PULL, SQL);
    begin(f, id, RUN);
    tick(3);
    say(f, id, RUN,
        "Operations to perform:\n  Apply all migrations: tracker\nRunning migrations:\n"
        "Traceback (most recent call last):\n"
        "  File \"/usr/lib/python3/dist-packages/django/db/backends/utils.py\", line 84, in _execute\n"
        "    return self.cursor.execute(sql, params)\n"
        "django.db.utils.IntegrityError: could not create unique index \"tracker_user_email_uniq\"\n"
        "DETAIL:  Key (email)=() is duplicated.\n\n  Applying tracker.0007_watches...\n");
    OK(journal_set_migration(f->journal, id, "django", "9f3c1ab0c4d5", "failed", &f->err));
    fail_step(f, id, RUN, why);
    set_service(f, id, "worker", "untouched", NULL, NULL);
    set_service(f, id, "web", "untouched", NULL, NULL);
    end(f, id, DEPLOYMENT_FAILED,
        arena_printf(&f->arena, "%s; no service was touched, database stays at 0119", why));
    tick(40);
    show_all(f, t, "2");
}

static void failed_sql(struct fixture *f, struct transcript *t)
{
    static const char why[] =
        "schema: 0119_index_users.sql:3: canceling statement due to lock timeout; 4 attempts";
    int64_t id = planned(f);
    run_steps(f, id, PULL, BACKUP);
    begin(f, id, SQL);
    tick(22);
    file_is(f, id, 0, "applied", 412000, 1204);
    file_is(f, id, 1, "failed", 20412000, -1);
    version_is(f, id, "0118");
    say(f, id, SQL,
        "0118_add_users.sql: applied in 0.412 s, 2 statements, 1204 rows\n"
        "0119_index_users.sql:3: canceling statement due to lock timeout; 4 attempts\n");
    fail_step(f, id, SQL, why);
    OK(journal_settle_migrations(f->journal, id, NULL, "not run", &f->err));
    set_service(f, id, "worker", "untouched", NULL, NULL);
    set_service(f, id, "web", "untouched", NULL, NULL);
    end(f, id, DEPLOYMENT_FAILED,
        arena_printf(&f->arena, "%s; no service was touched, database stays at 0118", why));
    tick(40);
    show_all(f, t, "2");
}

/* Before there was a plan. */
static void failed_early(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    int64_t id = ask(f, commit_a, "Let a watch have several e-mail addresses", TRIGGER_POLL);
    end(f, id, DEPLOYMENT_FAILED,
        "deploy/stack.yml:61:5: services.db.volumes.0: undefined volume \"pg\" (declare it under the "
        "top-level "
        "volumes); no service was touched");
    tick(40);
    show_all(f, t, "2");
}

static const char regressed[] = "{\"sent\":\"x\",\"regressed\":{\"check\":\"web "
                                "/health\",\"service\":\"web\",\"before\":{\"passed\":5,\"asked\":5,"
                                "\"last\":\"200\"},\"now\":{\"passed\":0,\"asked\":5,\"last\":\"500\"}}}";
static const char regression[] = "web /health: 5 of 5 before, 0 of 5 now (200 before, 500 now)";

/* web fails its check; what is put back is told by the caller. */
static int64_t web_fails(struct fixture *f)
{
    int64_t id = planned(f);
    run_steps(f, id, PULL, ROLL_WORKER);
    begin(f, id, ROLL_WEB);
    tick(21);
    OK(journal_step_progress(f->journal, id, ROLL_WEB, regressed, &f->err));
    say(f, id, ROLL_WEB,
        "task th8cg8pdkyqx, running:\n"
        "[2026-08-23 14:03:10 +0000] [1] [INFO] Listening at: http://0.0.0.0:8000 (1)\n"
        "[2026-08-23 14:03:12 +0000] [7] [ERROR] relation \"tracker_watch\" does not exist\n"
        "[2026-08-23 14:03:14 +0000] [8] [ERROR] relation \"tracker_watch\" does not exist\n");
    fail_step(f, id, ROLL_WEB, regression);
    return id;
}

static void put_back_worker(struct fixture *f, int64_t id)
{
    tick(7);
    set_service(f, id, "worker", "rolled_back", NULL, NULL);
    OK(journal_step_end(f->journal, id, ROLL_WORKER, STEP_UNDONE, NULL, &f->err));
}

static void rolled_back(struct fixture *f, struct transcript *t)
{
    int64_t id = web_fails(f);
    tick(8);
    set_service(f, id, "web", "rolled_back", NULL, NULL);
    put_back_worker(f, id);
    end(f, id, DEPLOYMENT_ROLLED_BACK,
        arena_printf(&f->arena, "%s; back on #1, database stays at 0119", regression));
    tick(40);
    show_all(f, t, "2");
}

static void halted(struct fixture *f, struct transcript *t)
{
    static const char why[] =
        "web: after putting it back: not healthy after 5m00s: 1 of 2 tasks running; pending: no "
        "suitable node (insufficient memory)";
    int64_t id = web_fails(f);
    tick(300);
    set_service(f, id, "web", "halted", why, NULL);
    put_back_worker(f, id);
    end(f, id, DEPLOYMENT_HALTED,
        arena_printf(&f->arena, "%s; putting back failed: %s, database stays at 0119", regression, why));
    tick(40);
    show_all(f, t, "2");
}

static void cancelled(struct fixture *f, struct transcript *t)
{
    int64_t id = planned(f);
    run_steps(f, id, PULL, ROLL_WORKER);
    begin(f, id, ROLL_WEB);
    tick(4);
    OK(journal_request_cancel(f->journal, id, &f->err));
    tick(1);
    fail_step(f, id, ROLL_WEB, "cancelled on request");
    tick(8);
    set_service(f, id, "web", "rolled_back", NULL, NULL);
    put_back_worker(f, id);
    end(f, id, DEPLOYMENT_CANCELLED, "cancelled on request; back on #1, database stays at 0119");
    tick(40);
    show_all(f, t, "2");
}

static void superseded(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_pause(f->journal, "shop", true, "stocktaking", now + 7200 * US_PER_S, &f->err));
    ask(f, commit_a, "Let a watch have several e-mail addresses", TRIGGER_POLL);
    tick(240);
    OK(journal_set_tip(f->journal, "shop", "ece29207da11f4c8c0a9f5c1b7a3a9d2e4f60718", &f->err));
    ask(f, "ece29207da11f4c8c0a9f5c1b7a3a9d2e4f60718", "Count the watches", TRIGGER_POLL);
    tick(40);
    show_all(f, t, "2");
}

static void interrupted(struct fixture *f, struct transcript *t)
{
    int64_t id = planned(f);
    run_steps(f, id, PULL, BACKUP);
    begin(f, id, SQL);
    tick(1);
    file_is(f, id, 0, "applied", 412000, 1204);
    file_is(f, id, 1, "running", -1, -1);
    live(f, id, SQL,
         (struct progress){.of = "files",
                           .done = 1,
                           .total = 2,
                           .deadline_us = 900 * US_PER_S,
                           .note = "0119_index_users.sql"});
    OK(journal_set_state(f->journal, id, DEPLOYMENT_INTERRUPTED,
                         "stopped by the service manager; goes on at the next start", &f->err));
    tick(40);
    agentd_runs = false;
    show_all(f, t, "2");
}

static void stuck(struct fixture *f, struct transcript *t)
{
    int64_t id = planned(f);
    run_steps(f, id, PULL, COMPARE);
    begin(f, id, ROLL_WORKER);
    tick(190);
    end(f, id, DEPLOYMENT_STUCK,
        "its worker died again and again without progress; nothing more is done by itself. Look at: "
        "journalctl -u "
        "deploy-agent, agentctl show; then: agentctl retry");
    tick(40);
    show_all(f, t, "2");
}

/* Each step in turn, as `status` tells it. */
static void running(struct fixture *f, struct transcript *t)
{
    static const struct progress told[STEPS + 1] = {
        [BASELINE] = {.of = "samples", .done = 2, .total = 5},
        [COMPARE] = {.of = "samples", .done = 4, .total = 5},
        [PULL] = {.of = "layers", .done = 3, .total = 7, .bytes = 41200000, .bytes_total = 118000000},
        [READY] = {.deadline_us = 120 * US_PER_S,
                   .note = "PostgreSQL is not ready: the database system is starting up"},
        [BACKUP] = {.deadline_us = 1800 * US_PER_S,
                    .note = "pg_dump: dumping contents of table \"public.tracker_watch\""},
        [SQL] = {.of = "files",
                 .done = 1,
                 .total = 2,
                 .deadline_us = 900 * US_PER_S,
                 .note = "0119_index_users.sql"},
        [RUN] = {.deadline_us = 900 * US_PER_S, .note = "  Applying tracker.0007_watches..."},
        [ROLL_WORKER] = {.of = "replicas",
                         .done = 0,
                         .total = 2,
                         .deadline_us = 300 * US_PER_S,
                         .note = "pending: no suitable node (insufficient memory)"},
        [ROLL_WEB] = {.of = "replicas",
                      .done = 2,
                      .total = 2,
                      .deadline_us = 300 * US_PER_S,
                      .note = "web /health: 503"},
        [SOAK] = {.of = "replicas", .done = 4, .total = 4, .deadline_us = 60 * US_PER_S},
    };
    int64_t id = planned(f);
    for (unsigned seq = PULL; seq <= SOAK; seq++) {
        begin(f, id, seq);
        if (told[seq].of || told[seq].note)
            live(f, id, seq, told[seq]);
        tick(seconds[seq] > 3 ? seconds[seq] - 2 : seconds[seq]);
        SHOW("status");
        if (seq == SQL || seq == ROLL_WEB) {
            SHOW("log", "--wide");
            SHOW("show", "2");
        }
        if (seq == ROLL_WEB) {
            JSON_OF("show", "show", "2", "--json");
            JSON_OF("status", "status", "--json");
        }
        tick(seconds[seq] > 3 ? 2 : 0);
        leave(f, id, seq);
        OK(journal_step_end(f->journal, id, seq, STEP_DONE, NULL, &f->err));
    }
}

static void putting_back(struct fixture *f, struct transcript *t)
{
    int64_t id = web_fails(f);
    live(f, id, ROLL_WEB,
         (struct progress){.doing = "putting it back",
                           .of = "replicas",
                           .done = 1,
                           .total = 2,
                           .deadline_us = 300 * US_PER_S,
                           .note = "starting"});
    tick(3);
    show_all(f, t, "2");
}

/* As plan_make_rollback() makes it. */
static void roll_back(struct fixture *f, int64_t id)
{
    static const struct step back[] = {{.seq = 1, .kind = "roll", .name = "worker", .params = "{}"},
                                       {.seq = 2, .kind = "roll", .name = "web", .params = "{}"}};
    const struct service_record both[] = {
        {"db", "shop_db", "none", "unchanged", NULL, DB, NULL},
        {"worker", "shop_worker", "update", "pending", NULL, WORKER_NEW, NULL},
        {"web", "shop_web", "update", "pending", NULL, WEB_NEW, NULL}};
    OK(journal_save_plan(f->journal, id,
                         &(struct plan_rows){.plan = "{\"empty\":false,\"services\":[]}",
                                             .base_id = id - 1,
                                             .steps = back,
                                             .n_steps = 2,
                                             .services = both,
                                             .n_services = 3,
                                             .images = images,
                                             .n_images = 1},
                         &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    for (unsigned seq = 1; seq <= 2; seq++) {
        OK(journal_step_begin(f->journal, id, seq, NULL, &f->err));
        tick(13 + seq);
        OK(journal_step_end(f->journal, id, seq, STEP_DONE, NULL, &f->err));
    }
    set_service(f, id, "db", "unchanged", NULL, DB);
    set_service(f, id, "worker", "healthy", NULL, WORKER_OLD);
    set_service(f, id, "web", "healthy", NULL, WEB_OLD);
}

static void held(struct fixture *f, struct transcript *t)
{
    int64_t id = planned(f);
    run_steps(f, id, PULL, PRUNE);
    end(f, id, DEPLOYMENT_SUCCEEDED, "2 services rolled, schema 0117 → 0119, 60s stable");
    tick(600);
    struct deployment_request r = {.stack = "shop",
                                   .commit = commit_b,
                                   .branch = "main",
                                   .trigger = TRIGGER_ROLLBACK,
                                   .subject = "Count the watches in the right table",
                                   .author = "alice",
                                   .requested_by = "uid 1000",
                                   .target_id = 1};
    OK(journal_request(f->journal, &r, &id, &f->err));
    roll_back(f, id);
    end(f, id, DEPLOYMENT_SUCCEEDED, "back to #1, the database stays as it is; 2 services rolled");
    OK(journal_set_hold_absolute(f->journal, "shop", true, &f->err));
    tick(40);
    show_all(f, t, "3");
}

static void paused(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_pause(f->journal, "shop", true, "stocktaking", now + 7200 * US_PER_S, &f->err));
    tick(600);
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    ask(f, commit_a, "Let a watch have several e-mail addresses", TRIGGER_POLL);
    tick(40);
    show_all(f, t, "2");
}

static void waiting(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    ask(f, commit_a, "Let a watch have several e-mail addresses", TRIGGER_POLL);
    tick(2);
    OK(journal_set_waiting(f->journal, "shop", "image " REGISTRY "/web:9f3c1ab is not in the registry yet",
                           &f->err));
    tick(95);
    show_all(f, t, "2");
}

static void alarm_raised(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    OK(journal_set_alarm(
        f->journal, "shop",
        "branch main (9f3c1ab0c4d5) does not contain the deployed commit 77be0d2c4d5e of #1; nothing "
        "is deployed until: agentctl approve shop",
        commit_a, &f->err));
    tick(40);
    SHOW("status");
    JSON_OF("status", "status", "--json");
}

/* approve = yes: each commit waits for a person. */
static void approval(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    OK(journal_set_alarm(
        f->journal, "shop",
        "commit 9f3c1ab0c4d5 (Let a watch have several e-mail addresses, by alice) waits for "
        "approval; see: agentctl plan shop; deploy it: agentctl approve shop --commit "
        "9f3c1ab0c4d5",
        commit_a, &f->err));
    tick(40);
    SHOW("status");
    JSON_OF("status", "status", "--json");
}

static void frozen(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    frozen_until = "2026-08-24T06:00:00Z";
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    tick(40);
    SHOW("status");
    JSON_OF("status", "status", "--json");
}

static void receiver_fails(struct fixture *f, struct transcript *t)
{
    static const struct receiver_config chat = {.name = "chat"};
    at("2026-08-23 14:02:09");
    OK(outbox_configure(f->journal, &chat, 1, &f->err));
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    int64_t id = ask(f, commit_a, "Say in the README how to run the tests", TRIGGER_POLL);
    save_plan(f, id, true);
    end(f, id, DEPLOYMENT_SUCCEEDED, "no change");
    OK(outbox_failed(f->journal, "chat", "https://chat.example.org: connection refused", now + 60 * US_PER_S,
                     &f->err));
    tick(20);
    SHOW("status");
    JSON_OF("status", "status", "--json");
}

/* Of a branch that this agentd has not asked for yet, nobody knows whether it is in step. */
static void started_again(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    OK(journal_set_tip(f->journal, "shop", commit_a, &f->err));
    int64_t id = ask(f, commit_a, "Say in the README how to run the tests", TRIGGER_POLL);
    save_plan(f, id, true);
    end(f, id, DEPLOYMENT_SUCCEEDED, "no change");
    tick(3600);
    has_polled = false;
    SHOW("status");
}

static void polling_fails(struct fixture *f, struct transcript *t)
{
    bool first;
    at("2026-08-23 14:02:09");
    poll_error = "https://git.example.org/shop.git: could not resolve host";
    OK(journal_set_poll_error(f->journal, "shop", poll_error, &first, &f->err));
    tick(1800);
    SHOW("status");
    JSON_OF("status", "status", "--json");
}

static void drifted(struct fixture *f, struct transcript *t)
{
    bool news;
    at("2026-08-23 14:02:09");
    OK(journal_set_drift(
        f->journal, "shop",
        "{\"services\":[{\"service\":\"web\",\"name\":\"shop_web\",\"kind\":\"changed\",\"by\":null,"
        "\"changes\":[\"replicas 2 → 5\"],\"text\":\"web: changed by someone else: replicas 2 → 5\"}],"
        "\"note\":null}",
        &news, &f->err));
    tick(60);
    SHOW("status");
    JSON_OF("status", "status", "--json");
}

/* ---- what is only looked at ---- */

static const char looked_at_before[] =
    "services:\n"
    "  db: {image: '" REGISTRY "/db:15', networks: [back]}\n"
    "  web: {image: '" REGISTRY "/web:41', networks: [back], environment: {CACHE_URL: 'redis://a'}}\n"
    "networks: {back: {}}\n"
    "x-release: {database: {service: db, url_from: DATABASE_URL}}\n";

static const char looked_at_now[] =
    "services:\n"
    "  db: {image: '" REGISTRY "/db:15', networks: [back]}\n"
    "  web: {image: '" REGISTRY "/web:42', networks: [back], environment: {CACHE_URL: 'redis://b'}}\n"
    "  worker: {image: '" REGISTRY "/web:42', networks: [back], configs: [limits]}\n"
    "networks: {back: {}}\n"
    "configs: {limits: {file: limits.conf}}\n"
    "x-release:\n"
    "  database: {service: db, url_from: DATABASE_URL}\n"
    "  steps:\n"
    "    - sql: {name: schema, dir: db/migrations}\n"
    "    - sql: {name: tenants, dir: db/tenants, for_each_schema: SELECT name FROM tenant}\n"
    "    - run: {name: seed, service: web, command: [./manage.py, seed], when: first_deploy}\n"
    "    - expect: {tables: [users]}\n";

static const char *nothing[] = {NULL};

static void looked_at_plan(struct fixture *f, struct transcript *t)
{
    static const struct fixture_file files[] = {{"limits.conf", "queue 20\n"}, {NULL, NULL}};
    static const char *ahead[] = {"099", NULL}, *modified[] = {"117", NULL};
    struct migration m[] = {{.file = "118_user_email.sql", .version = "118", .name = "user_email"},
                            {.file = "004_quota.sql", .version = "004", .name = "quota"}};
    struct migration *pending[] = {&m[0], &m[1]};
    const struct migration_diff shop = {.pending = pending,
                                        .n_pending = 1,
                                        .adopted = nothing,
                                        .ahead = ahead,
                                        .modified = modified,
                                        .failed = nothing,
                                        .warnings = nothing,
                                        .before = "117",
                                        .after = "118"},
                                tenant = {.pending = pending + 1,
                                          .n_pending = 1,
                                          .adopted = nothing,
                                          .ahead = nothing,
                                          .modified = nothing,
                                          .failed = nothing,
                                          .warnings = nothing,
                                          .before = "003",
                                          .after = "004"};
    struct migration_set sets[] = {{.items = &m[0], .n = 1}, {.items = &m[1], .n = 1}};
    struct plan_sql_run runs[] = {{.diff = &shop}, {.schema = "acme", .diff = &tenant}};
    const struct plan_sql sql[] = {
        {.url_hash = "", .set = &sets[0], .asked = true, .runs = &runs[0], .n_runs = 1},
        {.url_hash = "",
         .set = &sets[1],
         .why_not = "service shop_db has no task that runs",
         .runs = &runs[1],
         .n_runs = 1},
        {0},
        {0},
    };
    struct manifest before = {0}, manifest = {0};
    struct plan first = {0}, plan = {0};
    struct world w;
    world_init(&w);
    OK(fixture_load(looked_at_before, files, NULL, 0, &before, &f->err));
    OK(fixture_load(looked_at_now, files, NULL, 0, &manifest, &f->err));
    OK(world_plan(&w, &before, &(struct world_options){.digest = DIGEST_OLD}, &first, &f->err));
    world_deploy(&w, &before, &first);
    w.observed.tasks = json_array();
    w.observed.at_us = now;
    OK(world_plan(&w, &manifest,
                  &(struct world_options){.commit = commit_b, .digest = DIGEST_NEW, .sql = sql}, &plan,
                  &f->err));
    add_answer(f, t, (const char *const[]){"plan", NULL}, plan_text(&f->arena, plan.json), 2);
    add_answer_json(f, t, "plan", (const char *const[]){"plan", "--json", NULL}, plan.json, 2);
    plan_release(&first);
    plan_release(&plan);
    manifest_release(&before);
    manifest_release(&manifest);
    world_release(&w);
}

static void looked_at_migrations(struct fixture *f, struct transcript *t)
{
    static const char *ahead[] = {"099", NULL}, *adopted[] = {"116", NULL}, *modified[] = {"117", NULL};
    static const char *warnings[] = {"117_orders.sql was edited after it was applied", NULL};
    struct migration m = {.file = "118_user_email.sql", .version = "118", .name = "user_email"};
    struct migration *pending[] = {&m};
    struct migration_version versions[] = {{.version = "099"}, {.version = "116"}, {.version = "117"}};
    struct migration_log logs[] = {{.version = "118",
                                    .file = "118_user_email.sql",
                                    .state = MIGRATION_FAILED,
                                    .done = 1,
                                    .total = 3,
                                    .error = "118_user_email.sql:4:1: column \"mail\" does not exist"}};
    const struct migrate_step schema = {.name = "schema", .folder = "db/migrations"},
                              tenants = {.name = "tenants", .folder = "db/tenants", .schema = "acme"};
    const struct migrate_found found[] = {
        {.step = &schema,
         .where = "schema",
         .history = {.table = "public.schema_migrations",
                     .versions = versions,
                     .n_versions = 3,
                     .logs = logs,
                     .n_logs = 1},
         .diff = {.pending = pending,
                  .n_pending = 1,
                  .adopted = adopted,
                  .ahead = ahead,
                  .modified = modified,
                  .warnings = warnings,
                  .before = "117",
                  .after = "118"}},
        {.step = &tenants,
         .where = "tenants in acme",
         .history = {.table = "acme.schema_migrations"},
         .refusal = "version 003 has two files: 003_a.sql and 003_b.sql"},
    };
    cleanup_json json_t *all = json_array();
    char *text = NULL;
    size_t len;
    FILE *real = stdout;
    fflush(stdout);
    stdout = open_memstream(&text, &len);
    for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
        migrate_found_print(&f->arena, &found[i]);
        json_array_append_new(all, migrate_found_json(&f->arena, &found[i]));
    }
    fclose(stdout);
    stdout = real;
    add_answer(f, t, (const char *const[]){"migrate", "status", NULL}, text, 1);
    add_answer_json(f, t, "migrate status", (const char *const[]){"migrate", "status", "--json", NULL}, all,
                    1);
    free(text);
}

static void looked_at(struct fixture *f, struct transcript *t)
{
    at("2026-08-23 14:02:09");
    looked_at_plan(f, t);
    looked_at_migrations(f, t);
}

/* ---- comparing ---- */

static char *path_of(struct fixture *f, const char *name, const char *ending)
{
    return arena_printf(&f->arena, "docs/examples/output/%s.%s", name, ending);
}

static void record(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static char *recorded(struct fixture *f, const char *path)
{
    cleanup_str struct str text = {0};
    char piece[4096];
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s is not there; docs/examples/output/README.md says how to record it", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;)
        str_append_n(&text, piece, n);
    fclose(file);
    return arena_strdup(&f->arena, str_text(&text));
}

static void compare(struct fixture *f, const char *path, const char *text)
{
    if (getenv("RECORD")) {
        record(path, text);
        return;
    }
    const char *want = recorded(f, path), *is = text;
    for (unsigned line = 1;; line++) {
        size_t n_want = strcspn(want, "\n"), n_is = strcspn(is, "\n");
        if (n_want != n_is || strncmp(want, is, n_is) != 0)
            fail_msg("%s:%u\n    recorded: %.*s\n    now:      %.*s", path, line, (int)n_want, want,
                     (int)n_is, is);
        if (!want[n_want] || !is[n_is]) {
            assert_int_equal(want[n_want], is[n_is]);
            return;
        }
        want += n_want + 1;
        is += n_is + 1;
    }
}

static int setup(void **state)
{
    if (fixture_open(state) < 0)
        return -1;
    struct fixture *f = *state;
    char *conf = arena_printf(&f->arena, "%s/agent.conf", f->folder);
    record(conf, arena_printf(&f->arena,
                              "[agent]\nstate_dir = %s\nrun_dir = %s/run\n[stack shop]\nrepository = "
                              "file:///srv/shop.git\nfile = stack.yml\n",
                              f->folder, f->folder));
    setenv("DEPLOY_AGENT_CONFIG", conf, 1);
    setenv("TZ", "UTC", 1);
    setenv("NO_COLOR", "1", 1);
    tzset();
    agentd_runs = has_polled = true;
    poll_error = frozen_until = NULL;
    deployed(f);
    return 0;
}

#define SCENARIO(name)                                                                                       \
    static void test_##name(void **state)                                                                    \
    {                                                                                                        \
        struct fixture *f = *state;                                                                          \
        struct transcript t = {.json = json_object()};                                                       \
        name(f, &t);                                                                                         \
        compare(f, path_of(f, #name, "txt"), str_text(&t.text));                                             \
        if (json_object_size(t.json) > 0) {                                                                  \
            cleanup_free char *json = json_dumps(t.json, JSON_INDENT(2) | JSON_REAL_PRECISION(12));          \
            compare(f, path_of(f, #name, "json"), arena_printf(&f->arena, "%s\n", json));                    \
        }                                                                                                    \
        str_release(&t.text);                                                                                \
        json_decref(t.json);                                                                                 \
    }

SCENARIO(succeeded)
SCENARIO(no_change)
SCENARIO(failed)
SCENARIO(failed_sql)
SCENARIO(failed_early)
SCENARIO(rolled_back)
SCENARIO(halted)
SCENARIO(cancelled)
SCENARIO(superseded)
SCENARIO(interrupted)
SCENARIO(stuck)
SCENARIO(running)
SCENARIO(putting_back)
SCENARIO(held)
SCENARIO(paused)
SCENARIO(waiting)
SCENARIO(alarm_raised)
SCENARIO(approval)
SCENARIO(frozen)
SCENARIO(receiver_fails)
SCENARIO(started_again)
SCENARIO(polling_fails)
SCENARIO(drifted)
SCENARIO(looked_at)

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, fixture_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(succeeded),     TEST(no_change),     TEST(failed),       TEST(failed_sql), TEST(failed_early),
        TEST(rolled_back),   TEST(halted),        TEST(cancelled),    TEST(superseded), TEST(interrupted),
        TEST(stuck),         TEST(running),       TEST(putting_back), TEST(held),       TEST(paused),
        TEST(waiting),       TEST(alarm_raised),  TEST(approval),     TEST(frozen),     TEST(receiver_fails),
        TEST(started_again), TEST(polling_fails), TEST(drifted),      TEST(looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

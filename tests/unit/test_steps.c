/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "agent/step.h"
#include "base/proc.h"
#include "base/secret.h"
#include "net_peer.h"
#include "plan_fixture.h"
#include "steps/database.h"
#include "steps/hint.h"

/* Names are stored in the journal: this list may grow and never change. Its order is deployment order. */
static const char *const names[] = {STEP_PULL,    STEP_NETWORK,  STEP_SECRET, STEP_CONFIG,
                                    STEP_RELAY,   STEP_BASELINE, STEP_BEFORE, STEP_READY,
                                    STEP_BACKUP,  STEP_SQL,      STEP_RUN,    STEP_EXPECT,
                                    STEP_COMPARE, STEP_ROLL,     STEP_SOAK,   STEP_PRUNE};

static void table(void **state)
{
    (void)state;
    size_t n = 0;
    for (; step_kinds[n]; n++) {
        assert_true(n < ARRAY_SIZE(names));
        assert_string_equal(step_kinds[n]->name, names[n]);
        assert_ptr_equal(step_kind_find(names[n]), step_kinds[n]);
        assert_non_null(step_kinds[n]->run);
        /* the watch over what these rolled is taken up after a crash */
        bool rolls = str_eq(names[n], STEP_BEFORE) || str_eq(names[n], STEP_ROLL);
        assert_int_equal(step_kinds[n]->touches_service, rolls);
    }
    assert_int_equal(n, ARRAY_SIZE(names));
}

/* What has an effect that a second run would repeat is told that it was begun before. */
static void resuming(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        enum resume_policy policy;
    } cases[] = {{STEP_PULL, RESUME_RERUN},    {STEP_RELAY, RESUME_RERUN}, {STEP_READY, RESUME_RERUN},
                 {STEP_SOAK, RESUME_RERUN},    {STEP_PRUNE, RESUME_RERUN}, {STEP_RUN, RESUME_PROBE},
                 {STEP_BEFORE, RESUME_PROBE},  {STEP_ROLL, RESUME_PROBE},  {STEP_SECRET, RESUME_PROBE},
                 {STEP_NETWORK, RESUME_PROBE}, {STEP_CONFIG, RESUME_PROBE}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (step_kind_find(cases[i].kind)->on_resume != cases[i].policy)
            fail_msg("%s", cases[i].kind);
}

/* Logged with the step's name in the place of one %s. */
static void sentences(void **state)
{
    (void)state;
    for (size_t n = 0; step_kinds[n]; n++) {
        const char *first = strchr(step_kinds[n]->sentence, '%');
        assert_non_null(first);
        assert_int_equal(first[1], 's');
        assert_null(strchr(first + 1, '%'));
    }
}

static void unknown(void **state)
{
    (void)state;
    assert_null(step_kind_find(""));
    assert_null(step_kind_find("Roll"));
    assert_null(step_kind_find("rolling"));
}

/* A plan with a step of each kind, in this table's order: plan_make() and the table must agree. */
static void planned_order(void **state)
{
    (void)state;
    static const char text[] = "services:\n"
                               "  db: {image: db, networks: [back]}\n"
                               "  web: {image: web, networks: [back, front]}\n"
                               "networks: {back: {}, front: {}}\n"
                               "configs: {conf: {file: a}}\n"
                               "secrets: {key: {file: a}}\n"
                               "volumes: {dumps: {}}\n"
                               "x-release:\n"
                               "  database: {service: db, url_from: URL, backup: {volume: dumps}}\n"
                               "  steps: [{sql: {name: schema, dir: db}}, {run: {name: one, service: web, "
                               "command: [x]}}, {run: {name: two, service: db, command: [x]}}, {expect: "
                               "{tables: [a]}}]\n"
                               "  rollout: {before: [db]}\n"
                               "  health: {web: [{http: 'http://web/'}]}\n";
    static const struct fixture_file files[] = {{"a", "a"}, {NULL, NULL}};
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    size_t kind = 0, kinds = 0;
    world_init(&w);
    if (fixture_load(text, files, NULL, 0, &m, &err) < 0)
        fail_msg("%s", err.text);
    json_array_append_new(
        w.observed.services,
        fixture_json("{'ID': 'x', 'Spec': {'Name': 'shop_old', 'Labels': {'" LABEL_DEPLOYMENT "': 'h/1'}}}"));
    json_array_append_new(
        w.observed.services,
        fixture_json("{'ID': 'y', 'Spec': {'Name': 'shop_web', 'Mode': {'Replicated': {}}, 'Labels': {}}}"));
    if (world_plan(&w, &m, &(struct world_options){0}, &plan, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan.rows.n_steps; i++) {
        size_t at = 0;
        while (step_kinds[at] && strcmp(step_kinds[at]->name, plan.rows.steps[i].kind) != 0)
            at++;
        if (!step_kinds[at] || at < kind)
            fail_msg("%s %s comes after %s", plan.rows.steps[i].kind, plan.rows.steps[i].name, names[kind]);
        kinds += at != kind || i == 0;
        kind = at;
    }
    assert_int_equal(kinds, ARRAY_SIZE(names));
    plan_release(&plan);
    manifest_release(&m);
    world_release(&w);
}

static int signs_of_life;

static void count_sign(void)
{
    signs_of_life++;
}

/* Whoever waits lives: agentd stops a worker that is silent. */
static void signs(void **state)
{
    (void)state;
    struct step_ctx ctx = {.ignore_cancel = true};
    proc_on_alive(count_sign);
    step_sleep(1000);
    assert_int_equal(signs_of_life, 1);
    step_pause(&ctx, 1000);
    assert_int_equal(signs_of_life, 2);
    assert_int_equal(step_stop_reason(&ctx), STOP_NONE);
    assert_int_equal(signs_of_life, 3);
    proc_on_alive(NULL);
}

static int redirect(int *ret_saved)
{
    int fds[2];
    fflush(stdout);
    *ret_saved = dup(STDOUT_FILENO);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
    close(fds[1]);
    return fds[0];
}

static void assert_said(int fd, int saved, const char *expected)
{
    char text[200] = "";
    assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    close(saved);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_string_equal(text, expected);
}

/* Told at once, then once a minute at most. */
static void told_signs(void **state)
{
    (void)state;
    int saved, fd = redirect(&saved);
    hint_alive();
    hint_alive();
    assert_said(fd, saved, "{\"alive_s\":300}\n");
}

static void redacted_hints(void **state)
{
    (void)state;
    secret_register("hunter\"22");
    int saved, fd = redirect(&saved);
    hint(json_pack("{s:s, s:n, s:i}", "waiting", "image a:hunter\"22", "step", "deadline_s", 7));
    assert_said(fd, saved, "{\"waiting\":\"image a:***\",\"step\":null,\"deadline_s\":7}\n");
    secret_forget_all();
}

/* To whoever runs SQL, what is not found is a schema, and no schema is a reason to skip it. */
static void missing_service(void **state)
{
    (void)state;
    /* the first is a HEAD: the body is not read */
    struct peer peer = {.answer = "HTTP/1.1 404 Not Found\r\nApi-Version: 1.41\r\nContent-Length: 34\r\n\r\n"
                                  "{\"message\":\"service db not found\"}",
                        .connections = 4,
                        .pause_ms = 50};
    peer_start(&peer);
    cleanup_arena struct arena arena = {0};
    struct docker *docker;
    struct error err = {0};
    const char *folder;
    char url[80];
    snprintf(url, sizeof url, "unix://%s", peer.path);
    assert_int_equal(docker_open(url, NULL, &docker, &err), 0);
    struct step_ctx ctx = {.arena = &arena, .docker = docker};
    struct step_database db = {.ctx = &ctx, .service_name = "shop_db"};
    assert_int_equal(step_database_find(&db, &arena, &folder, &err), -1);
    if (err.kind != ERR_UNAVAILABLE || !strstr(err.text, "not found"))
        fail_msg("%d %s", err.kind, err.text);
    docker_close(docker);
    peer_stop(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),      cmocka_unit_test(resuming),       cmocka_unit_test(sentences),
        cmocka_unit_test(unknown),    cmocka_unit_test(planned_order),  cmocka_unit_test(signs),
        cmocka_unit_test(told_signs), cmocka_unit_test(redacted_hints), cmocka_unit_test(missing_service)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl log --records, before an agentd that hands on what agent-worker has read: to the letter. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agentctl/log_records.h"
#include "agentctl/view.h"
#include "base/cleanup.h"
#include "base/str.h"

static char folder[] = "/tmp/records-XXXXXX";
static char path[64];

#define ROW(host, id, stack, state, rest)                                                                    \
    "{\"host\":\"" host "\",\"host_id\":\"a1\",\"id\":" id ",\"stack\":\"" stack "\",\"state\":\"" state     \
    "\",\"commit_id\":\"9f3c1ab0c4d5e6f708192a3b4c5d6e7f80912a3b\",\"author\":\"alice\",\"trigger_name\":"   \
    "\"poll\",\"requested_us\":1787493720000000,\"started_us\":1787493730000000,\"finished_us\":"            \
    "1787493792000000," rest "\"services\":[],\"images\":[],\"schemas\":[]}\n"

static const char two_hosts[] =
    ROW("node2\\u001b[31m", "7", "shop", "failed",
        "\"reason\":\"django: exit 1: no\",\"failed_with\":\"exit 1\",\"migrations\":[{\"step\":\"django\","
        "\"version\":\"1\",\"name\":\"x\",\"state\":\"failed\"}],")
        ROW("node1", "12", "blog", "succeeded", "\"reason\":\"1 service rolled\",");

/* ---- a fake agentd ---- */

static void serve(int listener, const char *reply)
{
    char request[4096];
    int fd = accept(listener, NULL, NULL);
    if (read(fd, request, sizeof request) <= 0 || write(fd, reply, strlen(reply)) < 0)
        _exit(1);
    close(fd);
    _exit(0);
}

/* Exit code; what was printed in *ret_out. */
static int ask(const struct log_records *options, const char *output, int exit_code, char **ret_out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ctl ctl = {.control_path = path,
                      .config_path = "/etc/deploy-agent/agent.conf",
                      .has_config = options->wide, /* that it can be read is not enough */
                      .config.records_postgres_file = "/nonexistent/url"};
    cleanup_json json_t *reply = json_pack("{s:b, s:i, s:s, s:s}", "ok", true, "exit", exit_code, "output",
                                           output, "message", exit_code ? "why\n" : "");
    cleanup_free char *text = json_dumps(reply, JSON_COMPACT);
    size_t len;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        serve(listener, text);
    FILE *real = stdout;
    stdout = open_memstream(ret_out, &len);
    int code = log_records(&ctl, options);
    fclose(stdout);
    stdout = real;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(listener);
    arena_release(&ctl.arena);
    return code;
}

/* ---- tests ---- */

static void table(void **state)
{
    (void)state;
    cleanup_free char *out = NULL;
    assert_int_equal(ask(&(struct log_records){.wide = true}, two_hosts, 0, &out), EXIT_GOOD);
    assert_string_equal(
        out,
        "HOST       ID  STACK  WHEN              COMMIT   AUTHOR  MIGRATIONS     VERDICT    TOOK   WHY\n"
        "node2[31m  7   shop   2026-08-23 14:02  9f3c1ab  alice   FAILED exit 1  failed     1m02s  django: "
        "exit 1: no\n"
        "node1      12  blog   2026-08-23 14:02  9f3c1ab  alice   none           succeeded  1m02s  1 service "
        "rolled\n");
}

/* Whatever a narrow terminal leaves out of `log`, it leaves out here. */
static void columns(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct table plain = view_table(&arena, true), t = view_table(&arena, true);
    table_put_first(&t, "HOST", 16);
    assert_int_equal(t.n_columns, plain.n_columns + 1);
    assert_int_equal(t.goes[0], 0);
    assert_int_equal(t.caps[0], 16);
    for (size_t i = 0; i < plain.n_columns; i++) {
        assert_string_equal(t.titles[i + 1], plain.titles[i]);
        assert_int_equal(t.goes[i + 1], plain.goes[i]);
        assert_int_equal(t.caps[i + 1], plain.caps[i]);
    }
    assert_string_equal(t.titles[t.gives_way], plain.titles[plain.gives_way]);
}

static void json(void **state)
{
    (void)state;
    cleanup_free char *out = NULL;
    assert_int_equal(ask(&(struct log_records){.json = true}, two_hosts, 0, &out), EXIT_GOOD);
    cleanup_json json_t *list = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_array_size(list), 2);
    const json_t *one = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(one, "host")), "node2[31m");
    assert_string_equal(json_string_value(json_object_get(one, "host_id")), "a1");
    assert_string_equal(json_string_value(json_object_get(one, "finished_at")), "2026-08-23T14:03:12Z");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(one, "migrations"), 0), "state")),
        "failed");
}

static void nothing(void **state)
{
    (void)state;
    cleanup_free char *out = NULL;
    cleanup_free char *text = NULL;
    assert_int_equal(ask(&(struct log_records){.json = true}, "", 0, &out), EXIT_GOOD);
    assert_string_equal(out, "[]\n");
    assert_int_equal(ask(&(struct log_records){.json = false}, "", 0, &text), EXIT_GOOD);
    assert_string_equal(text, "");
}

/* Half an answer must not look like all of it. */
static void bad(void **state)
{
    (void)state;
    const struct {
        const char *output;
        int exit_code, code;
    } cases[] = {
        {"", EXIT_NOT_FOUND, EXIT_NOT_FOUND},
        {two_hosts, EXIT_FAILED, EXIT_FAILED},
        {"{\"host\":", 0, EXIT_FAILED},
        {ROW("a", "1", "shop", "succeeded", "") "{\"host\":", 0, EXIT_FAILED},
        {"[]\n", 0, EXIT_FAILED},
        {ROW("a", "1", "shop", "unheard_of", ""), 0, EXIT_FAILED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *out = NULL;
        int code = ask(&(struct log_records){.json = false}, cases[i].output, cases[i].exit_code, &out);
        if (code != cases[i].code || *out)
            fail_msg("case %zu: exit %d: %s", i, code, out);
    }
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/control.sock", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),   cmocka_unit_test(columns), cmocka_unit_test(json),
        cmocka_unit_test(nothing), cmocka_unit_test(bad),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}

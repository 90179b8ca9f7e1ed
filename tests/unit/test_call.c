/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl's end of the control socket, before an agentd that is absent, slow, gone half way or out of its
 * mind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/clock.h"

static char folder[] = "/tmp/call-XXXXXX";
static char path[64];

static int listen_there(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

/* Reads a line, writes `times` times the reply, waits a while if asked to, closes. */
static void serve(int listener, const char *reply, size_t times, int64_t hold_us)
{
    char request[CONTROL_REQUEST_MAX];
    size_t have = 0;
    int fd = accept(listener, NULL, NULL);
    while (have < sizeof request && !memchr(request, '\n', have)) {
        ssize_t n = read(fd, request + have, sizeof request - have);
        if (n <= 0)
            _exit(1);
        have += (size_t)n;
    }
    for (size_t i = 0; i < times; i++)
        if (write(fd, reply, strlen(reply)) < 0)
            break;
    sleep_us(hold_us);
    close(fd);
    _exit(0);
}

static int call(const char *reply, size_t times, int64_t hold_us, int64_t timeout_us, json_t **ret,
                struct error *err)
{
    int listener = listen_there();
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
        serve(listener, reply, times, hold_us);
    }
    cleanup_json json_t *request = json_pack("{s:s}", "verb", "status");
    *err = (struct error){0};
    int r = control_call(path, request, timeout_us, ret, err);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(listener);
    return r;
}

static void answers(void **state)
{
    (void)state;
    char *megabyte = malloc((1 << 20) + 1);
    memset(megabyte, ' ', 1 << 20);
    megabyte[1 << 20] = '\0';
    const struct {
        const char *reply;
        size_t times;
        int64_t hold_us;
        enum error_kind kind; /* ERR_NONE: accepted */
    } cases[] = {
        {"{\"ok\":true}\n", 1, 0, ERR_NONE},
        {"{\"ok\":true}\n", 1, 10 * US_PER_S, ERR_NONE}, /* the newline ends it, not the connection */
        {"{\"ok\":true}", 1, 0, ERR_NONE},
        {"", 0, 0, ERR_UNAVAILABLE},
        {"\n", 1, 0, ERR_INTERNAL},
        {"[]\n", 1, 0, ERR_INTERNAL},
        {"{\"ok\":tr", 1, 0, ERR_INTERNAL},
        {"{\"ok\":true,\"ok\":false}\n", 1, 0, ERR_INTERNAL},
        {"{\"ok\":true", 1, 10 * US_PER_S, ERR_TIMEOUT},
        {"", 0, 10 * US_PER_S, ERR_TIMEOUT},
        {megabyte, 18, 0, ERR_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *reply = NULL;
        struct error err;
        int64_t before = mono_us();
        int r = call(cases[i].reply, cases[i].times, cases[i].hold_us, 2 * US_PER_S, &reply, &err);
        if (err.kind != cases[i].kind || (r == 0) != (cases[i].kind == ERR_NONE))
            fail_msg("case %zu: %d, kind %d, %s", i, r, err.kind, err.text);
        assert_true(mono_us() - before < 8 * US_PER_S);
        assert_int_equal(r == 0, json_is_true(json_object_get(reply, "ok")));
        json_decref(reply);
    }
    free(megabyte);
}

static void nobody_there(void **state)
{
    (void)state;
    json_t *reply = NULL;
    struct error err = {0};
    cleanup_json json_t *request = json_pack("{s:s}", "verb", "status");
    unlink(path);
    assert_int_equal(control_call(path, request, US_PER_S, &reply, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    close(listen_there()); /* a socket left by an agentd that died */
    assert_int_equal(control_call(path, request, US_PER_S, &reply, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(control_call(long_path, request, US_PER_S, &reply, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
}

static void too_long_a_request(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *reply = NULL;
    char *text = calloc(1, CONTROL_REQUEST_MAX + 1);
    memset(text, 'x', CONTROL_REQUEST_MAX);
    cleanup_json json_t *request = json_pack("{s:s}", "verb", text);
    int listener = listen_there();
    assert_int_equal(control_call(path, request, US_PER_S, &reply, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    close(listener);
    free(text);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/control.sock", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(too_long_a_request),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's credential helpers: https://github.com/docker/docker-credential-helpers#development */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "docker/auth.h"
#include "docker/client.h"

#define HELPER_TIMEOUT_US (30 * US_PER_S)
#define HELPER_SLICE_US   (US_PER_S / 4) /* between two signs of life */
#define HELPER_OUTPUT_MAX ((size_t)64 << 10)
#define HELPER_PATH       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Absolute path of docker-credential-NAME, or NULL. */
static char *find_helper(struct arena *arena, const char *name)
{
    static const char *const folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                          "/usr/bin",        "/sbin",          "/bin"};
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    if (!name[0] || name[strspn(name, allowed)])
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        char *path = arena_printf(arena, "%s/docker-credential-%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

/* Helpers keep their own state below HOME, and some read the Docker configuration. */
static char **make_environment(struct arena *arena, const char *config_path)
{
    const char *home = getenv("HOME"), *slash = strrchr(config_path, '/');
    char **env = arena_array(arena, 5, sizeof *env);
    env[0] = arena_strdup(arena, "PATH=" HELPER_PATH);
    env[1] = arena_strdup(arena, "LANG=C.UTF-8");
    env[2] = arena_printf(arena, "HOME=%s", home && home[0] ? home : "/var/lib/deploy-agent");
    if (slash)
        env[3] = arena_printf(arena, "DOCKER_CONFIG=%.*s", (int)(slash - config_path), config_path);
    return env;
}

/* The key goes in through a memory file: the helper may read it when it likes, and nothing can block here. */
static int make_stdin(const char *key, struct error *err)
{
    int fd = memfd_create("key", MFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "memfd_create");
    size_t len = strlen(key);
    if (write(fd, key, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0) {
        error_errno(err, "writing the helper's input");
        close(fd);
        return -1;
    }
    return fd;
}

static int spawn_helper(const char *path, char *const *env, int stdin_fd, int stdout_fd, pid_t *ret_pid,
                        struct error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);

    char program[] = "docker-credential", verb[] = "get";
    char *const argv[] = {program, verb, NULL};
    errno = posix_spawn(ret_pid, path, &actions, &attributes, argv, env);
    int r = errno ? error_errno(err, "%s", path) : 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* 1: readable; 0: the deadline passed; -1: to stop. */
static int wait_for(int fd, int64_t deadline, struct error *err)
{
    for (;;) {
        int64_t left = deadline - mono_us();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (proc_heed_stop(NULL, err) < 0)
            return -1;
        if (left <= 0)
            return 0;
        if (poll(&p, 1, (int)((left < HELPER_SLICE_US ? left : HELPER_SLICE_US) / 1000) + 1) > 0)
            return 1;
    }
}

/* Reads to the end of output. 1: all of it; 0: the deadline passed, or too much; -1: to stop. */
static int read_output(int fd, int64_t deadline, struct str *ret, struct error *err)
{
    for (;;) {
        int r = wait_for(fd, deadline, err);
        if (r <= 0)
            return r;
        char buffer[4096];
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        str_append_n(ret, buffer, (size_t)n);
        explicit_bzero(buffer, sizeof buffer);
        if (ret->len > HELPER_OUTPUT_MAX)
            return 0;
    }
}

/* Who has closed its output need not have ended. As read_output(). */
static int wait_end(pid_t pid, int64_t deadline, struct error *err)
{
    cleanup_close int fd = pidfd_open(pid, 0);
    return fd < 0 ? error_errno(err, "pidfd_open") : wait_for(fd, deadline, err);
}

static int run_helper(const char *path, char *const *env, const char *key, struct str *ret_output,
                      int *ret_status, struct error *err)
{
    cleanup_close int stdin_fd = make_stdin(key, err);
    if (stdin_fd < 0)
        return -1;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, "pipe");
    pid_t pid;
    int r = spawn_helper(path, env, stdin_fd, ends[1], &pid, err);
    close(ends[1]);
    cleanup_close int output = ends[0];
    if (r < 0)
        return -1;
    int64_t deadline = mono_us() + HELPER_TIMEOUT_US;
    r = read_output(output, deadline, ret_output, err);
    if (r > 0)
        r = wait_end(pid, deadline, err);
    if (r <= 0)
        kill(-pid, SIGKILL); /* a session of its own: its children too */
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        ;
    if (r == 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "%s gave no complete answer, or did not end, in %d s", path,
                         (int)(HELPER_TIMEOUT_US / US_PER_S));
    return r < 0 ? -1 : 0;
}

static int read_answer(const char *path, const char *key, const struct str *output, struct arena *arena,
                       struct credentials *ret, struct error *err)
{
    cleanup_json json_t *answer = json_loadb(output->data ? output->data : "", output->len, 0, NULL);
    const char *username = json_string_value(json_object_get(answer, "Username"));
    const char *secret = json_string_value(json_object_get(answer, "Secret"));
    if (!username || !secret)
        return error_set(err, ERR_INVALID, 0, "%s: the answer is not {\"Username\", \"Secret\"}", path);
    struct credentials found = {.server = arena_strdup(arena, key)};
    if (strcmp(username, "<token>") == 0) {
        found.identity_token = arena_strdup(arena, secret);
    } else {
        found.username = arena_strdup(arena, username);
        found.password = arena_strdup(arena, secret);
    }
    *ret = found;
    return 0;
}

int credential_helper_get(const char *name, const char *key, const char *config_path, struct arena *arena,
                          struct credentials *ret, struct error *err)
{
    const char *path = find_helper(arena, name);
    if (!path)
        return error_set(err, ERR_INVALID, 0,
                         "%s: docker-credential-%s is not installed in any folder of " HELPER_PATH,
                         config_path, name);
    cleanup_str struct str output = {0};
    int status;
    if (run_helper(path, make_environment(arena, config_path), key, &output, &status, err) < 0)
        return -1;
    int r = 0;
    const char *text = str_text(&output);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        r = read_answer(path, key, &output, arena, ret, err);
    else if (!strstr(text, "credentials not found")) /* the words of the protocol for "none" */
        r = error_set(err, ERR_UNAVAILABLE, 0, "%s failed: %s", path,
                      str_clean(arena, text, output.len, true, 300));
    if (output.data)
        explicit_bzero(output.data, output.len);
    return r;
}

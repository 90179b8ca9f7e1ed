/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "worker/check.h"

/* What `agentctl check` tells a newcomer to type, for each thing that may be missing. */

static void expect(const char *what, const char *got, const char *want)
{
    if (want ? !got || !strstr(got, want) : got != NULL)
        fail_msg("%s: wanted %s, got %s", what, want ? want : "nothing", got ? got : "nothing");
}

static struct error failure(enum error_kind kind, int code, const char *text)
{
    struct error err = {0};
    (void)error_set(&err, kind, code, "%s", text);
    return err;
}

static void files(void **state)
{
    (void)state;
    static const struct {
        char *(*mend)(struct arena *arena, const char *path, const struct error *err);
        enum error_kind kind;
        int code;
        const char *text, *want;
    } cases[] = {
        {mend_config, ERR_NOT_FOUND, ENOENT, "no file",
         "sudo install -o root -g deploy-agent -m 0640 -D " PKGDOCDIR "/examples/agent.conf.example /x && "
         "sudoedit /x"},
        {mend_config, ERR_SYSTEM, EACCES, "closed", "sudo agentctl check"},
        {mend_config, ERR_INVALID, 0, "/x:3: [agent] foo: unknown key", "sudoedit /x"},
        {mend_config, ERR_INVALID, 0, "open; mend it with: chmod o-w /x", NULL},
        {mend_secret_file, ERR_SYSTEM, ENOENT, "no file",
         "sudo install -o root -g deploy-agent -m 0640 /dev/null /x && sudoedit /x"},
        {mend_secret_file, ERR_SYSTEM, EACCES, "closed", "sudo chgrp deploy-agent /x && sudo chmod 0640 /x"},
        {mend_secret_file, ERR_INVALID, 0, "open; mend it with: chgrp", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct error err = failure(cases[i].kind, cases[i].code, cases[i].text);
        expect(cases[i].text, cases[i].mend(&arena, "/x", &err), cases[i].want);
    }
    cleanup_arena struct arena arena = {0};
    struct error err = failure(ERR_SYSTEM, EACCES, "closed"), full = failure(ERR_SYSTEM, ENOSPC, "full");
    expect("state_dir closed", mend_state_dir(&arena, "/s", "agent", &err),
           "sudo install -d -o agent -g agent -m 0750 /s");
    expect("state_dir full", mend_state_dir(&arena, "/s", "agent", &full), "df -h /s");
}

static void engine(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *text, *group;
        bool installed;
        const char *want;
    } cases[] = {
        {EACCES, "denied", "docker", true,
         "sudo usermod -aG docker agent && sudo systemctl try-restart deploy-agent"},
        {EACCES, "denied", "root", true, "sudo chgrp docker /s && sudo chmod 0660 /s"},
        {EACCES, "denied", NULL, true, "sudo chgrp docker /s"},
        {ENOENT, "no socket", NULL, false, "sudo apt install docker.io"},
        {ENOENT, "no socket", NULL, true, "sudo systemctl start docker"},
        {ECONNREFUSED, "nobody", "docker", true, "sudo systemctl start docker"},
        {500, "The swarm does not have a leader.", "docker", true, "docker node ls"},
        {500, "something else", "docker", true, "journalctl -u docker"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct error err = failure(ERR_UNAVAILABLE, cases[i].code, cases[i].text);
        const struct check_engine_facts facts = {"/s", "agent", cases[i].group, cases[i].installed};
        expect(cases[i].text, mend_engine(&arena, &facts, &err), cases[i].want);
    }
}

static void node(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        bool manager;
        const char *want_why, *want;
    } cases[] = {
        {"inactive", false, "in no swarm", "sudo docker swarm init"},
        {"locked", false, "is locked", "sudo docker swarm unlock"},
        {"pending", false, "has not got into its swarm", "sudo docker info"},
        {"error", false, "has not got into its swarm", "sudo docker info"},
        {"active", false, "not a swarm manager", "sudo docker node promote box"},
        {"active", true, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        const struct swarm_info swarm = {.state = cases[i].state,
                                         .active = str_eq(cases[i].state, "active"),
                                         .manager = cases[i].manager,
                                         .node_name = "box"};
        const char *why;
        const char *mend = mend_node(&arena, &swarm, &why);
        expect(cases[i].state, mend, cases[i].want);
        expect(cases[i].state, why, cases[i].want_why);
    }
}

static void repository(void **state)
{
    (void)state;
    static const struct {
        const char *url, *token, *key;
        enum error_kind kind;
        const char *text, *want;
    } cases[] = {
        {"https://h/x.git", NULL, NULL, ERR_REFUSED, "401", "token_file = /etc/deploy-agent/shop.token"},
        {"https://h/x.git", NULL, NULL, ERR_NOT_FOUND, "404, or a private one",
         "sudoedit /etc/deploy-agent/shop.token"},
        {"https://h/x.git", "/t", NULL, ERR_REFUSED, "401: has it expired", NULL},
        {"https://h/x.git", "/t", NULL, ERR_NOT_FOUND, "the repository has no branch main",
         "git ls-remote --heads https://h/x.git"},
        {"https://h/x.git", NULL, NULL, ERR_NOT_FOUND, "the repository has no branch main",
         "git ls-remote --heads https://h/x.git"},
        {"ssh://git@h/x.git", NULL, NULL, ERR_REFUSED, "no key", "ssh-keygen -t ed25519"},
        {"ssh://git@h/x.git", NULL, "/k", ERR_REFUSED, "the ssh host key of h is unknown: add this line: h x",
         NULL},
        {"https://h/x.git", NULL, NULL, ERR_UNAVAILABLE, "the name does not resolve", "git ls-remote"},
        {"file:///srv/x.git", NULL, NULL, ERR_NOT_FOUND, "no such repository",
         "git ls-remote --heads file:///srv/x.git"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct error err = failure(cases[i].kind, 0, cases[i].text);
        const struct stack_config stack = {.name = "shop",
                                           .repository = cases[i].url,
                                           .token_file = cases[i].token,
                                           .ssh_key = cases[i].key};
        expect(cases[i].text, mend_repository(&arena, &stack, "/x", &err), cases[i].want);
    }
}

static void commit(void **state)
{
    (void)state;
    static const struct {
        const char *env_file;
        enum error_kind kind;
        const char *text, *want;
    } cases[] = {
        {"/e", ERR_NOT_FOUND, "stack file: no deploy in commit 1", "path from the repository's root"},
        {"/e", ERR_INVALID, "/e:3: no =", "mend it with: sudoedit /e"},
        {"/e", ERR_INVALID, "stack.yml:2: required variable X is missing a value: say it", "sudoedit /e"},
        {NULL, ERR_INVALID, "required variable X is missing a value: say it", "sudoedit ENV_FILE"},
        {NULL, ERR_INVALID, "stack.yml:7: services must be a mapping", "mend it in the repository, push"},
        {NULL, ERR_SYSTEM, "out of file descriptors", "look with: agentctl render shop"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct error err = failure(cases[i].kind, 0, cases[i].text);
        const struct stack_config stack = {.name = "shop", .env_file = cases[i].env_file};
        expect(cases[i].text, mend_commit(&arena, &stack, &err), cases[i].want);
    }
}

static void server(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        enum error_kind kind;
        const char *want;
    } cases[] = {
        {"db1", ERR_UNAVAILABLE, "look with: pg_isready -h db1 -p 5433"},
        {"db1", ERR_TIMEOUT, "look with: pg_isready -h db1 -p 5433"},
        {"db1", ERR_REFUSED, "mend it with: sudoedit /f"},
        {"db1", ERR_CONFLICT, "mend it with: sudoedit /f"},
        {NULL, ERR_INVALID, "mend it with: sudoedit /f"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct error err = failure(cases[i].kind, 0, "no");
        const struct pg_url url = {.host = cases[i].host, .port = 5433};
        expect("server", mend_server(&arena, &url, "/f", &err), cases[i].want);
    }
}

static void image(void **state)
{
    (void)state;
    static const struct {
        const char *image, *auth_file;
        enum error_kind kind;
        const char *want;
    } cases[] = {
        {"reg.example.org/shop:1", NULL, ERR_REFUSED,
         "sudo docker --config /etc/deploy-agent/docker login reg.example.org && sudo chgrp -R deploy-agent"},
        {"reg.example.org/shop:1", NULL, ERR_REFUSED, "auth_file = /etc/deploy-agent/docker/config.json"},
        {"reg.example.org/shop:1", "/srv/d/config.json", ERR_REFUSED,
         "docker --config /srv/d login reg.example.org &&"},
        {"shop:1", NULL, ERR_REFUSED, "docker --config /etc/deploy-agent/docker login &&"},
        {"shop:1", NULL, ERR_NOT_FOUND, "docker push shop:1"},
        {"shop:1", NULL, ERR_UNAVAILABLE, "docker pull shop:1"},
        {"shop:1", NULL, ERR_INVALID, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct error err = failure(cases[i].kind, 0, "no");
        struct image_ref ref;
        assert_int_equal(image_ref_parse(&arena, cases[i].image, &ref, &err), 0);
        expect(cases[i].image, mend_image(&arena, &ref, cases[i].auth_file, &err), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),      cmocka_unit_test(engine), cmocka_unit_test(node),
        cmocka_unit_test(repository), cmocka_unit_test(image),  cmocka_unit_test(commit),
        cmocka_unit_test(server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

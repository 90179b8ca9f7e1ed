/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/webhook.h"
#include "base/cleanup.h"
#include "base/str.h"

/* The example of GitHub's documentation: "Hello, World!" signed with "It's a Secret to Everybody". */
#define HUB_SECRET "It's a Secret to Everybody"
#define HUB_MAC    "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define OTHER_MAC  "857107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
/* Of "id1.123.Hello, World!", with the key as it is, and with the key that whsec_… stands for. */
#define KEY    "0123456789abcdef0123456789abcdef"
#define WHSEC  "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define SIGNED "JKLmhQTrzfM0d4lBnFHNPYdmRjkinbZRRHxF92divwk="

static void signatures(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *body;
        struct webhook_headers headers;
        bool good;
    } cases[] = {
        {HUB_SECRET, "Hello, World!", {.hub = "sha256=" HUB_MAC}, true},
        {HUB_SECRET, "Hello, World!", {.gitea = HUB_MAC}, true},
        {HUB_SECRET, "Hello, World!", {.gitea = HUB_MAC, .hub = "sha256=" HUB_MAC}, true},
        {HUB_SECRET, "Hello, World!", {.gitlab_token = HUB_SECRET}, true},
        {KEY, "Hello, World!", {.id = "id1", .timestamp = "123", .signature = "v1," SIGNED}, true},
        {WHSEC, "Hello, World!", {.id = "id1", .timestamp = "123", .signature = "v1," SIGNED}, true},
        {KEY,
         "Hello, World!",
         {.id = "id1", .timestamp = "123", .signature = "v2,xx v1,AAAA v1," SIGNED " v1,zz"},
         true},
        /* nothing, or nothing that counts */
        {HUB_SECRET, "Hello, World!", {0}, false},
        {HUB_SECRET, "Hello, World!", {.hub = ""}, false},
        {HUB_SECRET, "Hello, World!", {.gitlab_token = ""}, false},
        {HUB_SECRET, "Hello, World!", {.id = "", .timestamp = "", .signature = ""}, false},
        /* another body, key, or signature */
        {HUB_SECRET, "Hello, World?", {.hub = "sha256=" HUB_MAC}, false},
        {HUB_SECRET, "", {.hub = "sha256=" HUB_MAC}, false},
        {"It's a Secret to Nobody!!!", "Hello, World!", {.hub = "sha256=" HUB_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.hub = "sha256=" OTHER_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.gitea = OTHER_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.gitlab_token = HUB_SECRET "!"}, false},
        {HUB_SECRET, "Hello, World!", {.gitlab_token = "It's a Secret to Everybod"}, false},
        {KEY, "Hello, World!", {.id = "id2", .timestamp = "123", .signature = "v1," SIGNED}, false},
        {KEY, "Hello, World!", {.id = "id1", .timestamp = "124", .signature = "v1," SIGNED}, false},
        {KEY, "Hello, World?", {.id = "id1", .timestamp = "123", .signature = "v1," SIGNED}, false},
        {KEY, "Hello, World!", {.timestamp = "123", .signature = "v1," SIGNED}, false},
        {KEY, "Hello, World!", {.id = "id1", .signature = "v1," SIGNED}, false},
        {KEY, "Hello, World!", {.id = "id1", .timestamp = "123", .signature = SIGNED}, false},
        {KEY, "Hello, World!", {.id = "id1", .timestamp = "123", .signature = "v1,"}, false},
        {KEY, "Hello, World!", {.id = "id1", .timestamp = "123", .signature = "v1," SIGNED "AAAA"}, false},
        /* in the header of another */
        {HUB_SECRET, "Hello, World!", {.hub = HUB_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.gitea = "sha256=" HUB_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.hub = HUB_SECRET}, false},
        {HUB_SECRET, "Hello, World!", {.gitlab_token = HUB_MAC}, false},
        /* not exactly that */
        {HUB_SECRET, "Hello, World!", {.hub = "sha1=" HUB_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.hub = "SHA256=" HUB_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.hub = "sha256= " HUB_MAC}, false},
        {HUB_SECRET, "Hello, World!", {.hub = "sha256=" HUB_MAC "00"}, false},
        {HUB_SECRET, "Hello, World!", {.hub = "sha256=" HUB_MAC " "}, false},
        {HUB_SECRET, "Hello, World!", {.hub = "sha256=757107ea"}, false},
        {HUB_SECRET,
         "Hello, World!",
         {.gitea = "g57107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
         false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (webhook_verify(cases[i].secret, &cases[i].headers, cases[i].body, strlen(cases[i].body)) !=
            cases[i].good)
            fail_msg("case %zu is %s", i, cases[i].good ? "refused" : "taken");
}

static void many_bytes(void **state)
{
    (void)state;
    /* NUL bytes are part of it */
    static const char body[] = "a\0b";
    const struct webhook_headers h = {.gitea =
                                          "e702259e5d12783639259f6db6204b40ae519aff98da2a678473065a7aaf26ce"};
    assert_true(webhook_verify(KEY, &h, body, sizeof body - 1));
    assert_false(webhook_verify(KEY, &h, body, 1));
    /* long tokens and secrets */
    char token[9000];
    memset(token, 'x', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    const struct webhook_headers same = {.gitlab_token = token};
    assert_true(webhook_verify(token, &same, "", 0));
    token[0] = 'y';
    assert_false(webhook_verify(KEY, &same, "", 0));
    /* a key in base64 that is larger than any */
    memcpy(token, "whsec_", 6);
    const struct webhook_headers standard = {.id = token, .timestamp = token, .signature = token};
    assert_false(webhook_verify(token, &standard, token, sizeof token - 1));
}

/* Of a good signature, each character changed to each other one in turn: none of them counts. */
static void changed(const char *secret, struct webhook_headers *headers, const char **place)
{
    static const char body[] = "Hello, World!";
    cleanup_arena struct arena arena = {0};
    const char *good = *place;
    char *text = arena_strdup(&arena, good);
    *place = text;
    assert_true(webhook_verify(secret, headers, body, strlen(body)));
    for (size_t i = 0; text[i]; i++) {
        for (int c = 1; c < 256; c++) {
            text[i] = (char)c;
            bool same =
                c == (unsigned char)good[i] || (isxdigit((unsigned char)good[i]) && tolower(c) == good[i]);
            if (!same && webhook_verify(secret, headers, body, strlen(body)))
                fail_msg("'%s' is taken for '%s'", text, good);
        }
        text[i] = '\0'; /* cut */
        assert_false(webhook_verify(secret, headers, body, strlen(body)));
        text[i] = good[i];
    }
    *place = good;
}

static void almost_good(void **state)
{
    (void)state;
    struct webhook_headers hub = {.hub = "sha256=" HUB_MAC}, gitea = {.gitea = HUB_MAC},
                           token = {.gitlab_token = KEY},
                           standard = {.id = "id1", .timestamp = "123", .signature = "v1," SIGNED};
    changed(HUB_SECRET, &hub, &hub.hub);
    changed(HUB_SECRET, &gitea, &gitea.gitea);
    changed(KEY, &token, &token.gitlab_token);
    changed(KEY, &standard, &standard.id);
    changed(KEY, &standard, &standard.timestamp);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void secrets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        const char *refusal; /* part of it; NULL: taken */
    } cases[] = {
        {KEY "\n", 0600, NULL},
        {KEY, 0600, NULL},
        {KEY "\r\n", 0600, NULL},
        {WHSEC "\n", 0600, NULL},
        {"", 0600, "at least 32"},
        {"\n\n", 0600, "at least 32"},
        {"0123456789abcdef0123456789abcde\n", 0600, "at least 32"},
        {KEY "\n" KEY "\n", 0600, "one line"},
        {"0123456789abcdef 0123456789abcdef\n", 0600, "one line"},
        {KEY "\n", 0644, "lets every user read it"},
    };
    char folder[] = "/tmp/webhook-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/secret", folder);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct error err = {0};
        char *secret = NULL;
        write_file(path, cases[i].text, cases[i].mode);
        int r = webhook_secret_read(&arena, path, &secret, &err);
        if ((r < 0) != (cases[i].refusal != NULL) || (r < 0 && !strstr(err.text, cases[i].refusal)))
            fail_msg("case %zu: %d, %s", i, r, err.text);
        if (r == 0)
            assert_null(strpbrk(secret, "\r\n"));
        if (r < 0 && strlen(cases[i].text) > 10)
            assert_null(strstr(err.text, "abcdef")); /* nothing of it is told */
    }
    unlink(path);
    rmdir(folder);
}

static void of_a_configuration(void **state)
{
    (void)state;
    static const char text[] = "[stack shop]\nrepository = file:///srv/shop\nfile = "
                               "stack.yml\nwebhook_secret_file = /nowhere/secret\n";
    struct config config;
    struct error err = {0};
    assert_int_equal(config_parse("agent.conf", text, strlen(text), &config, &err), 0);
    assert_null(config.stacks[0].webhook_secret);
    assert_int_equal(webhook_secrets_load(&config, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_string_equal(
        err.text, "agent.conf: [stack shop] webhook_secret_file: /nowhere/secret: No such file or directory");
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(signatures), cmocka_unit_test(many_bytes),
                                       cmocka_unit_test(almost_good), cmocka_unit_test(secrets),
                                       cmocka_unit_test(of_a_configuration)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

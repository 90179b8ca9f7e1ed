/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#define COMMIT "9f3c1ab0c4d5e6f708192a3b4c5d6e7f80912a3b"

static struct notice notice_of(const char *state)
{
    return (struct notice){
        .id = "h1-17",
        .host = "h1",
        .state = state,
        .reason = "web /health: 5 of 5 before, 0 of 3 now",
        .deployment = {.id = 42,
                       .stack = "shop",
                       .commit = COMMIT,
                       .branch = "main",
                       .subject = "Add it",
                       .author = "alice",
                       .trigger = TRIGGER_POLL,
                       .requested_us = 1764000000 * US_PER_S},
        .migrations = {.applied = 2},
        .at_us = 1764000192 * US_PER_S,
        .took_us = 192 * US_PER_S,
    };
}

static struct message make(struct arena *arena, enum shape shape, const struct notice *n)
{
    struct message m;
    message_make(arena, &(struct notify_config){.shape = shape}, "https://h/secret", n, &m);
    assert_string_equal(m.url, "https://h/secret");
    return m;
}

static const char *header(const struct message *m, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(m->headers) && m->headers[i]; i++)
        if (str_starts(m->headers[i], name))
            return m->headers[i] + strlen(name);
    return NULL;
}

static json_t *parse(const struct message *m)
{
    json_t *o = json_loads(m->body, JSON_REJECT_DUPLICATES, NULL);
    if (!o)
        fail_msg("no JSON: %s", m->body);
    return o;
}

static const char *get(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static void generic(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct notice n = notice_of("rolled_back");
    struct message m = make(&arena, SHAPE_GENERIC, &n);
    cleanup_json json_t *o = parse(&m);
    assert_string_equal(header(&m, "Idempotency-Key: "), "h1-17");
    assert_string_equal(get(o, "id"), "h1-17");
    assert_string_equal(get(o, "stack"), "shop");
    assert_string_equal(get(o, "state"), "rolled_back");
    assert_string_equal(get(o, "commit"), COMMIT);
    assert_string_equal(get(o, "at"), "2025-11-24T16:03:12Z");
    assert_int_equal(json_integer_value(json_object_get(o, "duration_s")), 192);
    assert_int_equal(json_integer_value(json_object_get(o, "deployment")), 42);
    assert_true(json_is_null(json_object_get(o, "link")));
    assert_true(json_is_null(json_object_get(o, "started_at")));
    assert_non_null(strstr(get(o, "affected"), "put back to what ran before"));
    assert_non_null(strstr(get(o, "affected"), "2 migrations were applied and stay"));
    assert_non_null(strstr(get(o, "next"), "agentctl show 42"));
}

/* Each state has words, and what is said of production is what the record knows. */
static void states(void **state)
{
    (void)state;
    static const struct {
        const char *state, *title, *text;
    } cases[] = {
        {"failed", "shop: failed (9f3c1ab)", "No application service was touched"},
        {"rolled_back", "shop: rolled back (9f3c1ab)", "The services were put back"},
        {"halted", "shop: HALTED half way (9f3c1ab)", "PRODUCTION MAY BE AFFECTED"},
        {"stuck", "shop: STUCK (9f3c1ab)", "PRODUCTION MAY BE AFFECTED"},
        {"succeeded", "shop: succeeded (9f3c1ab)", "took 3m12s"},
        {"cancelled", "shop: cancelled (9f3c1ab)", "were put back"},
        {"running", "shop: deploying (9f3c1ab)", "#42 on poll"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct notice n = notice_of(cases[i].state);
        n.dropped = 3;
        n.link = "https://deploy.example.org/deployments/42";
        assert_string_equal(notice_title(&arena, &n), cases[i].title);
        const char *text = notice_text(&arena, &n, NULL);
        if (!strstr(text, cases[i].text))
            fail_msg("%s: %s", cases[i].state, text);
        assert_non_null(strstr(text, "9f3c1ab Add it, by alice\n"));
        assert_non_null(strstr(text, "\nweb /health: 5 of 5 before, 0 of 3 now"));
        assert_non_null(strstr(text, "\n3 older messages could not be delivered"));
        assert_non_null(strstr(text, "\nhttps://deploy.example.org/deployments/42"));
    }
}

/* The name of every state of a deployment is known to words.c: else it would be told as another one. */
static void no_state_is_left_out(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    const char *first = NULL;
    for (unsigned s = DEPLOYMENT_REQUESTED; s <= DEPLOYMENT_STUCK; s++) {
        struct notice n = notice_of(deployment_state_name(s));
        const char *title = notice_title(&arena, &n);
        assert_true(!first || !str_eq(first, title));
        first = first ? first : title;
    }
}

static void stacks_themselves(void **state)
{
    (void)state;
    for (size_t i = 0; config_stack_words[i]; i++) {
        cleanup_arena struct arena arena = {0};
        struct notice n = {.id = "h1-18",
                           .host = "h1",
                           .state = config_stack_words[i],
                           .reason = "<!channel>",
                           .deployment = {.stack = "shop"},
                           .at_us = 1764000192 * US_PER_S};
        struct message slack = make(&arena, SHAPE_SLACK, &n), discord = make(&arena, SHAPE_DISCORD, &n),
                       generic_one = make(&arena, SHAPE_GENERIC, &n);
        cleanup_json json_t *s = parse(&slack), *d = parse(&discord), *g = parse(&generic_one);
        const char *title = notice_title(&arena, &n);
        assert_true(str_starts(title, "shop: ") && !strstr(title, "requested")); /* it has words */
        assert_true(str_starts(get(s, "text"), title));
        assert_non_null(strstr(get(s, "text"), "\n&lt;!channel&gt;\n"));
        assert_non_null(strstr(get(d, "content"), title));
        assert_true(json_is_null(json_object_get(g, "deployment")) &&
                    json_is_null(json_object_get(g, "commit")));
        assert_string_equal(get(g, "state"), n.state);
        assert_string_equal(get(g, "stack"), "shop");
        assert_null(strstr(notice_text(&arena, &n, NULL), "#0"));
        struct verdict next, none = {0};
        assert_true(notice_is_news(&n, &none, &none, &next));
        assert_null(next.commit);
    }
}

/* What others wrote makes no mention, no link, no markup and no header. */
static void hostile_subjects(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct notice n = notice_of("failed");
    n.deployment.subject = "<!channel> @here & <http://evil|x> **b** [a](http://evil) `c` \"q\\";
    n.deployment.author = "@everyone";
    struct message slack = make(&arena, SHAPE_SLACK, &n), discord = make(&arena, SHAPE_DISCORD, &n),
                   ntfy = make(&arena, SHAPE_NTFY, &n), generic_one = make(&arena, SHAPE_GENERIC, &n);
    cleanup_json json_t *s = parse(&slack), *d = parse(&discord), *g = parse(&generic_one);

    assert_null(strchr(get(s, "text"), '<'));
    assert_null(strstr(get(s, "text"), "@here"));
    assert_null(strstr(get(s, "text"), "@everyone"));
    assert_non_null(strstr(get(s, "text"), "&lt;!channel&gt;"));
    assert_non_null(strstr(get(s, "text"), " &amp; "));
    assert_true(json_is_false(json_object_get(s, "mrkdwn")));

    const json_t *mentions = json_object_get(json_object_get(d, "allowed_mentions"), "parse");
    assert_true(json_is_array(mentions) && json_array_size(mentions) == 0);
    assert_non_null(strstr(get(d, "content"), "\\*\\*b\\*\\* \\[a\\]\\(http"));
    assert_true(str_starts(get(d, "content"), "**shop: failed \\(9f3c1ab\\)**\n"));

    assert_non_null(strstr(ntfy.body, n.deployment.subject)); /* plain text there */
    assert_string_equal(header(&ntfy, "Title: "), "shop: failed (9f3c1ab)");
    assert_string_equal(header(&ntfy, "Priority: "), "high");
    for (size_t i = 0; ntfy.headers[i]; i++)
        assert_null(strpbrk(ntfy.headers[i], "<@\r\n"));
    assert_string_equal(get(g, "subject"), n.deployment.subject);
}

/* Receivers have limits; a text is cut at a character. */
static void long_texts(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    cleanup_str struct str text = {0};
    for (unsigned i = 0; i < 3000; i++)
        str_append(&text, "ä");
    struct notice n = notice_of("failed");
    n.reason = str_text(&text);
    struct message discord = make(&arena, SHAPE_DISCORD, &n), ntfy = make(&arena, SHAPE_NTFY, &n);
    cleanup_json json_t *d = parse(&discord);
    assert_true(strlen(get(d, "content")) <= 2000);
    assert_true(strlen(ntfy.body) <= 4096);
    assert_true(str_is_utf8(ntfy.body, strlen(ntfy.body)));
}

static void ntfy_says_how_urgent(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct notice n = notice_of("halted");
    n.link = "https://deploy.example.org/deployments/42";
    struct message m = make(&arena, SHAPE_NTFY, &n);
    assert_string_equal(header(&m, "Priority: "), "urgent");
    assert_string_equal(header(&m, "Click: "), n.link);
    n = notice_of("running");
    m = make(&arena, SHAPE_NTFY, &n);
    assert_null(header(&m, "Priority: "));
}

static void commit_statuses(void **state)
{
    (void)state;
    static const struct {
        enum forge forge;
        const char *state, *url, *token, *want, *key;
    } cases[] = {
        {FORGE_GITHUB, "running", "https://api/repos/a/b/statuses/" COMMIT, "Authorization: Bearer t0ken",
         "pending", "context"},
        {FORGE_GITHUB, "succeeded", "https://api/repos/a/b/statuses/" COMMIT, "Authorization: Bearer t0ken",
         "success", "context"},
        {FORGE_GITHUB, "rolled_back", "https://api/repos/a/b/statuses/" COMMIT, "Authorization: Bearer t0ken",
         "failure", "context"},
        {FORGE_GITHUB, "superseded", "https://api/repos/a/b/statuses/" COMMIT, "Authorization: Bearer t0ken",
         "error", "context"},
        {FORGE_GITLAB, "running", "https://api/projects/a%2Fb/statuses/" COMMIT, "PRIVATE-TOKEN: t0ken",
         "running", "name"},
        {FORGE_GITLAB, "stuck", "https://api/projects/a%2Fb/statuses/" COMMIT, "PRIVATE-TOKEN: t0ken",
         "failed", "name"},
        {FORGE_GITEA, "cancelled", "https://api/repos/a/b/statuses/" COMMIT, "Authorization: token t0ken",
         "failure", "context"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        const struct stack_config stack = {
            .name = "shop", .forge = cases[i].forge, .status_url = "https://api", .project = "a/b"};
        struct notice n = notice_of(cases[i].state);
        struct message m;
        assert_int_equal(status_make(&arena, &stack, "t0ken", &n, &m), 0);
        cleanup_json json_t *o = parse(&m);
        assert_string_equal(m.url, cases[i].url);
        assert_non_null(header(&m, cases[i].token));
        assert_string_equal(get(o, "state"), cases[i].want);
        assert_string_equal(get(o, cases[i].key), "deploy-agent/shop");
        assert_null(json_object_get(o, "target_url"));
        assert_null(strstr(m.body, "t0ken"));
    }
    cleanup_arena struct arena arena = {0};
    struct message m;
    struct notice n = notice_of("planned");
    const struct stack_config stack = {.forge = FORGE_GITHUB, .status_url = "https://api", .project = "a/b"};
    assert_int_equal(status_make(&arena, &stack, "t0ken", &n, &m), -1);
}

static void what_is_news(void **state)
{
    (void)state;
    static const char other[] = "77be0d2c4d5e6f708192a3b4c5d6e7f80912a3b4";
    static const struct {
        const char *told_commit, *told_state, *before_state, *state;
        bool message, status;
    } cases[] = {
        {NULL, NULL, NULL, "failed", true, true},
        {COMMIT, "failed", "failed", "failed", false, false}, /* a retry that failed as before */
        {COMMIT, "failed", NULL, "failed", false, false},     /* and that one is not on record any more */
        {COMMIT, "failed", "succeeded", "failed", true,
         false}, /* it was well in between, and nobody was told */
        {other, "failed", "failed", "failed", true, true},
        {COMMIT, "failed", "failed", "succeeded", true, true},
        {COMMIT, "running", NULL, "running", true,
         false}, /* taken up again: what is under way is no verdict */
        {COMMIT, "succeeded", NULL, "running", true, true}, /* deployed again: drift, a new image */
        {NULL, NULL, NULL, "superseded", true, false},      /* it never began */
        {other, "running", NULL, "superseded", true, false},
        {COMMIT, "running", NULL, "superseded", true, true}, /* else it would be pending for ever */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct notice n = notice_of(cases[i].state);
        const struct verdict told = {"shop", cases[i].told_commit, cases[i].told_state},
                             before = {"shop", cases[i].before_state ? COMMIT : NULL, cases[i].before_state};
        struct verdict next;
        if (notice_is_news(&n, &told, &before, &next) != cases[i].message)
            fail_msg("case %zu, message", i);
        assert_true(!next.commit == str_eq(n.state, "running")); /* no verdict */
        if (status_is_news(&n, &told, &next) != cases[i].status)
            fail_msg("case %zu, status", i);
        assert_string_equal(next.state, n.state);
    }
}

/* GitHub takes 140 characters, not bytes. */
static void descriptions(void **state)
{
    (void)state;
    const struct stack_config stack = {
        .name = "shop", .forge = FORGE_GITHUB, .status_url = "https://api", .project = "a/b"};
    for (unsigned extra = 0; extra < 2; extra++) {
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str text = {0};
        struct message m;
        for (unsigned i = 0; i < 140 - strlen("failed: ") + extra; i++)
            str_append(&text, "ä");
        struct notice n = notice_of("failed");
        n.reason = str_text(&text);
        n.link = "https://deploy.example.org/deployments/42";
        assert_int_equal(status_make(&arena, &stack, "t", &n, &m), 0);
        cleanup_json json_t *o = parse(&m);
        const char *said = get(o, "description");
        size_t characters = 0;
        for (const char *p = said; *p; p++)
            characters += ((unsigned char)*p & 0xc0) != 0x80;
        assert_int_equal(characters, 140);
        assert_int_equal(str_ends(said, "…"), extra);
        assert_string_equal(get(o, "target_url"), n.link);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(generic),
        cmocka_unit_test(states),
        cmocka_unit_test(no_state_is_left_out),
        cmocka_unit_test(hostile_subjects),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(ntfy_says_how_urgent),
        cmocka_unit_test(commit_statuses),
        cmocka_unit_test(descriptions),
        cmocka_unit_test(what_is_news),
        cmocka_unit_test(stacks_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

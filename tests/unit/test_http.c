/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agentd/http_request.h"
#include "base/cleanup.h"

static void etags(void **state)
{
    (void)state;
    static const struct {
        const char *header; /* If-None-Match */
        bool known;
    } cases[] = {
        {"\"abc\"", true},
        {"W/\"abc\"", true},
        {"\"x\", \"abc\"", true},
        {"\"x\",W/\"abc\",\"y\"", true},
        {"  \"abc\"  ", true},
        {"*", true},
        {NULL, false},
        {"", false},
        {"abc", false},
        {"\"ab\"", false},
        {"\"abcd\"", false},
        {"\"abc", false},
        {"\"x\", \"y\"", false},
        {",,,", false},
        {"W/", false},
        {"**", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (http_etag_matches(cases[i].header, "\"abc\"") != cases[i].known)
            fail_msg("%s", cases[i].header ? cases[i].header : "none");
        assert_int_equal(http_etag_matches(cases[i].header, "W/\"abc\""), cases[i].known);
    }
    cleanup_arena struct arena arena = {0};
    const char *one = http_etag(&arena, "content", 7), *other = http_etag(&arena, "contents", 8);
    assert_int_equal(strlen(one), 34);
    assert_true(one[0] == '"' && one[33] == '"');
    assert_string_not_equal(one, other);
}

static void routes(void **state)
{
    (void)state;
    static const struct {
        const char *path, *pattern, *word; /* pattern NULL: 404 */
    } cases[] = {
        {"/healthz", "/healthz", ""},
        {"/healthz/", NULL, ""},
        {"/health", NULL, ""},
        {"", NULL, ""},
        {"/metrics", "/metrics", ""},
        {"/api/v1/deployments", "/api/v1/deployments", ""},
        {"/api/v1/deployments/", NULL, ""},
        {"/api/v1/deployments/12", "/api/v1/deployments/*", "12"},
        {"/api/v1/deployments/12/", NULL, ""},
        {"/api/v1/deployments/../stacks", NULL, ""},
        {"/webhook/shop", "/webhook/*", "shop"},
        {"/webhook/", NULL, ""},
        {"/webhook", NULL, ""},
        {"/webhook/a/b", NULL, ""},
        {"/WEBHOOK/shop", NULL, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *word;
        const struct http_route *route = http_route_find(cases[i].path, &word);
        if (!str_eq(route ? route->pattern : NULL, cases[i].pattern) || !str_eq(word, cases[i].word))
            fail_msg("%s: %s, %s", cases[i].path, route ? route->pattern : "none", word);
    }
    /* the table: what has effects is POST, and no row hides another */
    for (size_t i = 0; i < n_http_routes; i++) {
        const struct http_route *r = &http_routes[i];
        assert_true(str_eq(r->method, "GET") || str_eq(r->method, "POST"));
        assert_true(r->pattern[0] == '/' && r->handle);
        assert_int_equal(str_eq(r->method, "POST"), str_starts(r->pattern, "/webhook/"));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(r->pattern, http_routes[k].pattern);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(etags), cmocka_unit_test(routes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

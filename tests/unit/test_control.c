/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"

static void accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text, *verb, *stack;
    } cases[] = {
        {"{\"verb\":\"status\"}", "status", NULL},
        {"{\"verb\":\"status\",\"stack\":null}", "status", NULL},
        {"{\"verb\":\"sync\",\"stack\":\"shop\",\"args\":{\"requested_by\":\"uid 0\"}}\n", "sync", "shop"},
        {" {\"verb\" : \"plan\", \"stack\" : \"9-a_b\", \"args\" : {}} ", "plan", "9-a_b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct control_request r = {0};
        struct error err = {0};
        assert_int_equal(control_request_parse(cases[i].text, strlen(cases[i].text), &r, &err), 0);
        assert_string_equal(r.verb, cases[i].verb);
        if (cases[i].stack)
            assert_string_equal(r.stack, cases[i].stack);
        else
            assert_null(r.stack);
        assert_true(json_is_object(r.args));
        control_request_release(&r);
        assert_null(r.root);
    }
}

#define TEXT(s)                                                                                              \
    {                                                                                                        \
        s, sizeof s - 1                                                                                      \
    }

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        TEXT(""),
        TEXT("\n"),
        TEXT("sync"),
        TEXT("[]"),
        TEXT("null"),
        TEXT("\"sync\""),
        TEXT("{}"),
        TEXT("{\"verb\":1}"),
        TEXT("{\"verb\":null}"),
        TEXT("{\"verb\":\"\"}"),
        TEXT("{\"verb\":\"Sync\"}"),
        TEXT("{\"verb\":\"sync now\"}"),
        TEXT("{\"verb\":\"-sync\"}"),
        TEXT("{\"verb\":\"abcdefghijklmnopqrstuvwxyzabcdefg\"}"),
        TEXT("{\"verb\":\"sync\",\"verb\":\"pause\"}"),         /* duplicate key */
        TEXT("{\"verb\":\"sync\",\"args\":{\"a\":1,\"a\":2}}"), /* and further down */
        TEXT("{\"verb\":\"sync\",\"uid\":0}"),                  /* unknown key */
        TEXT("{\"verb\":\"sync\",\"stack\":7}"),
        TEXT("{\"verb\":\"sync\",\"stack\":\"\"}"),
        TEXT("{\"verb\":\"sync\",\"stack\":\"../x\"}"),
        TEXT("{\"verb\":\"sync\",\"stack\":\"_x\"}"),
        TEXT("{\"verb\":\"sync\",\"stack\":\"a234567890123456789012345678901234567890123456789\"}"),
        TEXT("{\"verb\":\"sync\",\"args\":[]}"),
        TEXT("{\"verb\":\"sync\",\"args\":null}"),
        TEXT("{\"verb\":\"sync\"} {\"verb\":\"pause\"}"), /* two in one packet */
        TEXT("{\"verb\":\"sync\""),
        TEXT("{\"verb\":\"s\\u0000c\"}"),
        TEXT("{\"verb\":\"sync\0\"}"),
        TEXT("{\"verb\":\"s\xff\"}"), /* not UTF-8 */
        TEXT("{\"verb\":\"sync\",\"args\":{\"n\":99999999999999999999}}"),
        TEXT("{\"verb\":\"sync\",\"args\":{\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}}"), /* 17 deep */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct control_request r = {0};
        struct error err = {0};
        if (control_request_parse(cases[i].text, cases[i].len, &r, &err) != -1)
            fail_msg("accepted: %s", cases[i].text);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_true(err.text[0]);
        assert_null(r.root);
    }
}

static void depth_limit(void **state)
{
    (void)state;
    const char *text = "{\"verb\":\"sync\",\"args\":{\"a\":[[[[[[[[[[[[[[1]]]]]]]]]]]]]]}}"; /* 16 */
    struct control_request r = {0};
    struct error err = {0};
    assert_int_equal(control_request_parse(text, strlen(text), &r, &err), 0);
    control_request_release(&r);
}

static void size_limit(void **state)
{
    (void)state;
    const char *text = "{\"verb\":\"status\"}";
    char *large = malloc(CONTROL_REQUEST_MAX + 2);
    assert_non_null(large);
    memset(large, ' ', CONTROL_REQUEST_MAX + 2);
    memcpy(large, text, strlen(text));
    struct control_request r = {0};
    struct error err = {0};
    assert_int_equal(control_request_parse(large, CONTROL_REQUEST_MAX, &r, &err), 0);
    control_request_release(&r);
    assert_int_equal(control_request_parse(large, CONTROL_REQUEST_MAX + 1, &r, &err), -1);
    memset(large, '[', CONTROL_REQUEST_MAX); /* nesting beyond the parser's own limit */
    assert_int_equal(control_request_parse(large, CONTROL_REQUEST_MAX, &r, &err), -1);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(depth_limit),
        cmocka_unit_test(size_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

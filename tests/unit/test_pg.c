/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/secret.h"
#include "pg/session.h"

static void test_masks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *masked;
    } cases[] = {
        {"ALTER ROLE app PASSWORD 'top secret' LOGIN", "ALTER ROLE app PASSWORD '***' LOGIN"},
        {"alter role app password'x''y' login", "alter role app password'***' login"},
        {"PASSWORD E'a\\'b' x", "PASSWORD E'***' x"},
        {"PASSWORD U&'a' x", "PASSWORD U&'***' x"},
        {"PASSWORD $$abc$$ x", "PASSWORD '***' x"},
        {"PASSWORD $q$a$b$$q$ x", "PASSWORD '***' x"},
        {"PASSWORD 'cut off here", "PASSWORD '***'"},
        {"PASSWORD $$cut off here", "PASSWORD '***'"},
        {"OPTIONS (user 'a', password 'b')", "OPTIONS (user 'a', password '***')"},
        {"CONNECTION 'host=db password=abc user=x'", "CONNECTION 'host=db password='***' user=x'"},
        {"PASSWORD NULL", "PASSWORD NULL"},
        {"column \"password\" does not exist", "column \"password\" does not exist"},
        {"password_hash = 'x'", "password_hash = 'x'"},
        {"password authentication failed", "password authentication failed"},
        {"EXECUTE 'ALTER ROLE a PASSWORD ''abc'' LOGIN'", "EXECUTE 'ALTER ROLE a PASSWORD '***' LOGIN'"},
        {"PASSWORD ''''it''s'''' x", "PASSWORD '***' x"},
        {"PASSWORD '''a' x", "PASSWORD '***' x"},
        {"PASSWORD '' LOGIN", "PASSWORD '***' LOGIN"},
        {"{\"password\": \"abc\", \"a\": 1}", "{\"password\": '***', \"a\": 1}"},
        {"{\\\"db_password\\\": \\\"abc\\\"}", "{\\\"db_password\\\": \\'***'}"},
        {"{\"password\": \"abc\\\"rest\"}", "{\"password\": '***'}"},
        {"password: abc, user: b", "password: '***', user: b"},
        {"'password' => 'abc'", "'password' => '***'"},
        {"no hunter2secret here", "no *** here"},
        {"line\none\x1b[1m", "line one[1m"},
    };
    secret_register("hunter2secret");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        assert_string_equal(pg_mask(&arena, cases[i].text, 200), cases[i].masked);
    }
    secret_forget_all();
}

static void test_positions(void **state)
{
    (void)state;
    static const struct {
        const char *statement;
        unsigned position, line, column; /* of a statement that begins at 10:5 */
    } cases[] = {
        {"SELECT x", 1, 10, 5},       {"SELECT x", 8, 10, 12},         {"SELECT\nx", 8, 11, 1},
        {"SELECT\r\n  x", 11, 11, 3}, {"SELECT 'ä€😀', x", 15, 10, 19}, {"-- ö\nx", 6, 11, 1},
        {"short", 99, 10, 10},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned line = 10, column = 5;
        pg_position(cases[i].statement, cases[i].position, &line, &column);
        assert_int_equal(line, cases[i].line);
        assert_int_equal(column, cases[i].column);
    }
}

static void test_version_numbers(void **state)
{
    (void)state;
    assert_int_equal(version_number("016"), 16);
    assert_int_equal(version_number("20240102030405"), 20240102030405);
    static const char *const none[] = {"", "1.1", "-1", "x", " 1", "1234567890123456789"};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        assert_int_equal(version_number(none[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_version_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

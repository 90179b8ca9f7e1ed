/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "worker/receivers.h"

static void batches(void **state)
{
    static const struct {
        unsigned most, attempts, before, want;
    } cases[] = {
        {100, 0, 0, 100},
        {100, 1, 0, 50},
        {100, 2, 0, 25},
        {100, 6, 0, 1},
        {100, 7, 0, 1},
        {100, 31, 0, 1},
        {100, UINT32_MAX, 0, 1},
        {100, 0, 1, 2},
        {100, 0, 64, 100},
        {100, 0, 100, 100},
        {1, 0, 0, 1},
        {1, 5, 0, 1},
        {1, 0, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(receiver_batch(cases[i].most, cases[i].attempts, cases[i].before), cases[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(batches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

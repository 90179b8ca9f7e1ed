/* SPDX-License-Identifier: Apache-2.0 */

#include "fuzz.h"
#include "stack/env_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena arena = {0};
    struct variable *variables = NULL, outer[] = {{"A", "1"}, {"TAG", ""}};
    struct variables sorted = variables_sort(&arena, outer, ARRAY_SIZE(outer));
    struct pair *pairs = NULL;
    struct error err = {0};
    size_t n = 0, n_pairs = 0;
    const char *text = copy_of(&arena, data, size);
    int alone = env_file_parse(&arena, "a.env", text, size, &variables, &n, &err);
    if (alone < 0)
        promise_good_error(&err);
    for (size_t i = 0; alone == 0 && i < n; i++) {
        PROMISE(*variables[i].name && !strpbrk(variables[i].name, "= \t\n"));
        PROMISE(!strchr(variables[i].value, '\n'));
        PROMISE(str_is_utf8(variables[i].name, strlen(variables[i].name)));
        PROMISE(str_is_utf8(variables[i].value, strlen(variables[i].value)));
    }
    /* names without a value may come in from outside, nothing else changes */
    err = (struct error){0};
    int within = env_file_lines(&arena, "a.env", text, size, &sorted, &pairs, &n_pairs, &err);
    PROMISE(within == alone && (alone < 0 || n_pairs >= n));
    return 0;
}

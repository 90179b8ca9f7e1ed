/* SPDX-License-Identifier: Apache-2.0 */

/* One text and variables: the input is an env file, a line "#%%", and the text. */

#include "fuzz.h"
#include "stack/env_file.h"
#include "stack/interpolate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena arena = {0};
    struct variable *items = NULL;
    struct error err = {0};
    size_t len, n = 0;
    const char *problem;
    const char *lines = next_part(&arena, &data, &size, &len);
    if (env_file_parse(&arena, "a.env", lines, len, &items, &n, &err) < 0)
        n = 0;
    struct variables variables = variables_sort(&arena, items, n);
    const char *text = next_part(&arena, &data, &size, &len);
    const char *result = substitute(&arena, &variables, text, &problem);
    PROMISE(result || strlen(text) > 0);
    if (!strchr(text, '$'))
        PROMISE(result == text && !problem);
    if (result && str_is_utf8(text, strlen(text)))
        PROMISE(str_is_utf8(result, strlen(result)) && (!problem || str_is_utf8(problem, strlen(problem))));
    return 0;
}

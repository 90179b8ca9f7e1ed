/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "docker/client.h"

/* Digits of 9223372036854775807. */
#define INT64_DIGITS 19

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `digits` has no sign. */
static bool is_beyond_int64(const char *digits, size_t n)
{
    return n > INT64_DIGITS || (n == INT64_DIGITS && memcmp(digits, "9223372036854775807", INT64_DIGITS) > 0);
}

/* The number that starts at `text` (a digit or '-'); blanks follow the "-1" that takes an oversized one's
 * place. */
static size_t shrink_number(char *text, size_t len)
{
    size_t sign = text[0] == '-', n = sign;
    while (n < len && is_digit(text[n]))
        n++;
    bool is_integer = n == len || (text[n] != '.' && text[n] != 'e' && text[n] != 'E');
    if (is_integer && is_beyond_int64(text + sign, n - sign)) {
        memset(text, ' ', n);
        memcpy(text, "-1", 2);
    }
    while (n < len && (is_digit(text[n]) || strchr("+-.eE", text[n])))
        n++;
    return n;
}

static void shrink_large_integers(char *text, size_t len)
{
    bool in_string = false;
    for (size_t i = 0; i < len;) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            i++;
        } else if (is_digit(c) || c == '-') {
            i += shrink_number(text + i, len - i);
        } else {
            in_string = c == '"';
            i++;
        }
    }
}

json_t *engine_json_decode(char *text, size_t len, struct error *err)
{
    shrink_large_integers(text, len);
    json_error_t where;
    json_t *value = json_loadb(text, len, JSON_ALLOW_NUL, &where);
    if (!value)
        error_set(err, ERR_UNAVAILABLE, 0, "the engine's answer is not JSON: %s at byte %d", where.text,
                  where.position);
    return value;
}

char *engine_json_encode(const json_t *value, size_t *ret_len)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (!text)
        abort();
    /* In compact JSON this is a member and never part of a string: there the quotes would be escaped. */
    static const char unlimited[] = "\"MaxAttempts\":-1";
    struct str out = {0};
    const char *rest = text;
    for (const char *hit; (hit = strstr(rest, unlimited)); rest = hit + strlen(unlimited)) {
        const char *end = hit + strlen(unlimited);
        str_append_n(&out, rest, (size_t)(hit - rest));
        str_append(&out, is_digit(*end) ? unlimited : "\"MaxAttempts\":18446744073709551615");
    }
    str_append(&out, rest);
    free(text);
    *ret_len = out.len;
    return out.data;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "syntax.h"

/*
 * Go's strconv.ParseFloat: decimals, hexadecimals with a binary exponent, `_` between digits, and words for
 * infinity. strtod reads the same once the underscores are gone, but would also take other things.
 */

static bool is_digit(char c, bool hex)
{
    return (c >= '0' && c <= '9') || (hex && (c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Copies digits at *s, without the underscores that separate them; false for a stray underscore. */
static bool take_digits(const char **s, char **to, bool hex, bool *any)
{
    for (; is_digit(**s, hex) || **s == '_'; (*s)++) {
        if (**s == '_') {
            if (!*any || !is_digit((*s)[1], hex) || (*s)[-1] == '_' || (*s)[-1] == '.')
                return false;
            continue;
        }
        *any = true;
        *(*to)++ = **s;
    }
    return true;
}

static bool copy_number(const char *s, char *to)
{
    bool any = false, hex = false, exponent = false;
    if (*s == '+' || *s == '-')
        *to++ = *s++;
    if (s[0] == '0' && (s[1] | 0x20) == 'x') {
        hex = true;
        *to++ = *s++;
        *to++ = *s++;
    }
    if (!take_digits(&s, &to, hex, &any))
        return false;
    if (*s == '.') {
        *to++ = *s++;
        if (!take_digits(&s, &to, hex, &any))
            return false;
    }
    if (!any)
        return false;
    if ((*s | 0x20) == (hex ? 'p' : 'e')) {
        *to++ = *s++;
        if (*s == '+' || *s == '-')
            *to++ = *s++;
        if (!take_digits(&s, &to, false, &exponent) || !exponent)
            return false;
    }
    *to = '\0';
    return !*s && (!hex || exponent);
}

bool go_float_parse(struct arena *arena, const char *text, double *ret)
{
    const char *word = text + (*text == '+' || *text == '-');
    if (strcasecmp(word, "inf") == 0 || strcasecmp(word, "infinity") == 0 || strcasecmp(text, "nan") == 0) {
        *ret = strtod(text, NULL);
        return true;
    }
    char *number = arena_alloc(arena, strlen(text) + 1);
    if (!copy_number(text, number))
        return false;
    *ret = strtod(number, NULL);
    return !isinf(*ret); /* out of range */
}

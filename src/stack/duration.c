/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "syntax.h"

/* Nanoseconds of the unit at *s, which is passed; 0: none. */
static uint64_t read_unit(const char **s)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"ns", 1},           {"us", 1000},      {"\xc2\xb5s", 1000}, /* micro sign */
        {"\xce\xbcs", 1000},                                         /* Greek mu */
        {"ms", 1000000},     {"s", 1000000000}, {"m", UINT64_C(60000000000)}, {"h", UINT64_C(3600000000000)},
    };
    /* a unit goes on to the next number */
    size_t len = strcspn(*s, ".0123456789");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == len && memcmp(*s, units[i].name, len) == 0) {
            *s += len;
            return units[i].ns;
        }
    return 0;
}

/* Digits after the point as fraction/scale; digits that no longer fit are passed over. */
static bool read_fraction(const char **s, uint64_t *ret, double *ret_scale)
{
    bool any = false, full = false;
    *ret = 0;
    *ret_scale = 1;
    for (; ascii_digit(**s); (*s)++) {
        any = true;
        if (full)
            continue;
        uint64_t digit = (uint64_t)(**s - '0');
        if (*ret > (UINT64_C(1) << 63) / 10 || *ret * 10 + digit > UINT64_C(1) << 63) {
            full = true;
            continue;
        }
        *ret = *ret * 10 + digit;
        *ret_scale *= 10;
    }
    return any;
}

static bool read_whole(const char **s, uint64_t *ret, bool *ret_any)
{
    *ret = 0;
    *ret_any = false;
    for (; ascii_digit(**s); (*s)++) {
        *ret_any = true;
        if (__builtin_mul_overflow(*ret, UINT64_C(10), ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(**s - '0'), ret) || *ret > UINT64_C(1) << 63)
            return false;
    }
    return true;
}

bool go_duration_parse(const char *text, int64_t *ret_ns)
{
    const char *s = text;
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (strcmp(s, "0") == 0) {
        *ret_ns = 0;
        return true;
    }
    if (!*s)
        return false;
    uint64_t total = 0;
    while (*s) {
        uint64_t whole, fraction = 0;
        double scale = 1;
        bool before, after = false;
        if (!read_whole(&s, &whole, &before))
            return false;
        if (*s == '.') {
            s++;
            after = read_fraction(&s, &fraction, &scale);
        }
        if (!before && !after)
            return false;
        uint64_t unit = read_unit(&s);
        if (!unit || __builtin_mul_overflow(whole, unit, &whole) || whole > UINT64_C(1) << 63)
            return false;
        if (fraction)
            whole += (uint64_t)((double)fraction * ((double)unit / scale));
        if (__builtin_add_overflow(total, whole, &total) || total > UINT64_C(1) << 63)
            return false;
    }
    if (total > INT64_MAX && !negative)
        return false;
    *ret_ns = negative ? (int64_t)(0 - total) : (int64_t)total;
    return true;
}

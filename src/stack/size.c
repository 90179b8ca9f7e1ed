/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "syntax.h"

/* ---- memory ---- */

/* -1: unknown; else the power of 1024 */
static int suffix_power(const char *suffix)
{
    static const char letters[] = "bkmgtp";
    if (!*suffix)
        return 0;
    const char *letter = strchr(letters, *suffix);
    if (!letter)
        return -1;
    int power = (int)(letter - letters);
    const char *rest = suffix + 1;
    bool known = !*rest || (power > 0 && (strcmp(rest, "b") == 0 || strcmp(rest, "ib") == 0));
    return known ? power : -1;
}

bool memory_parse(struct arena *arena, const char *text, int64_t *ret_bytes, const char **ret_problem)
{
    size_t n = strlen(text);
    while (n && !ascii_digit(text[n - 1]) && text[n - 1] != '.' && text[n - 1] != ' ')
        n--;
    if (!n) {
        *ret_problem = arena_printf(arena, "invalid size: '%s'", text);
        return false;
    }
    char *number = arena_strndup(arena, text, text[n - 1] == ' ' ? n - 1 : n);
    char *suffix = arena_strdup(arena, text + n);
    for (char *c = suffix; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c | 0x20);
    double value;
    if (!go_float_parse(arena, number, &value)) {
        *ret_problem = arena_printf(arena, "strconv.ParseFloat: parsing \"%s\": invalid syntax", number);
        return false;
    }
    if (value < 0) {
        *ret_problem = arena_printf(arena, "invalid size: '%s'", text);
        return false;
    }
    int power = suffix_power(suffix);
    if (power < 0) {
        *ret_problem = arena_printf(arena, "invalid suffix: '%s'", suffix);
        return false;
    }
    for (; power > 0; power--)
        value *= 1024;
    if (value >= 0x1p63) {
        *ret_problem = arena_printf(arena, "size too large: '%s'", text);
        return false;
    }
    *ret_bytes = (int64_t)value;
    return true;
}

/* ---- CPUs ---- */

/*
 * A decimal as digits * 10^exponent, without zeros at the end. Numbers that cannot end up in 10^-9 steps
 * below 2^63 are of no interest, so 128 bits of digits are plenty.
 */
struct decimal {
    unsigned __int128 digits;
    long exponent;
    bool negative;
};

static bool push_digit(struct decimal *d, unsigned base, unsigned digit)
{
    static const unsigned __int128 most = ~(unsigned __int128)0 / 64;
    if (d->digits > most)
        return false;
    d->digits = d->digits * base + digit;
    return true;
}

static unsigned digit_value(char c)
{
    if (ascii_digit(c))
        return (unsigned)(c - '0');
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

static unsigned read_base(const char **s, bool integer)
{
    if ((*s)[0] != '0' || !(*s)[1])
        return 10;
    if (!strchr("xXoObB", (*s)[1]))
        return integer ? 8 : 10;
    unsigned base = ((*s)[1] | 0x20) == 'x' ? 16 : ((*s)[1] | 0x20) == 'o' ? 8 : 2;
    *s += 2;
    return base;
}

/* Digits with one `_` between two of them, a point for decimals; false: no number or far too long. */
static bool read_digits(const char **s, unsigned base, bool prefixed, bool allow_point, struct decimal *d)
{
    bool any = false, point = false, last_digit = prefixed;
    for (;; (*s)++) {
        char c = **s;
        if (c == '_') {
            if (!last_digit || digit_value((*s)[1]) >= base)
                return false;
            last_digit = false;
            continue;
        }
        if (c == '.' && allow_point && !point) {
            point = true;
            last_digit = false;
            continue;
        }
        unsigned digit = digit_value(c);
        if (digit >= base)
            return any;
        if (!push_digit(d, base, digit))
            return false;
        d->exponent -= point;
        any = last_digit = true;
    }
}

static bool read_exponent(const char **s, struct decimal *d)
{
    if ((**s | 0x20) != 'e')
        return true;
    (*s)++;
    bool negative = **s == '-';
    if (**s == '-' || **s == '+')
        (*s)++;
    if (!ascii_digit(**s))
        return false;
    long value = 0;
    for (; ascii_digit(**s) || (**s == '_' && ascii_digit((*s)[1])); (*s)++)
        if (**s != '_')
            value = value < 100000 ? value * 10 + (**s - '0') : value;
    d->exponent += negative ? -value : value;
    return true;
}

static bool read_decimal(const char *text, bool allow_sign, bool integer_only, struct decimal *ret)
{
    *ret = (struct decimal){0};
    const char *s = text;
    if (allow_sign && (*s == '-' || *s == '+'))
        ret->negative = *s++ == '-';
    const char *start = s;
    unsigned base = read_base(&s, integer_only);
    if (!read_digits(&s, base, s != start, base == 10 && !integer_only, ret))
        return false;
    if (!integer_only && base == 10 && !read_exponent(&s, ret))
        return false;
    while (ret->digits && ret->digits % 10 == 0) {
        ret->digits /= 10;
        ret->exponent++;
    }
    return *s == '\0';
}

static const char too_precise[] = "value is too precise", too_large[] = "value is too large";

/* numerator/denominator * 10^(exponent+9) as an integer below 2^63; NULL or the problem */
static const char *scale_to_nano(struct decimal numerator, unsigned __int128 denominator, int64_t *ret)
{
    unsigned __int128 n = numerator.digits;
    long exponent = numerator.exponent + 9;
    static const unsigned __int128 most = ~(unsigned __int128)0 / 10;
    if (!n) {
        *ret = 0;
        return NULL;
    }
    for (; exponent > 0; exponent--) {
        if (denominator % 10 == 0)
            denominator /= 10;
        else if (n <= most)
            n *= 10;
        else
            return too_large;
    }
    for (; exponent < 0; exponent++) {
        if (n % 10)
            return too_precise; /* no zeros are left in a decimal; a denominator only makes it worse */
        n /= 10;
    }
    if (n % denominator)
        return too_precise;
    if (n / denominator > INT64_MAX)
        return too_large;
    *ret = (int64_t)(n / denominator);
    if (numerator.negative)
        *ret = -*ret;
    return NULL;
}

bool cpus_parse(struct arena *arena, const char *text, int64_t *ret_nano, const char **ret_problem)
{
    struct decimal numerator, denominator = {.digits = 1};
    const char *slash = strchr(text, '/');
    const char *first = slash ? arena_strndup(arena, text, (size_t)(slash - text)) : text;
    bool ok = read_decimal(first, true, slash != NULL, &numerator);
    if (slash)
        ok = ok && read_decimal(slash + 1, false, true, &denominator) && denominator.digits;
    if (!ok) {
        *ret_problem = arena_printf(arena, "failed to parse %s as a rational number", text);
        return false;
    }
    numerator.exponent -= denominator.exponent;
    const char *problem = scale_to_nano(numerator, denominator.digits, ret_nano);
    if (problem)
        *ret_problem = problem;
    return !problem;
}

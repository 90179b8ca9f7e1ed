/* SPDX-License-Identifier: Apache-2.0 */
#include "scalar.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "syntax.h"

static bool one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (**list == *text && strcmp(text, *list) == 0)
            return true;
    return false;
}

/* ---- numbers ---- */

static const char *without_underscores(struct arena *arena, const char *text)
{
    if (!strchr(text, '_'))
        return text;
    char *copy = arena_strdup(arena, text), *to = copy;
    for (const char *from = copy; *from; from++)
        if (*from != '_')
            *to++ = *from;
    *to = '\0';
    return copy;
}

/* Digits of a base with an optional prefix, and nothing else, up to 64 bits. */
static bool parse_magnitude(const char *s, uint64_t *ret)
{
    unsigned base = 10;
    if (s[0] == '0' && s[1]) {
        switch (s[1]) {
        case 'x':
        case 'X':
            base = 16;
            s += 2;
            break;
        case 'o':
        case 'O':
            base = 8;
            s += 2;
            break;
        case 'b':
        case 'B':
            base = 2;
            s += 2;
            break;
        default:
            base = 8;
            s += 1;
        }
    }
    if (!*s)
        return false;
    uint64_t value = 0;
    for (; *s; s++) {
        unsigned digit;
        if (ascii_digit(*s))
            digit = (unsigned)(*s - '0');
        else if ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'f')
            digit = (unsigned)((*s | 0x20) - 'a') + 10;
        else
            return false;
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

static bool resolve_integer(const char *text, struct node *ret)
{
    bool negative = *text == '-', sign = negative || *text == '+';
    uint64_t magnitude;
    if (!parse_magnitude(text + sign, &magnitude))
        return false;
    if (magnitude <= INT64_MAX) {
        ret->type = NODE_INT;
        ret->integer = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    } else if (negative && magnitude == (uint64_t)INT64_MAX + 1) {
        ret->type = NODE_INT;
        ret->integer = INT64_MIN;
    } else if (!sign) {
        ret->type = NODE_UINT;
        ret->uinteger = magnitude;
    } else {
        return false;
    }
    return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_decimal_float(const char *s)
{
    if (*s == '-' || *s == '+')
        s++;
    size_t before = strspn(s, "0123456789"), after = 0;
    s += before;
    if (*s == '.') {
        after = strspn(++s, "0123456789");
        s += after;
    }
    if (!before && !after)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-' || *s == '+')
            s++;
        if (!ascii_digit(*s))
            return false;
        s += strspn(s, "0123456789");
    }
    return *s == '\0';
}

static bool resolve_float(const char *text, struct node *ret)
{
    if (!is_decimal_float(text))
        return false;
    double value = strtod(text, NULL);
    if (isinf(value)) /* Go: value out of range */
        return false;
    ret->type = NODE_FLOAT;
    ret->real = value;
    return true;
}

/* ---- timestamps ---- */

static bool read_number(const char **s, size_t min_digits, size_t max_digits, int max, int *ret)
{
    size_t n = 0;
    int value = 0;
    while (n < max_digits && ascii_digit((*s)[n]))
        value = value * 10 + ((*s)[n++] - '0');
    if (n < min_digits || value > max)
        return false;
    *s += n;
    *ret = value;
    return true;
}

static bool skip(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

struct stamp {
    int year, month, day, hour, minute, second;
    char fraction[10]; /* up to nine digits, no trailing zeros */
};

static bool read_date(const char **s, struct stamp *t)
{
    return read_number(s, 4, 4, 9999, &t->year) && skip(s, '-') && read_number(s, 1, 2, 12, &t->month) &&
           t->month > 0 && skip(s, '-') && read_number(s, 1, 2, 31, &t->day) && t->day > 0 &&
           t->day <= days_in(t->year, t->month);
}

static bool read_clock(const char **s, struct stamp *t)
{
    if (!read_number(s, 1, 2, 23, &t->hour) || !skip(s, ':') || !read_number(s, 1, 2, 59, &t->minute) ||
        !skip(s, ':') || !read_number(s, 1, 2, 59, &t->second))
        return false;
    if ((**s == '.' || **s == ',') && ascii_digit((*s)[1])) {
        const char *digits = ++*s;
        size_t n = strspn(digits, "0123456789");
        *s += n;
        n = n > 9 ? 9 : n;
        while (n && digits[n - 1] == '0')
            n--;
        memcpy(t->fraction, digits, n);
    }
    return true;
}

/* "Z" or "+hh:mm"; *ret "UTC" or the offset as Go prints it: the agent's own time zone must not matter.
 * Go takes 24 hours and 60 minutes. */
static bool read_zone(const char **s, char ret[8])
{
    if (skip(s, 'Z'))
        return snprintf(ret, 8, "UTC") > 0;
    char sign = **s;
    int hours, minutes;
    if ((sign != '+' && sign != '-') || !(*s)++ || !read_number(s, 2, 2, 24, &hours) || !skip(s, ':') ||
        !read_number(s, 2, 2, 60, &minutes))
        return false;
    if (hours == 0 && minutes == 0)
        return snprintf(ret, 8, "UTC") > 0;
    return snprintf(ret, 8, "%c%02d%02d", sign, hours + minutes / 60, minutes % 60) > 0;
}

bool timestamp_fits_json(const struct node *time)
{
    const char *zone = strrchr(time->string.text, ' ') + 1;
    return *zone == 'U' || strncmp(zone + 1, "24", 2) < 0;
}

const char *timestamp_text(struct arena *arena, const char *text)
{
    struct stamp t = {0};
    char zone[8] = "UTC";
    const char *s = text;
    if (!read_date(&s, &t))
        return NULL;
    if (*s == 'T' || *s == 't') {
        s++;
        if (!read_clock(&s, &t) || !read_zone(&s, zone))
            return NULL;
    } else if (*s == ' ') {
        s += strspn(s, " ");
        if (!read_clock(&s, &t))
            return NULL;
    }
    if (*s)
        return NULL;
    const char *offset = strcmp(zone, "UTC") == 0 ? "+0000" : zone;
    return arena_printf(arena, "%04d-%02d-%02d %02d:%02d:%02d%s%s %s %s", t.year, t.month, t.day, t.hour,
                        t.minute, t.second, *t.fraction ? "." : "", t.fraction, offset, zone);
}

/* ---- all together ---- */

static bool resolve_word(const char *text, struct node *ret)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL}, *const no[] = {"false", "False", "FALSE",
                                                                                    NULL};
    static const char *const null[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};
    static const char *const inf[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const minus_inf[] = {"-.inf", "-.Inf", "-.INF", NULL};
    if (one_of(text, yes) || one_of(text, no)) {
        ret->type = NODE_BOOL;
        ret->boolean = (*text | 0x20) == 't';
    } else if (one_of(text, null)) {
        ret->type = NODE_NULL;
    } else if (one_of(text, nan_words)) {
        ret->type = NODE_FLOAT;
        ret->real = (double)NAN;
    } else if (one_of(text, inf)) {
        ret->type = NODE_FLOAT;
        ret->real = (double)INFINITY;
    } else if (one_of(text, minus_inf)) {
        ret->type = NODE_FLOAT;
        ret->real = -(double)INFINITY;
    } else {
        return false;
    }
    return true;
}

void scalar_resolve(struct arena *arena, const char *text, size_t len, bool timestamps, struct node *ret)
{
    if (resolve_word(text, ret))
        return;
    if (*text == '.') {
        double value;
        if (go_float_parse(arena, text, &value)) {
            ret->type = NODE_FLOAT;
            ret->real = value;
            return;
        }
    } else if (*text == '+' || *text == '-' || ascii_digit(*text)) {
        const char *stamp = timestamps ? timestamp_text(arena, text) : NULL;
        if (stamp) {
            ret->type = NODE_TIME;
            ret->string.text = stamp;
            ret->string.len = strlen(stamp);
            return;
        }
        const char *plain = without_underscores(arena, text);
        if (resolve_integer(plain, ret) || resolve_float(plain, ret))
            return;
    }
    ret->type = NODE_STRING;
    ret->string.text = text;
    ret->string.len = len;
}

/* ---- printing ---- */

const char *float_text(struct arena *arena, double value)
{
    char text[40];
    if (value == 0)
        return signbit(value) ? "-0" : "0";
    int precision = 0;
    do
        snprintf(text, sizeof text, "%.*e", precision, value);
    while (precision++ < 17 && strtod(text, NULL) != value);
    const char *e = strchr(text, 'e');
    int exponent = e ? (int)strtol(e + 1, NULL, 10) : 0;
    if (exponent < -4 || exponent > 5)
        return arena_strdup(arena, text);
    int decimals = precision - 1 - exponent;
    return arena_printf(arena, "%.*f", decimals > 0 ? decimals : 0, value);
}

const char *scalar_text(struct arena *arena, const struct node *node)
{
    switch (node->type) {
    case NODE_INT:
        return arena_printf(arena, "%" PRId64, node->integer);
    case NODE_UINT:
        return arena_printf(arena, "%" PRIu64, node->uinteger);
    case NODE_FLOAT:
        return float_text(arena, node->real);
    case NODE_STRING:
    case NODE_TIME:
        return node->string.text;
    default:
        return NULL;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the growing buffer ---- */

static void reserve(struct str *s, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(s->len, more + 1, &need))
        abort();
    if (need <= s->cap)
        return;
    size_t cap = s->cap ? s->cap : 64;
    while (cap < need)
        cap *= 2;
    char *data = realloc(s->data, cap);
    if (!data)
        abort();
    s->data = data;
    s->cap = cap;
}

void str_append_n(struct str *s, const char *bytes, size_t n)
{
    reserve(s, n);
    if (n)
        memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void str_append(struct str *s, const char *text)
{
    str_append_n(s, text, strlen(text));
}

void str_append_char(struct str *s, char c)
{
    str_append_n(s, &c, 1);
}

void str_printf(struct str *s, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0)
        abort();
    reserve(s, (size_t)n);
    vsnprintf(s->data + s->len, (size_t)n + 1, format, again);
    va_end(again);
    s->len += (size_t)n;
}

void str_clear(struct str *s)
{
    s->len = 0;
    if (s->data)
        s->data[0] = '\0';
}

void str_release(struct str *s)
{
    free(s->data);
    *s = (struct str){0};
}

const char *str_text(const struct str *s)
{
    return s->data ? s->data : "";
}

/* ---- comparing ---- */

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* ---- UTF-8 ---- */

/* Length of the valid character at s, 0 when there is none; the code point goes to *ret. */
static size_t utf8_char(const unsigned char *s, size_t n, uint32_t *ret)
{
    if (n == 0)
        return 0;
    if (s[0] < 0x80) {
        *ret = s[0];
        return 1;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (len == 0 || len > n || s[0] > 0xf4)
        return 0;
    uint32_t c = s[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fU);
    }
    bool overlong = (len == 3 && c < 0x800) || (len == 4 && c < 0x10000);
    if (overlong || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
        return 0;
    *ret = c;
    return len;
}

/* Eight bytes that are ASCII and no NUL */
static bool is_plain(const unsigned char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return ((w | (w - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080)) == 0;
}

size_t str_utf8_prefix(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    uint32_t c;
    for (size_t i = 0; i < n;) {
        if (n - i >= sizeof(uint64_t) && is_plain(p + i)) {
            i += sizeof(uint64_t);
            continue;
        }
        size_t len = utf8_char(p + i, n - i, &c);
        if (len == 0 || c == 0)
            return i;
        i += len;
    }
    return n;
}

bool str_is_utf8(const char *s, size_t n)
{
    return str_utf8_prefix(s, n) == n;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || c == 0x061c ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x2028 || c == 0x2029 ||
           c == 0xfeff;
}

char *str_clean(struct arena *arena, const char *s, size_t n, bool one_line, size_t max)
{
    static const char replacement[] = "\xef\xbf\xbd";
    const unsigned char *p = (const unsigned char *)s;
    cleanup_str struct str out = {0};
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        size_t len = utf8_char(p + i, n - i, &c), add;
        const char *bytes = s + i;
        add = len;
        if (len == 0) {
            bytes = replacement;
            add = sizeof replacement - 1;
            len = 1;
        } else if (c == '\n' || c == '\t') {
            if (one_line)
                bytes = " ";
        } else if (is_control(c)) {
            add = 0;
        }
        if (max && out.len + add > max)
            break;
        str_append_n(&out, bytes, add);
        i += len;
    }
    return arena_strndup(arena, str_text(&out), out.len);
}

/* ---- durations, sizes, booleans ---- */

static const struct {
    const char *name;
    int64_t us;
} duration_units[] = {
    {"us", 1},         {"ms", 1000},       {"s", 1000000},      {"m", 60000000},
    {"h", 3600000000}, {"d", 86400000000}, {"w", 604800000000},
};

int duration_parse(const char *text, int64_t *ret_us, struct error *err)
{
    int64_t total = 0;
    const char *p = text;
    if (strcmp(text, "0") == 0) {
        *ret_us = 0;
        return 0;
    }
    if (*p == '\0')
        return error_set(err, ERR_INVALID, 0, "a duration is needed, such as 30s, 5m or 1h30m");
    while (*p) {
        if (!isdigit((unsigned char)*p))
            return error_set(err, ERR_INVALID, 0, "'%s' is not a duration (30s, 5m, 1h30m)", text);
        int64_t value = 0;
        for (; isdigit((unsigned char)*p); p++)
            if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
                return error_set(err, ERR_INVALID, 0, "'%s' is too long a duration", text);
        size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        int64_t unit = 0;
        for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++)
            if (strlen(duration_units[i].name) == len && strncmp(p, duration_units[i].name, len) == 0)
                unit = duration_units[i].us;
        if (unit == 0)
            return error_set(err, ERR_INVALID, 0, "'%s' is not a duration: units are ms, s, m, h, d, w",
                             text);
        if (__builtin_mul_overflow(value, unit, &value) || __builtin_add_overflow(total, value, &total))
            return error_set(err, ERR_INVALID, 0, "'%s' is too long a duration", text);
        p += len;
    }
    *ret_us = total;
    return 0;
}

char *duration_text(struct arena *arena, int64_t us)
{
    long long s = us > 0 ? (us + 500000) / 1000000 : 0;
    if (s < 3600)
        return arena_printf(arena, "%lldm%02llds", s / 60, s % 60);
    if (s < 86400)
        return arena_printf(arena, "%lldh%02lldm", s / 3600, s / 60 % 60);
    return arena_printf(arena, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

int bool_parse(const char *text, bool *ret, struct error *err)
{
    static const struct {
        const char *name;
        bool value;
    } words[] = {{"yes", true}, {"true", true},   {"on", true},   {"1", true},
                 {"no", false}, {"false", false}, {"off", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i].name) == 0) {
            *ret = words[i].value;
            return 0;
        }
    return error_set(err, ERR_INVALID, 0, "'%s' is neither yes nor no", text);
}

char **words_split(struct arena *arena, const char *text, size_t *ret_count)
{
    char **words = NULL;
    size_t n = 0;
    for (const char *p = text;;) {
        p += strspn(p, " \t\r\n");
        size_t len = strcspn(p, " \t\r\n");
        words = arena_grow(arena, words, n, sizeof *words);
        if (len == 0)
            break;
        words[n++] = arena_strndup(arena, p, len);
        p += len;
    }
    words[n] = NULL;
    if (ret_count)
        *ret_count = n;
    return words;
}

int str_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *str_percent_decode(struct arena *arena, const char *text, size_t len)
{
    char *out = arena_alloc(arena, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '%' && i + 2 < len && str_hex_digit(text[i + 1]) >= 0 &&
            str_hex_digit(text[i + 2]) >= 0) {
            out[n++] = (char)(str_hex_digit(text[i + 1]) << 4 | str_hex_digit(text[i + 2]));
            i += 2;
        } else {
            out[n++] = text[i];
        }
    }
    out[n] = '\0';
    return out;
}

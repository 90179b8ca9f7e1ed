/* SPDX-License-Identifier: Apache-2.0 */
#include "html/html.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Clean text in; the one place where text becomes markup. */
static void escape(struct str *out, const char *text)
{
    while (*text) {
        size_t plain = strcspn(text, "&<>\"'");
        str_append_n(out, text, plain);
        text += plain;
        if (*text)
            str_append(out, entity(*text++));
    }
}

static void add_text(struct html *h, const char *text)
{
    if (!text)
        return;
    size_t len = strlen(text);
    escape(&h->out,
           str_clean(h->arena, text, len < 2 * HTML_TEXT_MAX ? len : 2 * HTML_TEXT_MAX, true, HTML_TEXT_MAX));
    if (len > HTML_TEXT_MAX)
        str_append(&h->out, "…");
}

/* One conversion, behind its percent sign; returns what follows it. */
static const char *convert(struct html *h, const char *format, va_list *ap)
{
    if (*format == 's') {
        add_text(h, va_arg(*ap, const char *));
        return format + 1;
    }
    if (*format == '%') {
        str_append_char(&h->out, '%');
        return format + 1;
    }
    if (*format == 'd') {
        str_printf(&h->out, "%d", va_arg(*ap, int));
        return format + 1;
    }
    if (*format == 'u') {
        str_printf(&h->out, "%u", va_arg(*ap, unsigned));
        return format + 1;
    }
    if (str_starts(format, "zu")) {
        str_printf(&h->out, "%zu", va_arg(*ap, size_t));
        return format + 2;
    }
    if (str_starts(format, "lld")) {
        str_printf(&h->out, "%lld", va_arg(*ap, long long));
        return format + 3;
    }
    abort(); /* an unknown conversion in a literal of ours */
}

void html(struct html *h, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    while (*format) {
        size_t markup = strcspn(format, "%");
        str_append_n(&h->out, format, markup);
        format += markup;
        if (*format)
            format = convert(h, format + 1, &ap);
    }
    va_end(ap);
}

void html_lines(struct html *h, const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 0;
    if (len > max) {
        text += len - max;
        const char *line = text[-1] == '\n' ? NULL : strchr(text, '\n');
        text = line && line[1] ? line + 1 : text;
        len = strlen(text);
    }
    if (len)
        escape(&h->out, str_clean(h->arena, text, len, false, 0));
}

bool html_is_full(const struct html *h)
{
    return h->out.len > HTML_FULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void mark_if_cut(char *text, size_t size, int length)
{
    static const char ellipsis[] = "…";
    if (length < 0 || (size_t)length < size)
        return;
    char *at = text + size - sizeof ellipsis;
    while (at > text && ((unsigned char)*at & 0xc0) == 0x80) /* not within a character */
        at--;
    memcpy(at, ellipsis, sizeof ellipsis);
}

int error_set(struct error *err, enum error_kind kind, int code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    mark_if_cut(err->text, sizeof err->text, n);
    err->kind = kind;
    err->code = code;
    return -1;
}

int error_wrap(struct error *err, const char *format, ...)
{
    char prefix[1024], inner[sizeof err->text];
    va_list ap;
    va_start(ap, format);
    mark_if_cut(prefix, sizeof prefix, vsnprintf(prefix, sizeof prefix, format, ap));
    va_end(ap);
    memcpy(inner, err->text, sizeof inner);
    int n = snprintf(err->text, sizeof err->text, "%s: %s", prefix, inner);
    mark_if_cut(err->text, sizeof err->text, n);
    return -1;
}

int error_errno(struct error *err, const char *format, ...)
{
    int saved = errno;
    char what[2048];
    va_list ap;
    va_start(ap, format);
    mark_if_cut(what, sizeof what, vsnprintf(what, sizeof what, format, ap));
    va_end(ap);
    enum error_kind kind = saved == ENOENT                     ? ERR_NOT_FOUND
                           : saved == EACCES || saved == EPERM ? ERR_REFUSED
                                                               : ERR_SYSTEM;
    return error_set(err, kind, saved, "%s: %s", what, strerror(saved));
}

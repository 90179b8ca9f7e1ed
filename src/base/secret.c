/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

/* Shorter values would blank ordinary words out of every log line. */
static const size_t min_length = 6;

static char **values;
static size_t n_values;

void secret_register(const char *value)
{
    if (!value || strlen(value) < min_length)
        return;
    for (size_t i = 0; i < n_values; i++)
        if (strcmp(values[i], value) == 0)
            return;
    char **more = realloc(values, (n_values + 1) * sizeof *values);
    char *copy = strdup(value);
    if (!more || !copy)
        abort();
    values = more;
    values[n_values++] = copy;
}

void secret_register_url(const char *url)
{
    struct arena arena = {0};
    const char *scheme = strstr(url, "://"), *authority = scheme ? scheme + 3 : "";
    const char *at = memrchr(authority, '@', strcspn(authority, "/?"));
    if (!at) /* a password with a slash in it, as readers that are not strict take it */
        at = strrchr(authority, '@');
    const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (colon) {
        size_t len = (size_t)(at - colon - 1);
        secret_register(arena_strndup(&arena, colon + 1, len));
        secret_register(str_percent_decode(&arena, colon + 1, len));
    }
    arena_release(&arena);
}

void secret_forget_all(void)
{
    for (size_t i = 0; i < n_values; i++) {
        explicit_bzero(values[i], strlen(values[i]));
        free(values[i]);
    }
    free(values);
    values = NULL;
    n_values = 0;
}

bool secret_name(const char *name)
{
    static const char *const marks[] = {"PASSWORD", "PASSWD", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "DSN"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strcasestr(name, marks[i]))
            return true;
    return false;
}

/* At "://": the length of "user:password" before an '@' in the authority, 0 when there is none. */
static size_t userinfo_length(const char *authority)
{
    size_t len = strcspn(authority, "/?# \t\n\"'<>");
    const char *at = memrchr(authority, '@', len);
    return at ? (size_t)(at - authority) : 0;
}

static size_t registered_at(const char *p)
{
    size_t longest = 0;
    for (size_t i = 0; i < n_values; i++) {
        size_t len = strlen(values[i]);
        if (len > longest && strncmp(p, values[i], len) == 0)
            longest = len;
    }
    return longest;
}

char *secret_redact(struct arena *arena, const char *text)
{
    cleanup_str struct str out = {0};
    for (const char *p = text; *p;) {
        size_t len = registered_at(p);
        if (len) {
            str_append(&out, "***");
            p += len;
        } else if (strncmp(p, "://", 3) == 0) {
            str_append_n(&out, p, 3);
            p += 3;
            size_t info = userinfo_length(p);
            if (info) {
                str_append(&out, "***");
                p += info;
            }
        } else {
            str_append_char(&out, *p++);
        }
    }
    return arena_strdup(arena, str_text(&out));
}

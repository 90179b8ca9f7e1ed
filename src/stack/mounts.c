/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "syntax.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_drive(const char *s)
{
    return is_letter(*s) && s[1] == ':';
}

/* One character beyond ASCII before a colon: a drive for the oracle if Unicode calls it a letter. */
static bool is_odd_drive(const char *s)
{
    unsigned char c = (unsigned char)*s;
    size_t n = c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return n && strlen(s) > n && s[n] == ':';
}

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

/* Bytes of "\\\\server\\share", or 0. */
static size_t unc_volume(const char *path)
{
    size_t n = 2;
    if (!is_slash(path[0]) || !is_slash(path[1]) || !path[2] || is_slash(path[2]) || path[2] == '.')
        return 0;
    while (path[n] && !is_slash(path[n]))
        n++;
    if (!path[n] || !path[++n] || is_slash(path[n]) || path[n] == '.')
        return 0;
    while (path[n] && !is_slash(path[n]))
        n++;
    return n;
}

bool path_is_absolute(const char *path)
{
    if (*path == '/')
        return true;
    size_t volume = is_drive(path) ? 2 : unc_volume(path);
    return volume && is_slash(path[volume]);
}

/* ---- sections ---- */

/* Length of the section at s: up to a colon that does not belong to a drive letter. */
static size_t section_length(const char *s)
{
    size_t n = is_drive(s) ? 2 : 0;
    return n + strcspn(s + n, ":");
}

static void take_options(struct arena *arena, const char *text, struct mount *m, const char **ret_ignored)
{
    static const char *const propagations[] = {"rprivate", "private", "rshared", "shared", "rslave", "slave"};
    for (const char *s = text;; s++) {
        size_t n = strcspn(s, ",");
        const char *option = arena_strndup(arena, s, n);
        bool known = str_eq(option, "rw") || str_eq(option, "ro");
        if (known)
            m->read_only = str_eq(option, "ro");
        if (str_eq(option, "nocopy"))
            known = m->volume.given = m->volume.nocopy = true;
        for (size_t i = 0; i < sizeof propagations / sizeof *propagations; i++)
            if (str_eq(option, propagations[i])) {
                known = m->bind.given = true;
                m->bind.propagation = option;
            }
        if (!known)
            *ret_ignored = option;
        s += n;
        if (!*s)
            return;
    }
}

static const char *type_of(const char *source)
{
    if (!source)
        return "volume";
    bool path = strchr("./~", *source) || str_starts(source, "\\\\") || is_drive(source);
    return path ? "bind" : "volume";
}

bool mount_parse(struct arena *arena, const char *text, struct mount *ret, const char **ret_ignored,
                 const char **ret_problem)
{
    struct mount m = {.type = "volume"};
    *ret_ignored = NULL;
    if (!*text) {
        *ret_problem = "invalid empty volume spec";
        return false;
    }
    if (strlen(text) <= 2) {
        m.target = text;
        *ret = m;
        return true;
    }
    for (const char *s = text;; s++) {
        size_t n = section_length(s);
        const char *section = arena_strndup(arena, s, n);
        bool last = s[n] == '\0';
        if (is_odd_drive(s)) {
            *ret_problem = arena_printf(arena, "invalid spec: %s: a drive is a letter from A to Z", text);
            return false;
        }
        if (!n) {
            *ret_problem = arena_printf(arena, "invalid spec: %s: empty section between colons", text);
            return false;
        }
        if (!m.source && last)
            m.target = section;
        else if (!m.source)
            m.source = section;
        else if (!m.target)
            m.target = section;
        else if (last)
            take_options(arena, section, &m, ret_ignored);
        else {
            *ret_problem = arena_printf(arena, "invalid spec: %s: too many colons", text);
            return false;
        }
        s += n;
        if (last)
            break;
    }
    m.type = type_of(m.source);
    *ret = m;
    return true;
}

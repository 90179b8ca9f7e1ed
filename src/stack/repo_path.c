/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "syntax.h"

/* Appends the components of `path` to `out`; false when a ".." leads out. */
static bool walk(struct str *out, const char *path)
{
    for (const char *s = path; *s;) {
        size_t n = strcspn(s, "/");
        if (n == 2 && memcmp(s, "..", 2) == 0) {
            if (!out->len)
                return false;
            const char *slash = strrchr(out->data, '/');
            out->len = slash ? (size_t)(slash - out->data) : 0;
            out->data[out->len] = '\0';
        } else if (n && !(n == 1 && *s == '.')) {
            if (out->len)
                str_append_char(out, '/');
            str_append_n(out, s, n);
        }
        s += n + (s[n] == '/');
    }
    return true;
}

const char *path_inside(struct arena *arena, const char *folder, const char *path)
{
    cleanup_str struct str out = {0};
    if (*path == '/' || *path == '~' || !walk(&out, folder) || !walk(&out, path))
        return NULL;
    return arena_strdup(arena, str_text(&out));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/libgit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"

static int set_options(void)
{
    static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
                                 GIT_CONFIG_LEVEL_GLOBAL};
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") < 0)
            return -1;
    /* file:// remotes belong to others; what they could configure is not used (no hooks, no filters). */
    if (git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0) < 0 ||
        git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1) < 0 ||
        git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1) < 0 ||
        git_libgit2_opts(GIT_OPT_ENABLE_STRICT_OBJECT_CREATION, 1) < 0 ||
        git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t)REPO_MAX_OBJECTS) < 0)
        return -1;
    /* Came with the fixes for CVE-2026-53584..53586 and -5917: an older library at run time says no. */
    return git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECT_SIZE, (size_t)REPO_MAX_OBJECT_SIZE);
}

int libgit_start(struct error *err)
{
    static bool started;
    if (started)
        return 0;
    int r = git_libgit2_init();
    if (r < 0)
        return libgit_error(err, r, "starting libgit2");
    if (set_options() < 0) {
        int major, minor, patch;
        git_libgit2_version(&major, &minor, &patch);
        return error_set(err, ERR_REFUSED, 0,
                         "libgit2 %d.%d.%d lacks security fixes of 2026: install the update of your "
                         "distribution (Debian 12: 1.5.1+ds-1+deb12u2, Debian 13: 1.9.0+ds-2+deb13u1)",
                         major, minor, patch);
    }
    started = true;
    return 0;
}

static bool is_damage(int code)
{
    const git_error *last = git_error_last();
    if (code == GIT_EMISMATCH)
        return true;
    if (!last || code == GIT_EUSER)
        return false;
    switch (last->klass) {
    case GIT_ERROR_ODB:
    case GIT_ERROR_OBJECT:
    case GIT_ERROR_ZLIB:
    case GIT_ERROR_TREE:
    case GIT_ERROR_CONFIG:
    case GIT_ERROR_REFERENCE:
    case GIT_ERROR_REPOSITORY:
        return true;
    default:
        return false;
    }
}

static enum error_kind kind_of(int code, const git_error *last, int *ret_code)
{
    *ret_code = 0;
    switch (code) {
    case GIT_EAUTH:
    case GIT_ECERTIFICATE:
        return ERR_REFUSED;
    case GIT_EUSER:
        return ERR_CANCELLED;
    case GIT_ELOCKED:
        return ERR_CONFLICT;
    case GIT_EAMBIGUOUS:
    case GIT_EINVALIDSPEC:
        return ERR_INVALID;
    default:
        break;
    }
    if (is_damage(code) && code != GIT_ENOTFOUND) {
        *ret_code = EIO;
        return ERR_SYSTEM;
    }
    if (code == GIT_ENOTFOUND)
        return ERR_NOT_FOUND;
    switch (last ? last->klass : GIT_ERROR_NONE) {
    case GIT_ERROR_NET:
    case GIT_ERROR_SSH:
    case GIT_ERROR_SSL:
    case GIT_ERROR_HTTP:
    case GIT_ERROR_OS:
    case GIT_ERROR_INDEXER:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INTERNAL;
    }
}

int libgit_error(struct error *err, int code, const char *format, ...)
{
    cleanup_arena struct arena arena = {0};
    const git_error *last = git_error_last();
    int errno_like;
    enum error_kind kind = kind_of(code, last, &errno_like);

    va_list ap;
    va_start(ap, format);
    char *what = arena_vprintf(&arena, format, ap);
    va_end(ap);
    /* The words can be the server's. */
    const char *why = last && last->message ? last->message : "no reason given";
    return error_set(err, kind, errno_like, "%s: %s", what, str_clean(&arena, why, strlen(why), true, 500));
}

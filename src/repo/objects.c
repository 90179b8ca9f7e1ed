/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define SUBJECT_MAX  200
#define AUTHOR_MAX   100
#define PATH_MAX_LEN 1024
#define PART_MAX     255
#define ABBREV_MIN   7
#define TREE_MAX     ((size_t)16 << 20)
#define YEAR_9999_S  INT64_C(253402300799)

/* ---- commits ---- */

static bool is_id(const char *text)
{
    size_t n = strlen(text);
    return n >= ABBREV_MIN && n <= GIT_OID_HEXSZ && strspn(text, "0123456789abcdefABCDEF") == n;
}

int repo_lookup(struct repo *repo, const char *commit, git_commit **ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    git_oid id;
    int r;
    if (str_eq(commit, repo->stack->branch)) {
        r = git_reference_name_to_id(&id, repo->git, arena_printf(&arena, "refs/heads/%s", commit));
        if (r == 0 && (r = git_commit_lookup(ret, repo->git, &id)) < 0)
            return repo_set_damaged(repo, r, commit, err); /* its own branch leads nowhere */
    } else if (is_id(commit)) {
        size_t n = strlen(commit);
        r = git_oid_fromstrn(&id, commit, n);
        if (r == 0)
            r = git_commit_lookup_prefix(ret, repo->git, &id, n);
    } else {
        return error_set(err, ERR_INVALID, 0,
                         "%.60s is neither a commit id (%d digits or more) nor the branch %s", commit,
                         ABBREV_MIN, repo->stack->branch);
    }
    if (r == 0)
        return 0;
    if (r == GIT_ENOTFOUND)
        return error_set(err, ERR_NOT_FOUND, 0, "no commit %.60s in the mirror of %s", commit,
                         repo->url.text);
    if (r == GIT_EAMBIGUOUS)
        return error_set(err, ERR_INVALID, 0, "%s stands for more than one object; give more digits", commit);
    return repo_set_damaged(repo, r, commit, err);
}

bool repo_has_commit(struct repo *repo, const char *commit)
{
    cleanup_git(git_commit) git_commit *found = NULL;
    struct error ignored = {0};
    return !repo->damaged && repo_lookup(repo, commit, &found, &ignored) == 0;
}

/* The last by name of the tags that point at it: of v1.9.0 and v1.9.1, the second. */
static const char *find_tag(struct repo *repo, struct arena *arena, const git_oid *commit)
{
    cleanup_git(git_reference_iterator) git_reference_iterator *iterator = NULL;
    const char *best = NULL;
    if (git_reference_iterator_glob_new(&iterator, repo->git, "refs/tags/*") < 0)
        return NULL;
    for (git_reference *next; git_reference_next(&next, iterator) == 0;) {
        cleanup_git(git_reference) git_reference *ref = next;
        cleanup_git(git_object) git_object *object = NULL;
        if (git_reference_peel(&object, ref, GIT_OBJECT_COMMIT) < 0 ||
            !git_oid_equal(git_object_id(object), commit))
            continue;
        const char *name = git_reference_shorthand(ref);
        if (!best || strcmp(name, best) > 0)
            best = str_clean(arena, name, strlen(name), true, SUBJECT_MAX);
    }
    return best;
}

int repo_commit(struct repo *repo, struct arena *arena, const char *commit, struct commit *ret,
                struct error *err)
{
    cleanup_git(git_commit) git_commit *found = NULL;
    if (repo_lookup(repo, commit, &found, err) < 0)
        return -1;

    struct commit result = {0};
    git_oid_tostr(result.id, sizeof result.id, git_commit_id(found));
    const char *message = git_commit_message(found);
    message = message ? message : "";
    message += strspn(message, "\r\n");
    result.subject = str_clean(arena, message, strcspn(message, "\r\n"), true, SUBJECT_MAX);
    const git_signature *author = git_commit_author(found);
    const char *name = author && author->name ? author->name : "";
    result.author = str_clean(arena, name, strlen(name), true, AUTHOR_MAX);
    result.tag = find_tag(repo, arena, git_commit_id(found));
    /* Anybody can write any number there. */
    int64_t seconds = git_commit_time(found);
    seconds = seconds < 0 ? 0 : seconds > YEAR_9999_S ? YEAR_9999_S : seconds;
    result.committed_us = seconds * INT64_C(1000000);
    *ret = result;
    return 0;
}

/* ---- files ---- */

static bool is_part_allowed(const char *part, size_t n)
{
    if (n == 0 || n > PART_MAX || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
        return false;
    return !(n == 4 && strncasecmp(part, ".git", 4) == 0);
}

static int check_path(const char *path, struct error *err)
{
    size_t n = strlen(path);
    bool ok = n > 0 && n <= PATH_MAX_LEN && str_is_utf8(path, n);
    for (size_t i = 0; i < n && ok; i++)
        ok = (unsigned char)path[i] >= ' ' && path[i] != 0x7f && path[i] != '\\';
    for (const char *part = path; ok;) {
        size_t len = strcspn(part, "/");
        ok = is_part_allowed(part, len);
        if (!part[len])
            break;
        part += len + 1;
    }
    if (ok)
        return 0;
    cleanup_arena struct arena arena = {0};
    return error_set(err, ERR_INVALID, 0,
                     "%s: not a path inside the repository (relative, UTF-8, no \"..\", \".git\", backslash, "
                     "control characters or empty parts)",
                     str_clean(&arena, path, n, true, 200));
}

/* Sizes come from the header of the object, so that nothing large is ever unpacked. */
static int check_size(struct repo *repo, const git_oid *id, size_t max, const char *path, struct error *err)
{
    cleanup_git(git_odb) git_odb *odb = NULL;
    size_t size = 0;
    git_object_t type;
    int r = git_repository_odb(&odb, repo->git);
    if (r == 0)
        r = git_odb_read_header(&size, &type, odb, id);
    if (r < 0)
        return repo_set_damaged(repo, r, path, err);
    if (size > max)
        return error_set(err, ERR_INVALID, 0, "%s has %zu bytes; at most %zu are read", path, size, max);
    return 0;
}

static int read_tree(struct repo *repo, const git_oid *id, const char *path, git_tree **ret,
                     struct error *err)
{
    if (check_size(repo, id, TREE_MAX, path, err) < 0)
        return -1;
    int r = git_tree_lookup(ret, repo->git, id);
    return r < 0 ? repo_set_damaged(repo, r, path, err) : 0;
}

static int check_mode(const git_tree_entry *entry, bool last, const char *path, const char *commit,
                      struct error *err)
{
    switch (git_tree_entry_filemode(entry)) {
    case GIT_FILEMODE_LINK:
        return error_set(err, ERR_REFUSED, 0, "%s is a symbolic link in commit %.7s; links are not followed",
                         path, commit);
    case GIT_FILEMODE_COMMIT:
        return error_set(err, ERR_REFUSED, 0, "%s is a submodule in commit %.7s; submodules are not read",
                         path, commit);
    case GIT_FILEMODE_TREE:
        if (!last)
            return 0;
        return error_set(err, ERR_INVALID, 0, "%s is a folder in commit %.7s", path, commit);
    case GIT_FILEMODE_BLOB:
    case GIT_FILEMODE_BLOB_EXECUTABLE:
        if (last)
            return 0;
        return error_set(err, ERR_NOT_FOUND, 0, "%s is a file in commit %.7s, not a folder", path, commit);
    default:
        return error_set(err, ERR_REFUSED, 0, "%s is not a regular file in commit %.7s", path, commit);
    }
}

/* Part by part, so that a link or submodule on the way is seen. */
static int find_blob(struct repo *repo, const git_commit *commit, const char *path, git_oid *ret,
                     struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char id[COMMIT_HEX_SIZE];
    git_oid at = *git_commit_tree_id(commit);
    git_oid_tostr(id, sizeof id, git_commit_id(commit));

    for (const char *part = path;;) {
        cleanup_git(git_tree) git_tree *tree = NULL;
        size_t n = strcspn(part, "/");
        bool last = part[n] == '\0';
        char *so_far = arena_strndup(&arena, path, (size_t)(part + n - path));
        if (read_tree(repo, &at, so_far, &tree, err) < 0)
            return -1;
        const git_tree_entry *entry = git_tree_entry_byname(tree, arena_strndup(&arena, part, n));
        if (!entry)
            return error_set(err, ERR_NOT_FOUND, 0, "no %s in commit %.7s", so_far, id);
        if (check_mode(entry, last, so_far, id, err) < 0)
            return -1;
        at = *git_tree_entry_id(entry);
        if (last)
            break;
        part += n + 1;
    }
    *ret = at;
    return 0;
}

/* What git-lfs commits in place of a large file: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md */
static bool is_lfs_pointer(const char *data, size_t len)
{
    static const char start[] = "version https://git-lfs.github.com/spec/";
    return len < 1024 && len >= sizeof start - 1 && memcmp(data, start, sizeof start - 1) == 0;
}

int repo_read(struct repo *repo, struct arena *arena, const char *commit, const char *path, size_t max,
              const char **ret, size_t *ret_len, struct error *err)
{
    cleanup_git(git_commit) git_commit *found = NULL;
    cleanup_git(git_blob) git_blob *blob = NULL;
    git_oid id;
    if (check_path(path, err) < 0 || repo_lookup(repo, commit, &found, err) < 0 ||
        find_blob(repo, found, path, &id, err) < 0 || check_size(repo, &id, max, path, err) < 0)
        return -1;
    int r = git_blob_lookup(&blob, repo->git, &id);
    if (r < 0)
        return repo_set_damaged(repo, r, path, err);

    const char *data = git_blob_rawcontent(blob);
    size_t len = (size_t)git_blob_rawsize(blob);
    if (len > max) /* the header lied */
        return error_set(err, ERR_INVALID, 0, "%s has %zu bytes; at most %zu are read", path, len, max);
    if (is_lfs_pointer(data, len))
        return error_set(err, ERR_REFUSED, 0, "%s is a pointer of git-lfs; such files are not fetched", path);
    char *copy = arena_alloc(arena, len + 1);
    if (len)
        memcpy(copy, data, len);
    copy[len] = '\0';
    *ret = copy;
    *ret_len = len;
    return 0;
}

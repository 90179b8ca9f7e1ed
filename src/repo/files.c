/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define PATH_MAX_LEN 1024
#define PART_MAX     255
#define TREE_MAX     ((size_t)16 << 20)

enum { LIST_MAX = 50000 };

/* ---- the way to a file or folder ---- */

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

enum wanted { WANT_FILE, WANT_FOLDER };

static int check_mode(const git_tree_entry *entry, enum wanted wanted, bool last, const char *path,
                      const char *commit, struct error *err)
{
    switch (git_tree_entry_filemode(entry)) {
    case GIT_FILEMODE_LINK:
        return error_set(err, ERR_REFUSED, 0, "%s is a symbolic link in commit %.7s; links are not followed",
                         path, commit);
    case GIT_FILEMODE_COMMIT:
        return error_set(err, ERR_REFUSED, 0, "%s is a submodule in commit %.7s; submodules are not read",
                         path, commit);
    case GIT_FILEMODE_TREE:
        if (!last || wanted == WANT_FOLDER)
            return 0;
        return error_set(err, ERR_INVALID, 0, "%s is a folder in commit %.7s", path, commit);
    case GIT_FILEMODE_BLOB:
    case GIT_FILEMODE_BLOB_EXECUTABLE:
        if (last && wanted == WANT_FILE)
            return 0;
        return error_set(err, ERR_NOT_FOUND, 0, "%s is a file in commit %.7s, not a folder", path, commit);
    default:
        return error_set(err, ERR_REFUSED, 0, "%s is not a regular file in commit %.7s", path, commit);
    }
}

/* Part by part, so that a link or submodule on the way is seen. */
static int find_object(struct repo *repo, const git_commit *commit, const char *path, enum wanted wanted,
                       git_oid *ret, struct error *err)
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
        if (check_mode(entry, wanted, last, so_far, id, err) < 0)
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

static int read_blob(struct repo *repo, struct arena *arena, const git_oid *id, const char *path, size_t max,
                     const char **ret, size_t *ret_len, struct error *err)
{
    cleanup_git(git_blob) git_blob *blob = NULL;
    if (check_size(repo, id, max, path, err) < 0)
        return -1;
    int r = git_blob_lookup(&blob, repo->git, id);
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

int repo_read(struct repo *repo, struct arena *arena, const char *commit, const char *path, size_t max,
              const char **ret, size_t *ret_len, struct error *err)
{
    cleanup_git(git_commit) git_commit *found = NULL;
    git_oid id;
    if (check_path(path, err) < 0 || repo_lookup(repo, commit, &found, err) < 0 ||
        find_object(repo, found, path, WANT_FILE, &id, err) < 0)
        return -1;
    return read_blob(repo, arena, &id, path, max, ret, ret_len, err);
}

int repo_read_blob(struct repo *repo, struct arena *arena, const char *blob, const char *name, size_t max,
                   const char **ret, size_t *ret_len, struct error *err)
{
    git_oid id;
    if (strlen(blob) != GIT_OID_HEXSZ || git_oid_fromstr(&id, blob) < 0)
        return error_set(err, ERR_INVALID, 0, "%s: %.60s is no id of an object", name, blob);
    return read_blob(repo, arena, &id, name, max, ret, ret_len, err);
}

/* ---- listing a folder ---- */

static enum repo_entry_kind entry_kind(const git_tree_entry *entry)
{
    switch (git_tree_entry_filemode(entry)) {
    case GIT_FILEMODE_TREE:
        return REPO_ENTRY_FOLDER;
    case GIT_FILEMODE_BLOB:
    case GIT_FILEMODE_BLOB_EXECUTABLE:
        return REPO_ENTRY_FILE;
    default:
        return REPO_ENTRY_LINK;
    }
}

static int list_entry(struct repo *repo, git_odb *odb, struct arena *arena, const git_tree_entry *entry,
                      struct repo_entry *ret, struct error *err)
{
    char id[GIT_OID_HEXSZ + 1];
    const char *name = git_tree_entry_name(entry);
    size_t size = 0;
    git_object_t type;
    git_oid_tostr(id, sizeof id, git_tree_entry_id(entry));
    *ret = (struct repo_entry){
        .name = arena_strdup(arena, name), .kind = entry_kind(entry), .blob = arena_strdup(arena, id)};
    if (ret->kind != REPO_ENTRY_FILE)
        return 0;
    int r = git_odb_read_header(&size, &type, odb, git_tree_entry_id(entry));
    if (r < 0)
        return repo_set_damaged(repo, r, "a file of the folder", err);
    ret->size = size;
    return 0;
}

int repo_list(struct repo *repo, struct arena *arena, const char *commit, const char *path,
              struct repo_entry **ret, size_t *ret_n, struct error *err)
{
    cleanup_git(git_commit) git_commit *found = NULL;
    cleanup_git(git_tree) git_tree *tree = NULL;
    cleanup_git(git_odb) git_odb *odb = NULL;
    bool root = strcmp(path, ".") == 0;
    if ((!root && check_path(path, err) < 0) || repo_lookup(repo, commit, &found, err) < 0)
        return -1;
    git_oid id = *git_commit_tree_id(found);
    if (!root && find_object(repo, found, path, WANT_FOLDER, &id, err) < 0)
        return -1;
    if (read_tree(repo, &id, path, &tree, err) < 0)
        return -1;
    size_t n = git_tree_entrycount(tree);
    if (n > LIST_MAX)
        return error_set(err, ERR_INVALID, 0, "%s has %zu entries; at most %d are read", path, n, LIST_MAX);
    int r = git_repository_odb(&odb, repo->git);
    if (r < 0)
        return repo_set_damaged(repo, r, path, err);
    struct repo_entry *entries = arena_array(arena, n + 1, sizeof *entries);
    for (size_t i = 0; i < n; i++)
        if (list_entry(repo, odb, arena, git_tree_entry_byindex(tree, i), &entries[i], err) < 0)
            return error_wrap(err, "%s", path);
    *ret = entries;
    *ret_n = n;
    return 0;
}

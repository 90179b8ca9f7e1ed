/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

int repo_is_ancestor(struct repo *repo, const char *old, const char *commit, bool *ret, struct error *err)
{
    cleanup_git(git_commit) git_commit *ancestor = NULL, *descendant = NULL;
    struct error why = {0};
    if (repo_lookup(repo, commit, &descendant, err) < 0)
        return -1;
    if (repo_lookup(repo, old, &ancestor, &why) < 0) {
        if (why.kind == ERR_NOT_FOUND) {
            *ret = false;
            return 0;
        }
        *err = why;
        return -1;
    }
    const git_oid *a = git_commit_id(ancestor), *d = git_commit_id(descendant);
    if (git_oid_equal(a, d)) {
        *ret = true;
        return 0;
    }
    int r = git_graph_descendant_of(repo->git, d, a);
    if (r < 0)
        return repo_set_damaged(repo, r, "walking the history", err);
    *ret = r == 1;
    return 0;
}

/* ---- what differs ---- */

/* The id and mode at a path of a tree; zeroed when there is nothing. */
struct spot {
    git_oid id;
    git_filemode_t mode;
};

static int find_spot(const git_commit *commit, const char *path, struct spot *ret)
{
    cleanup_git(git_tree) git_tree *tree = NULL;
    cleanup_git(git_tree_entry) git_tree_entry *entry = NULL;
    struct spot spot = {0};
    if (!commit) { /* before the first commit */
        *ret = spot;
        return 0;
    }
    if (str_eq(path, ".")) {
        *ret = (struct spot){*git_commit_tree_id(commit), GIT_FILEMODE_TREE};
        return 0;
    }
    int r = git_commit_tree(&tree, commit);
    if (r == 0)
        r = git_tree_entry_bypath(&entry, tree, path);
    if (r < 0 && r != GIT_ENOTFOUND)
        return r;
    if (r == 0)
        spot = (struct spot){*git_tree_entry_id(entry), git_tree_entry_filemode(entry)};
    *ret = spot;
    return 0;
}

/* "./src/" and "src" are the same place. */
static char *normal_path(struct arena *arena, const char *path)
{
    while (str_starts(path, "./"))
        path += 2 + strspn(path + 2, "/");
    char *copy = arena_strdup(arena, *path ? path : ".");
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    return copy;
}

static char **normal_paths(struct arena *arena, const char *const *paths)
{
    size_t n = 0;
    while (paths[n])
        n++;
    char **copy = arena_array(arena, n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = normal_path(arena, paths[i]);
    return copy;
}

/* 1: differs, 0: same, else libgit2's error. Equal ids are equal contents, so no file is read. */
static int differs(const git_commit *a, const git_commit *b, char *const *paths)
{
    for (; *paths; paths++) {
        struct spot x = {0}, y = {0};
        int r = find_spot(a, *paths, &x);
        if (r == 0)
            r = find_spot(b, *paths, &y);
        if (r < 0)
            return r;
        if (x.mode != y.mode || !git_oid_equal(&x.id, &y.id))
            return 1;
    }
    return 0;
}

int repo_changed(struct repo *repo, const char *old, const char *commit, const char *const *paths, bool *ret,
                 struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_git(git_commit) git_commit *before = NULL, *after = NULL;
    if (repo_lookup(repo, commit, &after, err) < 0 || repo_lookup(repo, old, &before, err) < 0)
        return -1;
    int r = differs(before, after, normal_paths(&arena, paths));
    if (r < 0)
        return repo_set_damaged(repo, r, "comparing trees", err);
    *ret = r == 1;
    return 0;
}

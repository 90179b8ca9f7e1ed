/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"

#define FETCH_TIMEOUT_US (120 * US_PER_S)
/* for another process that fetches into the same mirror: a small one is done soon */
#define LOCK_PATIENCE_US (20 * US_PER_S)
#define DAMAGED_MARK     "deploy-agent.damaged"

/* ---- the folder ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int mirror_remove(const char *path, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0 && errno == ENOENT)
        return 0;
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0)
        return error_errno(err, "removing %s", path);
    return 0;
}

/* A crash between the two renames leaves no mirror at all, which repo_open() and the next fetch make good. */
int mirror_replace(const char *path, const char *new_path, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char *old = arena_printf(&arena, "%s.old", path);
    /* Moved aside first, so that a reader of the old one keeps its open packs to the end. */
    if (mirror_remove(old, err) < 0)
        return -1;
    if (rename(path, old) < 0 && errno != ENOENT)
        return error_errno(err, "%s", path);
    if (fault_errno("repo.replaced") || rename(new_path, path) < 0)
        return error_errno(err, "%s", new_path);
    return mirror_remove(old, err);
}

int mirror_lock(const char *path, int64_t patience_us, int *ret_fd, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char *lock = arena_printf(&arena, "%s.lock", path);
    for (int64_t until = mono_us() + patience_us;;) {
        if (fs_lock(lock, ret_fd, err) == 0)
            return 0;
        if (err->kind != ERR_CONFLICT || proc_stop_requested() || mono_us() >= until)
            return -1;
        sleep_us(100000);
    }
}

int mirror_create(const char *path, git_repository **ret, struct error *err)
{
    git_repository_init_options options;
    git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    /* No external template: no hooks, no configuration of the machine. */
    options.flags =
        GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_NO_REINIT | GIT_REPOSITORY_INIT_NO_DOTGIT_DIR;
    options.initial_head = "none"; /* a branch of that name does no harm: HEAD is not used */

    if (mirror_remove(path, err) < 0 || fs_mkdir(path, 0700, err) < 0)
        return -1;
    git_repository *git;
    int r = git_repository_init_ext(&git, path, &options);
    if (r < 0)
        return libgit_error(err, r, "creating %s", path);
    fs_give_tree(path);
    *ret = git;
    return 0;
}

bool mirror_is_sound(git_repository *git, const char *branch)
{
    cleanup_arena struct arena arena = {0};
    cleanup_git(git_commit) git_commit *commit = NULL;
    cleanup_git(git_tree) git_tree *tree = NULL;
    git_oid tip;
    int r = git_reference_name_to_id(&tip, git, arena_printf(&arena, "refs/heads/%s", branch));
    if (r == GIT_ENOTFOUND)
        return true;
    return r == 0 && git_commit_lookup(&commit, git, &tip) == 0 && git_commit_tree(&tree, commit) == 0;
}

/* ---- opening ---- */

static char *damaged_mark(struct arena *arena, const char *path)
{
    return arena_printf(arena, "%s/" DAMAGED_MARK, path);
}

int repo_set_damaged(struct repo *repo, int code, const char *what, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    repo->damaged = true;
    /* Failing to leave the mark only means that the damage is found again. */
    int fd = open(damaged_mark(&arena, repo->path), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        close(fd);
    libgit_error(err, code, "%s", what);
    err->kind = ERR_UNAVAILABLE;
    return error_wrap(err, "the local copy of the repository in %s is damaged and will be fetched anew",
                      repo->path);
}

/* 1: there is none that could be used */
static int open_existing(struct repo *repo, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct stat st;
    if (lstat(repo->path, &st) < 0)
        return errno == ENOENT ? 1 : error_errno(err, "%s", repo->path);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, ERR_INVALID, 0, "%s is not a folder", repo->path);
    if (st.st_uid == geteuid() && (st.st_mode & 077) && chmod(repo->path, 0700) < 0)
        return error_errno(err, "%s", repo->path);

    int r = git_repository_open_bare(&repo->git, repo->path);
    if (r < 0) {
        /* No right to look at it says nothing about its health. */
        if (access(repo->path, R_OK | X_OK) < 0)
            return error_errno(err, "%s", repo->path);
        return 1;
    }
    repo->damaged = access(damaged_mark(&arena, repo->path), F_OK) == 0 ||
                    !mirror_is_sound(repo->git, repo->stack->branch);
    return 0;
}

static int open_or_create(struct repo *repo, struct error *err)
{
    cleanup_close int lock = -1;
    int r = open_existing(repo, err);
    if (r <= 0)
        return r;

    cleanup_free char *copy = strdup(repo->path);
    if (!copy)
        abort();
    *strrchr(copy, '/') = '\0';
    if (*copy && fs_mkdir(copy, 0700, err) < 0)
        return -1;
    if (mirror_lock(repo->path, repo->lock_patience_us, &lock, err) < 0)
        return -1;
    /* Another process may have made it meanwhile. */
    r = open_existing(repo, err);
    return r <= 0 ? r : mirror_create(repo->path, &repo->git, err);
}

int repo_open(const char *path, const struct stack_config *stack, struct repo **ret, struct error *err)
{
    if (path[0] != '/')
        return error_set(err, ERR_INTERNAL, 0, "the mirror's path must be absolute: %s", path);
    struct repo *repo = calloc(1, sizeof *repo);
    if (!repo)
        abort();
    repo->stack = stack;
    repo->path = arena_strdup(&repo->arena, path);
    repo->fetch_timeout_us = FETCH_TIMEOUT_US;
    repo->lock_patience_us = LOCK_PATIENCE_US;
    if (repo_url_parse(&repo->arena, stack->repository, stack->insecure, &repo->url, err) < 0 ||
        repo_branch_check(stack->branch, err) < 0 || libgit_start(err) < 0 || open_or_create(repo, err) < 0) {
        repo_close(repo);
        return -1;
    }
    *ret = repo;
    return 0;
}

void repo_close(struct repo *repo)
{
    if (!repo)
        return;
    git_repository_free(repo->git);
    arena_release(&repo->arena);
    free(repo);
}

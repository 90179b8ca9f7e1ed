/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <errno.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "repo/remote.h"

#define TAGS_MAX 16 /* of one commit */

/* What is fetched: the branch, and the tags that point at its tip, which cost next to nothing. */
struct wanted {
    struct arena arena;
    char **refspecs;
    size_t n;
    git_oid tip;
};

static void want(struct wanted *wanted, const char *ref)
{
    wanted->refspecs = arena_grow(&wanted->arena, wanted->refspecs, wanted->n, sizeof *wanted->refspecs);
    wanted->refspecs[wanted->n++] = arena_printf(&wanted->arena, "+%s:%s", ref, ref);
}

/*
 * An annotated tag is listed twice: as the tag object, and with "^{}" after its name as what it points at.
 * Only the second tells, for a lightweight tag only the first.
 */
static void want_tags(struct wanted *wanted, const git_remote_head **heads, size_t n)
{
    for (size_t i = 0; i < n && wanted->n <= TAGS_MAX; i++) {
        const char *name = heads[i]->name;
        if (!str_starts(name, "refs/tags/") || strlen(name) > 200 ||
            git_oid_cmp(&heads[i]->oid, &wanted->tip) != 0)
            continue;
        char *plain = arena_strdup(&wanted->arena, name);
        if (str_ends(plain, "^{}"))
            plain[strlen(plain) - 3] = '\0';
        int valid = 0;
        if (git_reference_name_is_valid(&valid, plain) == 0 && valid)
            want(wanted, plain);
    }
}

/* Tags that the remote moved or deleted since would give a commit a name it no longer has. */
static void drop_stale_tags(git_repository *git, const git_remote_head **heads, size_t n)
{
    cleanup_git(git_reference_iterator) git_reference_iterator *iterator = NULL;
    if (git_reference_iterator_glob_new(&iterator, git, "refs/tags/*") < 0)
        return;
    for (git_reference *next; git_reference_next(&next, iterator) == 0;) {
        cleanup_git(git_reference) git_reference *tag = next;
        bool same = false;
        for (size_t i = 0; i < n && !same; i++)
            same = str_eq(heads[i]->name, git_reference_name(tag)) && git_reference_target(tag) &&
                   git_oid_equal(&heads[i]->oid, git_reference_target(tag));
        if (!same)
            git_reference_delete(tag); /* if not now, then with the next fetch */
    }
}

static int download(struct remote *remote, git_repository *git, struct wanted *wanted, struct error *err)
{
    const git_remote_head **heads;
    size_t n;
    if (remote_find_branch(remote, &wanted->tip, err) < 0 || remote_heads(remote, &heads, &n, err) < 0)
        return -1;
    want(wanted, arena_printf(&wanted->arena, "refs/heads/%s", remote->stack->branch));
    want_tags(wanted, heads, n);
    drop_stale_tags(git, heads, n);

    git_strarray refspecs = {wanted->refspecs, wanted->n};
    if (fault_errno("repo.download"))
        return error_set(err, ERR_UNAVAILABLE, errno, "fetching: %s", strerror(errno));
    int r = git_remote_download(remote->git, &refspecs, &remote->fetch);
    if (r < 0)
        return remote_error(remote, r, "fetching", err);
    if (fault_errno("repo.downloaded"))
        return error_errno(err, "storing the branch");
    r = git_remote_update_tips(remote->git, &remote->fetch.callbacks, 0, GIT_REMOTE_DOWNLOAD_TAGS_NONE, NULL);
    return r < 0 ? remote_error(remote, r, "storing the branch", err) : 0;
}

static int fetch_into(struct repo *repo, const char *path, git_repository *git, char ret_tip[COMMIT_HEX_SIZE],
                      struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct remote remote;
    struct wanted wanted = {0};
    if (remote_open(&remote, repo->stack, &repo->url, git, path, mono_us() + repo->fetch_timeout_us, err) < 0)
        return -1;
    int r = download(&remote, git, &wanted, err);
    remote_close(&remote);
    git_oid tip = wanted.tip, stored;
    arena_release(&wanted.arena);
    if (r < 0)
        return -1;

    r = git_reference_name_to_id(&stored, git, arena_printf(&arena, "refs/heads/%s", repo->stack->branch));
    if (r < 0)
        return libgit_error(err, r, "reading the branch after the fetch");
    if (!git_oid_equal(&stored, &tip) || !mirror_is_sound(git, repo->stack->branch))
        return error_set(err, ERR_SYSTEM, EIO, "the commit that was fetched cannot be read");
    git_oid_tostr(ret_tip, COMMIT_HEX_SIZE, &stored);
    return 0;
}

/* Beside the damaged mirror, which is kept until there is a better one: the fault may be the remote's. */
static int fetch_anew(struct repo *repo, char ret_tip[COMMIT_HEX_SIZE], struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char *path = arena_printf(&arena, "%s.new", repo->path);
    git_repository *git = NULL;
    struct error ignored = {0};
    if (mirror_create(path, &git, err) < 0)
        return -1;
    int r = fetch_into(repo, path, git, ret_tip, err);
    git_repository_free(git);
    if (r < 0) {
        (void)!mirror_remove(path, &ignored); /* the next attempt removes it, too */
        return -1;
    }

    git_repository_free(repo->git);
    repo->git = NULL;
    if (mirror_replace(repo->path, path, err) < 0)
        return -1;
    r = git_repository_open_bare(&repo->git, repo->path);
    if (r < 0)
        return libgit_error(err, r, "opening %s", repo->path);
    repo->damaged = false;
    return 0;
}

static int fetch(struct repo *repo, char ret_tip[COMMIT_HEX_SIZE], struct error *err)
{
    char tip[COMMIT_HEX_SIZE];
    int r = -1;
    bool damaged = repo->damaged || !repo->git;
    if (!damaged) {
        r = fetch_into(repo, repo->path, repo->git, tip, err);
        damaged = r < 0 && err->kind == ERR_SYSTEM && err->code == EIO;
    }
    if (damaged)
        r = fetch_anew(repo, tip, err);
    if (r < 0)
        return error_wrap(err, "%s", repo->url.text);
    if (mirror_count_packs(repo->path) > MIRROR_PACKS_MAX && mirror_repack(repo->path, &repo->git, err) < 0)
        return error_wrap(err, "packing %s", repo->path);
    memcpy(ret_tip, tip, sizeof tip);
    return 0;
}

int repo_fetch(struct repo *repo, char ret_tip[COMMIT_HEX_SIZE], struct error *err)
{
    cleanup_close int lock = -1;
    if (mirror_lock(repo->path, repo->lock_patience_us, &lock, err) < 0)
        return -1;
    mirror_sweep(repo->path);
    int r = fetch(repo, ret_tip, err);
    fs_give_tree(repo->path);
    return r;
}

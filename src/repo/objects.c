/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/str.h"

#define SUBJECT_MAX 200
#define AUTHOR_MAX  100
#define ABBREV_MIN  7
#define YEAR_9999_S INT64_C(253402300799)

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
            r = fault_errno("repo.read") ? GIT_ERROR : git_commit_lookup_prefix(ret, repo->git, &id, n);
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

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Git repository seen from outside: a bare mirror of one branch in state_dir, and reads from its
 * object database. No checkout, hooks, filters, submodules; symlinks are not followed. src/repo is the
 * only user of git2.h.
 *
 *     repo_tip()      one reference listing, nothing fetched, libgit2 not started for http(s)
 *     repo_open()     opens or creates the mirror
 *     repo_fetch()    brings the branch; when repo_has_commit() does not know the tip
 *     repo_commit(), repo_read(), repo_list(), repo_is_ancestor(), repo_changed()
 *     repo_close()
 *
 * Network calls block: they belong in a worker with a deadline, and have one of their own: 30 s for
 * repo_tip(); for repo_fetch() 120 s, and a second more for each 64 KiB that have come, so that a large
 * repository comes over a slow line, while a server that is silent or trickles is given up. A stop request
 * ends them. With file:// there is no network, but libgit2 packs in this process, where the deadline is
 * looked at only between objects: the worker's own ends the rest.
 *
 * Credentials, keys and known_hosts are read from their files at each connection and go to the configured
 * address only; no redirect is followed.
 *
 * A mirror that cannot be read is fetched anew, beside the old one, by the next repo_fetch(); until then
 * repo_has_commit() says no and reads fail with ERR_UNAVAILABLE.
 *
 * Failures: ERR_INVALID (address, branch, credentials file, not a Git server, too large), ERR_REFUSED (401,
 * 403, host key, certificate, redirect to another host, a link or submodule read as a file), ERR_UNAVAILABLE
 * (network, 429, 5xx), ERR_NOT_FOUND (no such repository, branch, commit or path), ERR_TIMEOUT,
 * ERR_CANCELLED, ERR_CONFLICT (another process fetches into the same mirror, for more than 20 s).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/error.h"
#include "base/arena.h"

#define COMMIT_HEX_SIZE 41

/* No repo_fetch() takes longer; for the deadline of the worker. */
#define REPO_FETCH_LONGEST_S 9000

struct repo;

struct commit {
    char id[COMMIT_HEX_SIZE];
    const char *subject; /* first line, untrusted, cleaned, at most 200 bytes */
    const char *author;  /* name, cleaned */
    /* the last by name of the tags that pointed at it when it was fetched as the tip; NULL: none. A tag that
       is pushed later comes with the next fetch that still finds the commit at the tip. Cleaned. */
    const char *tag;
    int64_t committed_us;
};

/* The tip of the configured branch: 40 hex digits. */
int repo_tip(const struct stack_config *stack, char ret[COMMIT_HEX_SIZE], struct error *err) MUST_CHECK;

/* `path` is absolute; `stack` must outlive it. */
int repo_open(const char *path, const struct stack_config *stack, struct repo **ret,
              struct error *err) MUST_CHECK;
void repo_close(struct repo *repo);
/*
 * After it the mirror has the branch's tip, also when the branch moved backwards. Brings at most 512 MiB and
 * 500000 objects.
 */
int repo_fetch(struct repo *repo, char ret_tip[COMMIT_HEX_SIZE], struct error *err) MUST_CHECK;

bool repo_has_commit(struct repo *repo, const char *commit);
/* `commit`: full or abbreviated id (7 digits at least), or the branch's name. */
int repo_commit(struct repo *repo, struct arena *arena, const char *commit, struct commit *ret,
                struct error *err) MUST_CHECK;
/* One file of a commit: regular blobs only, at most max bytes; NUL-terminated in the arena. */
int repo_read(struct repo *repo, struct arena *arena, const char *commit, const char *path, size_t max,
              const char **ret, size_t *ret_len, struct error *err) MUST_CHECK;

enum repo_entry_kind {
    REPO_ENTRY_FILE,
    REPO_ENTRY_FOLDER,
    REPO_ENTRY_LINK /* or a submodule, or anything else */
};

struct repo_entry {
    const char *name; /* any bytes but NUL and '/' */
    enum repo_entry_kind kind;
    const char *blob; /* id of the object, 40 hex digits */
    uint64_t size;    /* of files */
};
/* What lies in a folder of a commit ("." is its root), in Git's order. At most 50000 entries. */
int repo_list(struct repo *repo, struct arena *arena, const char *commit, const char *path,
              struct repo_entry **ret, size_t *ret_n, struct error *err) MUST_CHECK;
/* The content of a file by its id, as repo_read(); name: for texts. */
int repo_read_blob(struct repo *repo, struct arena *arena, const char *blob, const char *name, size_t max,
                   const char **ret, size_t *ret_len, struct error *err) MUST_CHECK;

/* Is `old` an ancestor of `commit`, or the same? An `old` that the mirror does not have: false. */
int repo_is_ancestor(struct repo *repo, const char *old, const char *commit, bool *ret,
                     struct error *err) MUST_CHECK;
/* Does anything below one of the paths ("." is all) differ between the trees of the two commits? */
int repo_changed(struct repo *repo, const char *old, const char *commit, const char *const *paths, bool *ret,
                 struct error *err) MUST_CHECK;

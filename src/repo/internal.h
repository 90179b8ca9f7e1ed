/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of src/repo share; tests may look in. */

#include "agent/repo.h"

#include "repo/libgit.h"
#include "repo/url.h"

struct repo {
    struct arena arena;
    const char *path;
    const struct stack_config *stack;
    struct repo_url url;
    git_repository *git;
    bool damaged; /* an object could not be read: repo_fetch() starts a new mirror */
    int64_t fetch_timeout_us, lock_patience_us;
};

/* repo_tip() with another deadline */
int repo_tip_within(const struct stack_config *stack, int64_t timeout_us, char ret[COMMIT_HEX_SIZE],
                    struct error *err) MUST_CHECK;

/* ---- mirror.c: the folder ---- */

int mirror_create(const char *path, git_repository **ret, struct error *err) MUST_CHECK;
/* Can the tip of the branch be read? Also true when there is none yet. */
bool mirror_is_sound(git_repository *git, const char *branch);
/* The new folder takes the place of the old one, which is removed. */
int mirror_replace(const char *path, const char *new_path, struct error *err) MUST_CHECK;
/* Removes a folder with all it holds; not there: fine. Links are not followed. */
int mirror_remove(const char *path, struct error *err) MUST_CHECK;
/* Waits while another process has it; in the end ERR_CONFLICT. */
int mirror_lock(const char *path, int64_t patience_us, int *ret_fd, struct error *err) MUST_CHECK;

/*
 * After a failed read of an object: remembers, also for later processes, that the mirror is to be fetched
 * anew, and sets *err to say so. Returns -1.
 */
int repo_set_damaged(struct repo *repo, int code, const char *what, struct error *err);

/* ---- tidy.c: what many fetches leave behind ---- */

#define MIRROR_PACKS_MAX 32
/* Temporary files and locks of a killed process; only under the mirror's lock. */
void mirror_sweep(const char *path);
unsigned mirror_count_packs(const char *path);
/* All that the references reach in one new pack; the others are removed. Reopens the repository. */
int mirror_repack(const char *path, git_repository **git, struct error *err) MUST_CHECK;

/* ---- objects.c ---- */

/* Full or abbreviated id, or the branch's name. */
int repo_lookup(struct repo *repo, const char *commit, git_commit **ret, struct error *err) MUST_CHECK;

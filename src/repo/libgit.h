/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one place that sets libgit2 up and turns its errors into ours.
 *
 * No setting of the machine or of a user reaches it: no configuration, attributes or templates are read.
 * Objects are hashed when they are read, and synced when they are written.
 */

#include <git2.h>

#include "agent/error.h"

#define REPO_MAX_BYTES       (512LL * 1024 * 1024) /* of one fetch */
#define REPO_MIN_RATE        65536                 /* bytes a second; a fetch that is slower is given up */
#define REPO_MAX_OBJECTS     500000                /* of one fetch */
#define REPO_MAX_OBJECT_SIZE (64L * 1024 * 1024)

/* Once per process; costs about 5 ms of CPU (a CA bundle that we do not use is read). */
int libgit_start(struct error *err) MUST_CHECK;

/*
 * "FORMAT: libgit2's words", the kind chosen from `code` (what libgit2 returned) and the error's class.
 * ERR_SYSTEM with code EIO: the local object database is damaged.
 */
int libgit_error(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define CLEANUP_GIT(type, name)                                                                              \
    static inline void cleanup_##name##_p(type **p)                                                          \
    {                                                                                                        \
        name##_free(*p);                                                                                     \
    }
CLEANUP_GIT(git_commit, git_commit)
CLEANUP_GIT(git_tree, git_tree)
CLEANUP_GIT(git_tree_entry, git_tree_entry)
CLEANUP_GIT(git_blob, git_blob)
CLEANUP_GIT(git_odb, git_odb)
CLEANUP_GIT(git_object, git_object)
CLEANUP_GIT(git_reference, git_reference)
CLEANUP_GIT(git_reference_iterator, git_reference_iterator)
CLEANUP_GIT(git_revwalk, git_revwalk)
CLEANUP_GIT(git_packbuilder, git_packbuilder)
#define cleanup_git(name) __attribute__((cleanup(cleanup_##name##_p)))

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files of the host: configuration, env files, keys, state. Never the content of a commit. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

/*
 * Reads a regular file whole (O_NOFOLLOW is not used: /etc may hold links). Larger than max: error.
 * *ret is NUL-terminated after *ret_len bytes.
 */
int fs_read(struct arena *arena, const char *path, size_t max, char **ret, size_t *ret_len,
            struct error *err) MUST_CHECK;

/*
 * Reads a file that holds secrets. Refused when users outside its owner and the group deploy-agent can
 * read or write it, naming the chgrp/chmod that mends it. The check and the read use one open file.
 */
int fs_read_private(struct arena *arena, const char *path, size_t max, char **ret, size_t *ret_len,
                    struct error *err) MUST_CHECK;

/* Parents too; existing is fine. What root makes belongs to the owner of the folder that it is made in. */
int fs_mkdir(const char *path, unsigned mode, struct error *err) MUST_CHECK;
/* The same for a whole tree that others than this file have made something in. */
void fs_give_tree(const char *path);

/* Temp file, fsync, rename, fsync of the folder: the old or the new content, never half of one. */
int fs_write_atomic(const char *path, const void *data, size_t len, unsigned mode,
                    struct error *err) MUST_CHECK;

/* Room on the file system of a path, for a user without privileges. */
struct fs_space {
    uint64_t free, total; /* bytes */
};
int fs_space(const char *path, struct fs_space *ret, struct error *err) MUST_CHECK;
/* Less than 200 MiB, or less than a twentieth of a disk and 10 GiB: time to make room. */
bool fs_space_is_low(const struct fs_space *space);
/* "150 MiB of 19 GiB are free" */
char *fs_space_text(struct arena *arena, const struct fs_space *space);

/*
 * Takes an exclusive flock that dies with the process. Returns the descriptor (close-on-exec) in *ret_fd.
 * Held by somebody else: ERR_CONFLICT, the text naming the pid written in the file.
 */
int fs_lock(const char *path, int *ret_fd, struct error *err) MUST_CHECK;

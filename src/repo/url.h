/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The address of a repository, parsed once; everything else works on the struct. Accepted are
 *
 *     https://HOST[:PORT]/PATH        http://… on loopback, elsewhere only with `insecure = yes`
 *     ssh://[USER@]HOST[:PORT]/PATH   and its short form [USER@]HOST:PATH
 *     file:///PATH
 *
 * Refused: other schemes (git:// has neither encryption nor a check of the server), a password in the
 * address, control characters and blanks, a user, host or path that begins with "-", an empty host or path,
 * a query or fragment. Pure. Errors are ERR_INVALID and never repeat the user information.
 */

#include <stdbool.h>

#include "agent/error.h"
#include "base/arena.h"

enum repo_scheme { REPO_FILE, REPO_HTTP, REPO_HTTPS, REPO_SSH };

struct repo_url {
    enum repo_scheme scheme;
    const char *user; /* NULL: none */
    const char *host; /* lower case, an IPv6 address without its brackets; "" for file */
    unsigned port;    /* filled in; 0 for file */
    const char *path; /* as written; begins with / but in the short ssh form */
    const char *text; /* the whole address without the user of http(s): for libcurl, libgit2 and messages */
};

int repo_url_parse(struct arena *arena, const char *text, bool insecure, struct repo_url *ret,
                   struct error *err) MUST_CHECK;

/* Is it a name Git allows for a branch (git-check-ref-format(1)), and shorter than 200 bytes? */
int repo_branch_check(const char *branch, struct error *err) MUST_CHECK;

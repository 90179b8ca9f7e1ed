/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A connection of libgit2 to the configured repository, for what repo_tip() does not do itself: every fetch,
 * and the listing over ssh and file. HTTP runs over src/net (smart_http.h), ssh over libssh2 inside libgit2
 * under a watchdog, file:// is read from the disk.
 *
 *     struct remote remote = {0};
 *     remote_open(&remote, stack, &url, NULL or a mirror, deadline, err)   connected, references listed
 *     remote_find_branch(), remote_heads()
 *     git_remote_download(remote.git, …, &remote.fetch)
 *     remote_close(&remote)
 *
 * A failing call of libgit2 in between becomes an error by remote_error().
 */

#include "repo/libgit.h"

#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/error.h"
#include "base/arena.h"
#include "repo/url.h"
#include "repo/watchdog.h"

struct remote {
    const struct stack_config *stack;
    const struct repo_url *url;
    git_remote *git;
    git_fetch_options fetch;

    /* below: what the callbacks know and found out */
    struct arena arena;
    int64_t deadline_us, moved_deadline_us; /* the second moves on while enough comes */
    struct watchdog *watchdog;              /* ssh */
    const char *ssh_key;
    const char *known_hosts;
    size_t known_hosts_len;
    bool key_shown;
    const char *spool_dir;
    struct error error; /* set by a callback: better words than libgit2's */
};

/*
 * Connects and reads the list of references. `repository` NULL: for listing only. `spool_dir`: where an
 * answer over HTTP is kept while libgit2 reads it. `stack` and `url` must outlive it; *remote must not move.
 */
int remote_open(struct remote *remote, const struct stack_config *stack, const struct repo_url *url,
                git_repository *repository, const char *spool_dir, int64_t deadline_us,
                struct error *err) MUST_CHECK;
void remote_close(struct remote *remote);

/* libgit2's last failure: the callbacks' own error, the deadline, or libgit2's words. Returns -1. */
int remote_error(struct remote *remote, int code, const char *what, struct error *err);

int remote_heads(struct remote *remote, const git_remote_head ***ret, size_t *ret_count,
                 struct error *err) MUST_CHECK;
/* One reference of the list; ERR_NOT_FOUND names the branch. */
int remote_find_branch(struct remote *remote, git_oid *ret, struct error *err) MUST_CHECK;

/* For callbacks: set remote->error and return what stops libgit2. */
int remote_too_large(struct remote *remote);
/* So many bytes have come in all: 0, or it took too long. */
int remote_received(struct remote *remote, size_t bytes);

/* For remote.c: libgit2's smart protocol over src/net. A git_transport_cb; the payload is the struct remote.
 */
int remote_http_transport(git_transport **ret, git_remote *owner, void *payload);

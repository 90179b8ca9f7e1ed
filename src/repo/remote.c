/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "repo/credentials.h"
#include "repo/knownhosts.h"

#define KNOWN_HOSTS_MAX ((size_t)1 << 20)

/* ---- callbacks ---- */

/* Answers for the configured address only, once: a server that refuses the key is not asked again. */
static int on_credentials(git_credential **ret, const char *url, const char *user, unsigned allowed,
                          void *payload)
{
    struct remote *remote = payload;
    if (remote->url->scheme != REPO_SSH || strcmp(url, remote->url->text) != 0) {
        error_set(&remote->error, ERR_REFUSED, 0, "something other than %s asks for a key",
                  remote->url->text);
        return GIT_EAUTH;
    }
    if (remote->key_shown || !(allowed & GIT_CREDENTIAL_SSH_KEY)) {
        error_set(&remote->error, ERR_REFUSED, 0,
                  remote->key_shown
                      ? "the server refuses the key %s for user %s: add its public half there as a deploy key"
                      : "the server takes no key like %s for user %s",
                  remote->stack->ssh_key, remote->url->user);
        return GIT_EAUTH;
    }
    remote->key_shown = true;
    return git_credential_ssh_key_memory_new(ret, user ? user : remote->url->user, NULL, remote->ssh_key,
                                             NULL);
}

static int on_certificate(git_cert *cert, int valid, const char *host, void *payload)
{
    struct remote *remote = payload;
    (void)valid; /* the verdict on the user's own known_hosts, which is not ours */
    (void)host;  /* has no port; the configured address counts */
    const git_cert_hostkey *shown = (const git_cert_hostkey *)cert;
    if (remote->url->scheme != REPO_SSH || cert->cert_type != GIT_CERT_HOSTKEY_LIBSSH2 ||
        !(shown->type & GIT_CERT_SSH_RAW)) {
        error_set(&remote->error, ERR_REFUSED, 0, "%s shows no host key", remote->url->host);
        return GIT_ECERTIFICATE;
    }
    struct host_key key = {(const uint8_t *)shown->hostkey, shown->hostkey_len};
    if (known_hosts_require(remote->stack->known_hosts, remote->known_hosts, remote->known_hosts_len,
                            remote->url->host, remote->url->port, key, &remote->error) < 0)
        return GIT_ECERTIFICATE;
    return 0;
}

static int check_time(struct remote *remote)
{
    proc_alive();
    if (proc_stop_requested())
        error_set(&remote->error, ERR_CANCELLED, 0, "asked to stop");
    else if (mono_us() >= remote->moved_deadline_us)
        error_set(&remote->error, ERR_TIMEOUT, 0, "the fetch did not end within its deadline");
    else
        return 0;
    return GIT_EUSER;
}

/* What the server has to say while it packs; with file:// that is this process, and nothing else ends it. */
static int on_message(const char *text, int len, void *payload)
{
    (void)text;
    (void)len;
    return check_time(payload);
}

int remote_too_large(struct remote *remote)
{
    error_set(&remote->error, ERR_INVALID, 0,
              "the repository is too large: one fetch may bring %lld MiB and %d objects",
              REPO_MAX_BYTES >> 20, REPO_MAX_OBJECTS);
    return GIT_EUSER;
}

int remote_received(struct remote *remote, size_t bytes)
{
    int64_t moved = remote->deadline_us + (int64_t)bytes * US_PER_S / REPO_MIN_RATE;
    if (moved > remote->moved_deadline_us) {
        remote->moved_deadline_us = moved;
        watchdog_move(remote->watchdog, moved);
    }
    return check_time(remote);
}

static int on_progress(const git_indexer_progress *progress, void *payload)
{
    struct remote *remote = payload;
    if (progress->received_bytes > REPO_MAX_BYTES || progress->total_objects > REPO_MAX_OBJECTS)
        return remote_too_large(remote);
    return remote_received(remote, progress->received_bytes);
}

/* ---- ssh ---- */

static int read_known_hosts(struct remote *remote, struct error *err)
{
    const char *path = remote->stack->known_hosts;
    char *text;
    struct error why = {0};
    if (!path)
        return error_set(err, ERR_INVALID, 0,
                         "a repository over ssh needs known_hosts, the keys of its server");
    if (fs_read(&remote->arena, path, KNOWN_HOSTS_MAX, &text, &remote->known_hosts_len, &why) < 0) {
        if (why.code != ENOENT) {
            *err = why;
            return error_wrap(err, "known_hosts");
        }
        text = arena_strdup(&remote->arena, ""); /* the host is unknown then, and the error shows its key */
        remote->known_hosts_len = 0;
    }
    remote->known_hosts = text;
    return 0;
}

/*
 * libgit2 asks the server for a key of the type that ~/.ssh/known_hosts has for it, and otherwise takes the
 * first type both sides know, which need not be the one in our file. So it is shown a home of ours, where
 * that file has the one line that fits, or none. (1.5.1 looks at $HOME and fails without it, 1.9 has an
 * option.) What it makes of the file itself is overruled by on_certificate().
 */
struct home {
    char dir[32];
    char *ssh, *file, *old;
};

static void home_leave(struct home *home)
{
    if (home->old)
        setenv("HOME", home->old, 1);
    else
        unsetenv("HOME");
    unlink(home->file);
    rmdir(home->ssh);
    rmdir(home->dir);
}

static int home_enter(struct home *home, struct remote *remote, struct error *err)
{
    const char *line = known_hosts_preferred(&remote->arena, remote->known_hosts, remote->known_hosts_len,
                                             remote->url->host, remote->url->port);
    *home =
        (struct home){.dir = "/tmp/deploy-agent-XXXXXX", .old = arena_strdup(&remote->arena, getenv("HOME"))};
    if (!mkdtemp(home->dir))
        return error_errno(err, "making a folder in /tmp");
    home->ssh = arena_printf(&remote->arena, "%s/.ssh", home->dir);
    home->file = arena_printf(&remote->arena, "%s/known_hosts", home->ssh);
    line = line ? line : "";
    if (fs_mkdir(home->ssh, 0700, err) < 0 ||
        fs_write_atomic(home->file, line, strlen(line), 0600, err) < 0) {
        home_leave(home);
        return -1;
    }
    setenv("HOME", home->dir, 1);
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 7
    git_libgit2_opts(GIT_OPT_SET_HOMEDIR, home->dir);
#endif
    return 0;
}

/* Over ssh the server's words are all there is: git's own, and those of GitHub and GitLab. */
static bool says_no_such_repository(const char *text)
{
    static const char *const words[] = {"does not appear to be a git repository", "epository not found",
                                        "could not be found"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strstr(text, words[i]))
            return true;
    return false;
}

static int connect_ssh(struct remote *remote, const git_remote_connect_options *options, struct error *err)
{
    struct home home;
    if (credentials_ssh(&remote->arena, remote->stack, &remote->ssh_key, err) < 0 ||
        read_known_hosts(remote, err) < 0 ||
        watchdog_start(remote->deadline_us, &remote->watchdog, err) < 0 || home_enter(&home, remote, err) < 0)
        return -1;
    int r = git_remote_connect_ext(remote->git, GIT_DIRECTION_FETCH, options);
    home_leave(&home);
    if (r == 0)
        return 0;
    remote_error(remote, r, "connecting", err);
    if (err->kind == ERR_UNAVAILABLE && says_no_such_repository(err->text))
        err->kind = ERR_NOT_FOUND;
    return -1;
}

/* ---- connection ---- */

static int remote_connect(struct remote *remote, git_repository *repository, struct error *err)
{
    git_remote_create_options create;
    git_remote_create_options_init(&create, GIT_REMOTE_CREATE_OPTIONS_VERSION);
    create.repository = repository;
    /* No name, no rewriting by url.*.insteadOf: the configured address, and that only. */
    create.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF | GIT_REMOTE_CREATE_SKIP_DEFAULT_FETCHSPEC;
    int r = git_remote_create_with_opts(&remote->git, remote->url->text, &create);
    if (r < 0)
        return libgit_error(err, r, "preparing the connection");

    git_fetch_options_init(&remote->fetch, GIT_FETCH_OPTIONS_VERSION);
    remote->fetch.callbacks.credentials = on_credentials;
    remote->fetch.callbacks.certificate_check = on_certificate;
    remote->fetch.callbacks.transfer_progress = on_progress;
    remote->fetch.callbacks.sideband_progress = on_message;
    remote->fetch.callbacks.payload = remote;
    remote->fetch.prune = GIT_FETCH_NO_PRUNE;
    remote->fetch.update_fetchhead = 0;
    remote->fetch.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    remote->fetch.proxy_opts.type = GIT_PROXY_NONE;
    remote->fetch.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
    if (remote->url->scheme == REPO_HTTP || remote->url->scheme == REPO_HTTPS)
        remote->fetch.callbacks.transport = remote_http_transport;

    git_remote_connect_options options;
    git_remote_connect_options_init(&options, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
    options.callbacks = remote->fetch.callbacks;
    options.proxy_opts = remote->fetch.proxy_opts;
    options.follow_redirects = remote->fetch.follow_redirects;
    if (remote->url->scheme == REPO_SSH)
        return connect_ssh(remote, &options, err);
    r = git_remote_connect_ext(remote->git, GIT_DIRECTION_FETCH, &options);
    if (r == 0)
        return 0;
    remote_error(remote, r, "connecting", err);
    if (remote->url->scheme == REPO_FILE)
        err->kind = ERR_NOT_FOUND; /* there is nothing to connect to but the folder */
    return -1;
}

int remote_open(struct remote *remote, const struct stack_config *stack, const struct repo_url *url,
                git_repository *repository, const char *spool_dir, int64_t deadline_us, struct error *err)
{
    *remote = (struct remote){.stack = stack,
                              .url = url,
                              .deadline_us = deadline_us,
                              .moved_deadline_us = deadline_us,
                              .spool_dir = spool_dir};
    if (remote_connect(remote, repository, err) < 0) {
        remote_close(remote);
        return -1;
    }
    return 0;
}

void remote_close(struct remote *remote)
{
    if (remote->git)
        git_remote_free(remote->git); /* says goodbye to the server, which may not listen */
    watchdog_stop(remote->watchdog);
    arena_release(&remote->arena);
    *remote = (struct remote){0};
}

int remote_error(struct remote *remote, int code, const char *what, struct error *err)
{
    switch (watchdog_verdict(remote->watchdog)) {
    case WATCHDOG_STOPPED:
        return error_set(err, ERR_CANCELLED, 0, "asked to stop");
    case WATCHDOG_DEADLINE:
        return error_set(err, ERR_TIMEOUT, 0, "the server did not answer within the deadline");
    case WATCHDOG_QUIET:
        break;
    }
    if (remote->error.kind != ERR_NONE) {
        *err = remote->error;
        return -1;
    }
    return libgit_error(err, code, "%s", what);
}

int remote_heads(struct remote *remote, const git_remote_head ***ret, size_t *ret_count, struct error *err)
{
    if (fault_errno("repo.list"))
        return error_set(err, ERR_UNAVAILABLE, errno, "listing references: %s", strerror(errno));
    int r = git_remote_ls(ret, ret_count, remote->git);
    return r < 0 ? remote_error(remote, r, "listing references", err) : 0;
}

int remote_find_branch(struct remote *remote, git_oid *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const git_remote_head **heads;
    size_t n;
    if (remote_heads(remote, &heads, &n, err) < 0)
        return -1;
    const char *name = arena_printf(&arena, "refs/heads/%s", remote->stack->branch);
    for (size_t i = 0; i < n; i++)
        if (str_eq(heads[i]->name, name)) {
            *ret = heads[i]->oid;
            return 0;
        }
    return error_set(err, ERR_NOT_FOUND, 0, "the repository has no branch %s", remote->stack->branch);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What we show to a repository's server. Both read files at each use, so that a replaced token or key
 * counts at once, and refuse files that others can read (fs_read_private()). A token is registered
 * with secret_register().
 */

#include "agent/config.h"
#include "agent/error.h"
#include "base/arena.h"
#include "repo/url.h"

struct http_credentials {
    const char *username, *password; /* both NULL: none configured */
};

/*
 * For http(s): the token of token_file as password of `username`. Without a user name it is
 * "x-access-token", which GitHub wants for the tokens of its Apps and takes for all others; GitLab and Gitea
 * take any name with a personal, project or group access token. (GitLab's deploy tokens have a user name of
 * their own: set it.)
 */
int credentials_http(struct arena *arena, const struct stack_config *stack, const struct repo_url *url,
                     struct http_credentials *ret, struct error *err) MUST_CHECK;

/* For ssh: the private key of ssh_key. */
int credentials_ssh(struct arena *arena, const struct stack_config *stack, const char **ret_key,
                    struct error *err) MUST_CHECK;

/*
 * Can we use this private key? Pure. Refused with what to do: RSA and DSA (libssh2 1.10 signs with neither
 * rsa-sha2 variant, and servers no longer take SHA-1), a passphrase, a public key, something else.
 */
int ssh_key_check(const char *text, size_t len, struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Registry credentials from Docker's config.json (https://docs.docker.com/reference/cli/docker/login/):
 * `credHelpers` by host, then `credsStore`, then `auths` by host or URL. Helpers are programs
 * docker-credential-NAME (https://github.com/docker/docker-credential-helpers), searched in a fixed list of
 * folders. Each value found is registered for redaction.
 */

#include <stddef.h>

#include "agent/error.h"
#include "base/arena.h"
#include "base/str.h"

struct docker;
struct registry_auth; /* a parsed config.json */

struct credentials { /* all NULL: none known */
    const char *username, *password;
    const char *identity_token, *registry_token;
    const char *server; /* the key they were found under */
};

/* Pure. `path` is for messages. ERR_INVALID names what is wrong; never a value. */
int registry_auth_parse(const char *path, const char *text, size_t len, struct registry_auth **ret,
                        struct error *err) MUST_CHECK;
void registry_auth_free(struct registry_auth *auth);

/* `domain` as in an image reference: "docker.io", "ghcr.io", "127.0.0.1:5000". May run a helper. */
int registry_auth_find(const struct registry_auth *auth, struct arena *arena, const char *domain,
                       struct credentials *ret, struct error *err) MUST_CHECK;
/* The value of X-Registry-Auth: padded base64url of JSON; "e30=" when nothing is known. Appended. */
void credentials_encode(const struct credentials *credentials, const char *domain, struct str *ret);

/*
 * Appends the header line for an image's registry; reads the file on first use. Nothing is appended when
 * nothing is known: an empty header in a service update would wipe the credentials that somebody stored with
 * the service.
 */
int docker_auth_header(struct docker *docker, const char *image, struct str *ret,
                       struct error *err) MUST_CHECK;

/* helper.c: runs `docker-credential-NAME get`; *ret stays zeroed when the helper knows nothing. */
int credential_helper_get(const char *name, const char *key, const char *config_path, struct arena *arena,
                          struct credentials *ret, struct error *err) MUST_CHECK;

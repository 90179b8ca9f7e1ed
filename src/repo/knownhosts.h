/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The server keys we trust: a file in OpenSSH's format (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). Understood
 * are plain names, [host]:port, the wildcards * and ?, negation with !, hashed names (|1|salt|hash) and the
 * marker @revoked. Lines with @cert-authority, and lines we cannot read, give no trust. Never the user's
 * own file, never trust on first use. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

/* A public key in SSH's wire form: the type stands in it, too. */
struct host_key {
    const uint8_t *blob;
    size_t len;
};

enum host_key_verdict {
    HOST_KEY_KNOWN,
    HOST_KEY_UNKNOWN, /* no line for the host */
    HOST_KEY_CHANGED, /* lines for the host, but with other keys */
    HOST_KEY_REVOKED,
    HOST_KEY_WEAK, /* RSA below 3072 bits, DSA, or no key at all */
};

struct host_key_result {
    enum host_key_verdict verdict;
    unsigned line;         /* known, revoked: of the key; changed: of `other` */
    struct host_key other; /* changed: a key the file has, of the same type if there is one */
};

void known_hosts_check(struct arena *arena, const char *text, size_t len, const char *host, unsigned port,
                       struct host_key key, struct host_key_result *ret);

/*
 * The line of the strongest key that the file has for the host, with the name spelled out: shown to the
 * SSH library so that the two sides agree on a key type that we can check. NULL: none.
 */
char *known_hosts_preferred(struct arena *arena, const char *text, size_t len, const char *host,
                            unsigned port);

/* The check as an error that says what to do: ERR_REFUSED, with both fingerprints; `file` is for the text. */
int known_hosts_require(const char *file, const char *text, size_t len, const char *host, unsigned port,
                        struct host_key key, struct error *err) MUST_CHECK;

char *host_key_fingerprint(struct arena *arena, struct host_key key); /* SHA256:… as ssh-keygen -l prints */
char *host_key_type(struct arena *arena, struct host_key key);        /* ssh-ed25519, …; cleaned */

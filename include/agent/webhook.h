/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a Git server sends after a push, and how it proves that it is the one. One secret per stack:
 *
 *     GitHub          X-Hub-Signature-256: sha256=HEX     HMAC-SHA256 of the body
 *     Gitea, Forgejo  X-Gitea-Signature: HEX              the same
 *     GitLab          X-Gitlab-Token: SECRET              the secret itself
 *     GitLab          webhook-signature: v1,BASE64 …      HMAC-SHA256 of "ID.TIMESTAMP.BODY"; a secret that
 *                                                         begins with whsec_ is the key in base64
 *
 * Nothing of the body is believed or even read: a webhook means "poll now", so a replayed one is harmless.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/config.h"
#include "agent/error.h"

enum { WEBHOOK_SECRET_MIN = 32 };

struct webhook_headers { /* NULL: not sent */
    const char *hub, *gitea, *gitlab_token, *id, *timestamp, *signature;
};

/* Is it signed with the secret, in one of the ways? Takes the same time whatever the secret. */
bool webhook_verify(const char *secret, const struct webhook_headers *headers, const char *body, size_t len);

/* Reads the file of a secret: one line. Refused when others can read it, or when it is too short. */
int webhook_secret_read(struct arena *arena, const char *path, char **ret, struct error *err) MUST_CHECK;
/* All of a configuration, into stack_config.webhook_secret. */
int webhook_secrets_load(struct config *config, struct error *err) MUST_CHECK;

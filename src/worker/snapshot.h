/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* commit → manifest: the stack files of a commit, read from the object database, with the env file's
 * variables. */

#include "agent/manifest.h"
#include "worker/work.h"

struct snapshot {
    struct arena arena;
    struct commit commit;
    struct manifest manifest;
    /* the values that x-release.database.url_from, migrate_url_from, admin_url_from name; NULL: not set.
       Secrets */
    const char *database_url, *migrate_url, *admin_url;
    const char *env_hash; /* salted hash of the env file's content; "" when none is configured */
};

int snapshot_load(struct work *work, const char *commit, struct snapshot *ret, struct error *err) MUST_CHECK;
void snapshot_release(struct snapshot *snapshot);
/* The env file's hash alone, for telling whether it changed. */
int snapshot_env_hash(struct work *work, struct arena *arena, const char **ret, struct error *err) MUST_CHECK;

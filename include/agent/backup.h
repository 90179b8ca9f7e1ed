/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The backup before migrations: a job (agent/plan.h) of the database service's own image, on the node where
 * its task runs, that writes a dump onto a volume. Pure: what the job is, and the words for what it left. The
 * step is src/steps/backup.c, what runs in the container src/core/backup.sh.
 *
 * Who sees what: user, database and host of the URL are in the job's environment, for all who may inspect
 * services. The password is in a Swarm secret of this one job, which the engine never shows again, and is
 * removed with it.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum backup_when { BACKUP_NEVER, BACKUP_PENDING, BACKUP_ALWAYS };

/* x-release.database.backup */
struct backup_settings {
    enum backup_when when; /* BACKUP_NEVER also where the key is not given */
    const char *volume;    /* a key of the top-level volumes */
    unsigned keep;         /* dumps that stay, whatever their age; all stay for seven days */
    int64_t timeout_us;
    bool required; /* without one nothing is migrated */
};

/* Arguments of the step, as the plan makes them. */
json_t *backup_params(const struct backup_settings *settings, const char *service, const char *service_name,
                      const char *url_from, const json_t *mount);

struct backup {
    const char *job;    /* name of the service */
    const char *secret; /* name of the secret with the password; NULL: the URL has none */
    const char *file;
    const char *prefix; /* of the names of this stack's dumps of this database */
    const char *cutoff; /* stamp; what is younger stays */
    unsigned keep;
    uint64_t needed_kib;       /* room for the first dump */
    const char *user, *dbname; /* NULL: not given */
    unsigned port;
    const char *application_name;
    const char *service_name;    /* in Swarm */
    const char *image, *node_id; /* of its running task */
    const json_t *mount;         /* of the volume, without Target */
    const json_t *networks;      /* of the service's TaskTemplate */
    const json_t *mounts;        /* of the service's ContainerSpec; NULL: none */
};

/*
 * Names of dumps: PREFIX_STAMP_COMMIT8.dump, where PREFIX is STACK.DATABASE: stacks may share a volume, and a
 * job removes what has its own prefix. A name of a database that is no good name for a file gets a hash.
 */
const char *backup_prefix(struct arena *arena, const char *stack, const char *dbname);
const char *backup_stamp(struct arena *arena, int64_t wall_us); /* 20260823T140205Z */
const char *backup_file(struct arena *arena, const char *prefix, const char *stamp, const char *commit);

/* Body of /services/create, with the secret by name. New reference. */
json_t *backup_job(const struct backup *backup);

/*
 * The command, for a shell on the node that has the volume, that restores the dump into a new database beside
 * the old one.
 */
const char *backup_restore_command(struct arena *arena, const struct backup *backup);

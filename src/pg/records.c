/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/records.h"

#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/proc.h"
#include "pg/records_migrations.h"
#include "pg/records_session.h"

static const struct migration_entry *embedded(struct arena *arena)
{
    size_t n = (size_t)records_schema_version;
    struct migration_entry *entries = arena_array(arena, n, sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        char hash[SHA256_HEX_SIZE];
        size_t len = strlen(records_migrations_sql[i]);
        sha256_hex(records_migrations_sql[i], len, hash);
        entries[i] = (struct migration_entry){
            .name = records_migrations_file[i],
            .kind = MIGRATION_FILE,
            .blob = arena_strndup(arena, hash, 40), /* in the place of Git's */
            .size = len,
        };
    }
    return entries;
}

static int read_embedded(void *userdata, struct arena *arena, const struct migration *file, const char **ret,
                         size_t *ret_len, struct error *err)
{
    (void)userdata, (void)err;
    const char *sql = records_migrations_sql[file->number - 1];
    *ret_len = strlen(sql);
    *ret = arena_strndup(arena, sql, *ret_len);
    return 0;
}

static int refuse_newer(struct arena *arena, const struct migrate_step *step, struct error *err)
{
    struct migration_set set;
    struct migration_history history;
    struct migration_diff diff;
    if (migrate_plan(arena, step, &set, &history, &diff, err) < 0)
        return -1;
    if (diff.ahead && diff.ahead[0])
        return error_set(
            err, ERR_CONFLICT, 0,
            "the records are of a newer deploy-agent (schema %s, this program knows %d): upgrade "
            "this host",
            diff.ahead[0], records_schema_version);
    return 0;
}

int records_schema(struct arena *arena, const struct migrate_target *target, int64_t timeout_us,
                   struct migrate_result *ret, struct error *err)
{
    const struct migrate_step step = {
        .target = *target,
        .name = "records",
        .folder = "migrations/records",
        .table = "deploy_agent.records_version",
        .versioned = true,
        .timeout_us = timeout_us,
        .lock_wait_us = timeout_us,
        .commit = "",
        .run_id = "",
        .entries = embedded(arena),
        .n_entries = (size_t)records_schema_version,
        .read = read_embedded,
        .should_stop = proc_heed_stop,
    };
    *ret = (struct migrate_result){0};
    if (refuse_newer(arena, &step, err) < 0)
        return -1;
    return migrate_run(arena, &step, ret, err);
}

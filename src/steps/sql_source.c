/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "steps/sql.h"

static const int64_t lock_wait_us = 300 * US_PER_S, quiet_wait_us = 30 * US_PER_S;

int sql_read_blob(void *repo, struct arena *arena, const struct migration *file, const char **ret,
                  size_t *ret_len, struct error *err)
{
    return repo_read_blob(repo, arena, file->blob, file->file, SQL_FILE_MAX, ret, ret_len, err);
}

static int read_file(void *userdata, struct arena *arena, const struct migration *file, const char **ret,
                     size_t *ret_len, struct error *err)
{
    const struct sql_source *source = userdata;
    return sql_read_blob(source->ctx->repo, arena, file, ret, ret_len, err);
}

int sql_folder(struct step_ctx *ctx, const char *commit, const char *dir, struct migration_entry **ret,
               size_t *ret_n, struct error *err)
{
    static const enum migration_entry_kind kinds[] = {[REPO_ENTRY_FILE] = MIGRATION_FILE,
                                                      [REPO_ENTRY_FOLDER] = MIGRATION_FOLDER,
                                                      [REPO_ENTRY_LINK] = MIGRATION_LINK};
    struct repo_entry *found;
    size_t n;
    if (repo_list(ctx->repo, ctx->arena, commit, dir, &found, &n, err) < 0)
        return -1;
    struct migration_entry *entries = arena_array(ctx->arena, n + 1, sizeof *entries);
    for (size_t i = 0; i < n; i++)
        entries[i] =
            (struct migration_entry){found[i].name, kinds[found[i].kind], found[i].blob, found[i].size};
    *ret = entries;
    *ret_n = n;
    return 0;
}

int sql_target_open(struct step_ctx *ctx, const char *step, const char *variable, const char *commit,
                    struct step_database *ret_database, struct migrate_target *ret, struct error *err)
{
    const struct release *release = &ctx->manifest->release;
    const char *key = release->database_service;
    const char *service = key ? stack_service(ctx->manifest->stack, key)->name : NULL;
    if (step_database_open(ctx, service, variable, ret_database, err) < 0)
        return -1;
    *ret = (struct migrate_target){.url = &ret_database->url,
                                   .find = step_database_find,
                                   .userdata = ret_database,
                                   .application_name = arena_printf(ctx->arena, "deploy-agent/%s/%s/%.8s",
                                                                    ctx->stack->name, step, commit),
                                   .session_pooler = release->session_pooler};
    return 0;
}

int sql_source_open(struct step_ctx *ctx, const struct release_step *step, const char *commit,
                    struct sql_source **ret, struct error *err)
{
    const struct release *release = &ctx->manifest->release;
    const struct sql_step *sql = &step->sql;
    struct sql_source *source = arena_alloc(ctx->arena, sizeof *source);
    *source = (struct sql_source){.ctx = ctx, .sql = sql};
    source->migrate = (struct migrate_step){.name = step->name,
                                            .folder = sql->dir,
                                            .table = sql->table,
                                            .versioned = sql->versioned,
                                            .rules = sql->rules,
                                            .timeout_us = sql->timeout_us,
                                            .lock_timeout_us = sql->lock_timeout_us,
                                            .lock_wait_us = lock_wait_us,
                                            .quiet_wait_us = quiet_wait_us,
                                            .commit = commit,
                                            .read = read_file,
                                            .userdata = source};
    struct migration_entry *entries;
    if (sql_folder(ctx, commit, sql->dir, &entries, &source->migrate.n_entries, err) < 0 ||
        sql_target_open(ctx, step->name, sql->admin ? release->admin_url_from : release_direct_url(release),
                        commit, &source->database, &source->migrate.target, err) < 0)
        return -1;
    source->migrate.entries = entries;
    *ret = source;
    return 0;
}

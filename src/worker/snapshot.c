/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/secret.h"
#include "base/str.h"

/* reliability bar R13 */
static const size_t stack_file_max = 1024 * 1024, env_file_max = 1024 * 1024,
                    referred_file_max = 4 * 1024 * 1024;

struct reader {
    struct repo *repo;
    const char *commit;
};

static int read_referred(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                         size_t *ret_len, struct error *err)
{
    const struct reader *reader = userdata;
    return repo_read(reader->repo, arena, reader->commit, path, referred_file_max, ret_data, ret_len, err);
}

/* Values that are secrets by their name are never shown again; of URLs that hold a password, that password.
 */
static void register_secrets(const struct variable *variables, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (secret_name(variables[i].name))
            secret_register(variables[i].value);
        secret_register_url(variables[i].value);
    }
}

static int read_env_file(struct work *work, struct arena *arena, char **ret_text, size_t *ret_len,
                         struct error *err)
{
    *ret_text = NULL;
    *ret_len = 0;
    if (!work->stack->env_file)
        return 0;
    if (fs_read_private(arena, work->stack->env_file, env_file_max, ret_text, ret_len, err) < 0)
        return error_wrap(err, "env_file of stack %s", work->stack->name);
    return 0;
}

static const char *env_hash(struct work *work, struct arena *arena, const char *text, size_t len)
{
    char hex[SHA256_HEX_SIZE];
    if (!text)
        return "";
    sha256_salted_hex(work->salt, text, len, hex);
    return arena_strdup(arena, hex);
}

int snapshot_env_hash(struct work *work, struct arena *arena, const char **ret, struct error *err)
{
    char *text;
    size_t len;
    if (read_env_file(work, arena, &text, &len, err) < 0)
        return -1;
    *ret = env_hash(work, arena, text, len);
    return 0;
}

/* Variables of the env file, then the facts of the commit. Never the agent's own environment. */
static int load_variables(struct work *work, struct snapshot *s, struct variable **ret, size_t *ret_count,
                          struct error *err)
{
    char *text;
    size_t len, n = 0;
    struct variable *from_file = NULL, *all;
    if (read_env_file(work, &s->arena, &text, &len, err) < 0)
        return -1;
    if (text && env_file_parse(&s->arena, work->stack->env_file, text, len, &from_file, &n, err) < 0)
        return -1;
    register_secrets(from_file, n);
    s->env_hash = env_hash(work, &s->arena, text, len);
    const struct variable facts[] = {
        {"GIT_COMMIT", arena_strdup(&s->arena, s->commit.id)},
        {"GIT_COMMIT_SHORT", arena_strndup(&s->arena, s->commit.id, 7)},
        {"GIT_BRANCH", work->stack->branch},
        {"GIT_TAG", s->commit.tag ? s->commit.tag : ""},
    };
    size_t n_facts = sizeof facts / sizeof *facts;
    all = arena_array(&s->arena, n + n_facts, sizeof *all);
    if (n)
        memcpy(all, from_file, n * sizeof *all);
    memcpy(all + n, facts, sizeof facts);
    *ret = all;
    *ret_count = n + n_facts;
    return 0;
}

static const char *value_of(const struct variable *variables, size_t n, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; name && i < n; i++)
        if (str_eq(variables[i].name, name))
            value = variables[i].value;
    return value;
}

static int load_manifest(struct work *work, struct snapshot *s, struct error *err)
{
    struct reader reader = {work->repo, s->commit.id};
    struct stack_input input = {.name = work->stack->name,
                                .n_files = work->stack->n_files,
                                .read = read_referred,
                                .userdata = &reader};
    struct stack_source *files = arena_array(&s->arena, input.n_files, sizeof *files);
    struct variable *variables;
    for (size_t i = 0; i < input.n_files; i++) {
        files[i].path = work->stack->files[i];
        if (repo_read(work->repo, &s->arena, s->commit.id, files[i].path, stack_file_max, &files[i].text,
                      &files[i].len, err) < 0)
            return error_wrap(err, "stack file");
    }
    if (load_variables(work, s, &variables, &input.n_variables, err) < 0)
        return -1;
    input.files = files;
    input.variables = variables;
    if (manifest_load(&input, &s->manifest, err) < 0)
        return -1;
    const struct release *release = &s->manifest.release;
    s->database_url = value_of(variables, input.n_variables, release->database_url_from);
    s->migrate_url = value_of(variables, input.n_variables, release->migrate_url_from);
    s->admin_url = value_of(variables, input.n_variables, release->admin_url_from);
    return 0;
}

int snapshot_load(struct work *work, const char *commit, struct snapshot *ret, struct error *err)
{
    struct snapshot s = {0};
    if (repo_commit(work->repo, &s.arena, commit, &s.commit, err) < 0 || load_manifest(work, &s, err) < 0) {
        snapshot_release(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

void snapshot_release(struct snapshot *snapshot)
{
    manifest_release(&snapshot->manifest);
    arena_release(&snapshot->arena);
    *snapshot = (struct snapshot){0};
}

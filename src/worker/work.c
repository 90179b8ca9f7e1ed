/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/work.h"

#include "base/cleanup.h"
#include "base/fs.h"

int work_open(struct work *work, const char *config_path, struct error *err)
{
    *work = (struct work){0};
    if (config_load(config_path, &work->config, err) < 0)
        return -1;
    log_set_level(work->config.log_level);
    return 0;
}

void work_close(struct work *work)
{
    repo_close(work->repo);
    docker_close(work->docker);
    journal_close(work->journal);
    config_release(&work->config);
    arena_release(&work->arena);
}

int work_select_stack(struct work *work, const char *name, struct error *err)
{
    if (!name && work->config.n_stacks == 1)
        work->stack = &work->config.stacks[0];
    else if (!name)
        return error_set(err, ERR_INVALID, 0, "which stack? %zu are configured in %s", work->config.n_stacks,
                         work->config.path);
    else
        work->stack = config_stack(&work->config, name);
    if (!work->stack)
        return error_set(err, ERR_NOT_FOUND, 0, "no stack '%s' in %s", name, work->config.path);
    log_context(work->stack->name, 0, NULL);
    return 0;
}

int work_open_journal(struct work *work, enum journal_mode mode, struct error *err)
{
    if (mode == JOURNAL_WRITE && fs_mkdir(work->config.state_dir, 0750, err) < 0)
        return -1;
    if (journal_open(config_journal_path(&work->arena, &work->config), mode, &work->journal, err) < 0)
        return -1;
    return journal_identity(work->journal, &work->arena, &work->host_id, &work->salt, err);
}

int work_open_docker(struct work *work, struct error *err)
{
    return docker_open(work->config.docker, work->config.registry_auth_file, &work->docker, err);
}

int work_open_repo(struct work *work, struct error *err)
{
    return repo_open(config_repo_path(&work->arena, &work->config, work->stack), work->stack, &work->repo,
                     err);
}

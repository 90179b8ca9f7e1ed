/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every job of the worker stands on: configuration, one stack of it, journal, engine, repository. */

#include "agent/config.h"
#include "agent/docker.h"
#include "agent/journal.h"
#include "agent/repo.h"

struct work {
    struct arena arena;
    struct config config;
    const struct stack_config *stack;
    struct journal *journal; /* NULL until work_open_journal() */
    struct docker *docker;
    struct repo *repo;
    const char *host_id, *salt;
};

int work_open(struct work *work, const char *config_path, struct error *err) MUST_CHECK;
void work_close(struct work *work);
/* NULL: the only one configured */
int work_select_stack(struct work *work, const char *name, struct error *err) MUST_CHECK;
int work_open_journal(struct work *work, enum journal_mode mode, struct error *err) MUST_CHECK;
int work_open_docker(struct work *work, struct error *err) MUST_CHECK;
int work_open_repo(struct work *work, struct error *err) MUST_CHECK;

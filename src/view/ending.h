/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the end of a deployment means: is production affected, and what now. The same words wherever people
 * read of one: `agentctl show`, the page, messages. docs/operations.md and packaging/deploy-agent.catalog say
 * it at length. Nothing is said to be well that nobody has looked at.
 */

#include "view/view.h"

struct ending_next {
    const char *words;   /* "Put the services back": a clause that a colon and the command may follow */
    const char *command; /* NULL: none does it */
};

struct ending {
    const char *affected;       /* whole sentences; NULL: nothing to say of this state, and nothing to do */
    struct ending_next next[3]; /* in this order */
    size_t n_next;
    bool half_way; /* nobody has put the services back: what runs where is to be looked at */
};

/* Migrations of the deployment: what they did stays, whatever became of the services. */
struct ending_migrations {
    unsigned applied, failed;
};
struct ending_migrations ending_migrations_of(const struct migration_record *migrations, size_t n);

/* Of d: id, stack, state and reason. */
struct ending ending_of(struct arena *arena, const struct deployment *d, struct ending_migrations migrations);

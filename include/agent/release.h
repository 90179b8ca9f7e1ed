/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * x-release: what the agent adds to a stack file (docs/stack-file.md). Decoded from the node tree that
 * src/stack kept; every key has a default, unknown keys and keys that this version does not do yet are
 * refused with file:line:column. Pure. Strings live in the given arena.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/backup.h"
#include "agent/error.h"
#include "agent/migration.h"
#include "agent/node.h"
#include "agent/stack.h"
#include "base/arena.h"

enum run_when { RUN_ALWAYS, RUN_FIRST_DEPLOY, RUN_CHANGED };

struct run_step { /* a command in the image of a service */
    const char *service;
    const char **command; /* NULL-terminated, replaces the image's arguments */
    const char **check;   /* NULL: none; runs after the command succeeded and must exit 0 */
    int64_t timeout_us;   /* of each of the two */
    enum run_when when;
    const char **paths; /* RUN_CHANGED */
    bool allow_failure;
};

struct sql_step { /* the SQL files of a folder */
    const char *dir;
    const char *table; /* of versions: NAME or SCHEMA.NAME */
    int64_t timeout_us, lock_timeout_us;
    bool admin;                  /* with the URL of admin_url_from */
    bool versioned;              /* false: every file each time, without a table of versions */
    const char *for_each_schema; /* a query; NULL: once */
    bool continue_on_error;      /* the other schemas are tried, then the step fails */
    struct migration_rules rules;
};

struct expect_step {                                          /* what has to be in the database by then */
    const char **tables, **columns, **constraints, **indexes; /* NULL-terminated */
    const char *query;                                        /* NULL: none */
};

enum release_step_kind { RELEASE_RUN, RELEASE_SQL, RELEASE_EXPECT };

struct release_step {
    enum release_step_kind kind;
    const char *name; /* unique among all of them */
    union {
        struct run_step run;
        struct sql_step sql;
        struct expect_step expect;
    };
};

/* What asks a task, through the relay; the database; a job of the service's image. */
enum check_kind { CHECK_HTTP, CHECK_TCP, CHECK_SQL, CHECK_COMMAND };

struct health_check {
    enum check_kind kind;
    const char *service;  /* whose health it decides */
    const char *sql;      /* CHECK_SQL: one SELECT, one row with true */
    const char **command; /* CHECK_COMMAND: NULL-terminated, exit 0 */
    const char *host; /* of the URL: a service key of this stack is asked task by task, other names by name */
    unsigned port;
    const char *path;  /* path and query, "/" at least */
    const char *label; /* "web /health", for messages */
    unsigned status;   /* the one that passes */
    const char *body;  /* extended regular expression; NULL: any */
    const char *host_header;
    const char **headers; /* "Name: value", NULL-terminated */
    int64_t timeout_us;
};
static inline bool check_asks_task(const struct health_check *check)
{
    return check->kind == CHECK_HTTP || check->kind == CHECK_TCP;
}

struct gate_settings {
    int64_t probe_interval_us, min_healthy_us, healthy_deadline_us, total_deadline_us, soak_us;
    unsigned success_threshold, failure_threshold;
    unsigned baseline_samples; /* 0: no baselines */
    bool block_on_failing;     /* baseline_failing: block */
};

struct release {
    const char *database_service;  /* NULL: none */
    const char *database_url_from; /* NULL: none */
    const char *migrate_url_from;  /* a direct one, where the first goes through a pooler; NULL: none */
    const char *admin_url_from;    /* of steps `as: admin`; NULL: none */
    bool session_pooler;           /* a pooler on the way is known to keep sessions apart */
    int64_t database_ready_us;
    struct backup_settings backup;
    struct release_step *steps;
    size_t n_steps;
    const char **before; /* service keys, NULL-terminated; the database first */
    const char **order;
    struct health_check *checks;
    size_t n_checks;
    struct gate_settings gate;
};

/* node NULL: all defaults. Service names are checked against the stack's. */
int release_decode(struct arena *arena, const struct node *node, const struct stack *stack,
                   struct release *ret, struct error *err) MUST_CHECK;

/* The variable with the URL that steps use, which are not admin's: past a pooler where one is given. */
static inline const char *release_direct_url(const struct release *release)
{
    return release->migrate_url_from ? release->migrate_url_from : release->database_url_from;
}

/* What `expect` steps name, NULL-terminated; names are those of release. */
const char **release_expected_tables(struct arena *arena, const struct release *release);

/* Does it run before login and backup? Those are the `as: admin` steps at the head of the list. */
bool release_step_is_early(const struct release *release, size_t index);

/*
 * Keys of all services in the order they are rolled: `before` first (*ret_n_before of them), then
 * `order`, then depends_on, then file order. A cycle in depends_on is refused.
 */
int release_rollout_order(struct arena *arena, const struct release *release, const struct stack *stack,
                          const char ***ret, size_t *ret_n_before, struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the tasks of a service say about an update. Pure: the engine's task list and service in, counts and
 * words out. Counted are only tasks with the service's present spec (the engine's filter _up-to-date) that
 * did not exist before the update: an old failure never decides a new verdict.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

struct tasks_judgement {
    unsigned desired; /* tasks that must run; for jobs: completions */
    unsigned running; /* with this spec, desired running, and running (which in Swarm means healthy where
                         there is a healthcheck) */
    unsigned failed; /* new tasks that ended without being asked to: failed, or complete though they should go
                        on */
    unsigned rejected;     /* new tasks a node refused */
    unsigned completed;    /* of a job, or of a service whose restart policy lets it end */
    const json_t **active; /* the running ones; borrowed */
    size_t n_active;
    const char *trouble; /* the newest failure in words: "task 3f2a… exited 1: …"; NULL: none */
    const char *pending; /* why a task is not running yet: "pending: no suitable node (…)"; NULL: none */
};

/* tasks: of the service, up to date. excused: task IDs that do not count as failures (existed before, or
   ended while the engine was away); an array of strings, may be NULL. */
void tasks_judge(struct arena *arena, const json_t *service, const json_t *tasks, const json_t *excused,
                 struct tasks_judgement *ret);

/*
 * Tasks of the service that failed or were rejected since then (RFC 3339 in UTC), whatever their spec: was it
 * unstable before anything was touched? tasks: of whatever services. As far back as Swarm remembers: of each
 * replica it keeps the last five tasks, unless the swarm was told otherwise.
 */
unsigned tasks_failed_since(const json_t *service, const json_t *tasks, const char *since);
/* "3 task failures in the 10 minutes before" */
enum { TASKS_BEFORE_MIN = 10 };
const char *tasks_failed_words(struct arena *arena, unsigned failures);

/* Swarm's own verdict on the update: "paused", "rolled back" … with its message; NULL: none against it. */
const char *update_trouble(struct arena *arena, const json_t *service);
/* Is Swarm still at it? */
bool update_in_progress(const json_t *service);
/* By the service's own terms (failure_action, max_failure_ratio): is one failure enough to end its update? */
bool update_ends_at_once(const json_t *service);

/* "task 3f2a4c…", with as much of its ID as Docker's commands show */
const char *task_named(struct arena *arena, const json_t *task);
/* Has the task stopped for good, however? */
bool task_ended(const json_t *task);
/*
 * Did all of them fail before there was a process, by a fault of the engine that passes? One that forks while
 * it makes configs and secrets readable cannot make them read-only (moby#48783, in all versions until now).
 * Nothing else is taken for that: an engine that gives up a start may have started it. An array without
 * tasks: true.
 */
bool tasks_never_ran(const json_t *tasks);
/* ID of its container; NULL: it has none yet, or never had one. */
const char *task_container(const json_t *task);
/* Is its process started, and meant to go on, but has not been healthy yet? */
bool task_is_starting(const json_t *task);
/* *ret_said: what its healthcheck said last, one line; may be "". A container that does not run any more is
 * none: the engine calls one unhealthy that has crashed, too. */
bool container_is_unhealthy(struct arena *arena, const json_t *container, const char **ret_said);

/*
 * The tasks of a service whose spec has changed: `all` of them, and the IDs (task_ids()) of those with the
 * present spec, `current`. A task's place is a replica's slot, or the node of a global service.
 */
/* Is it the first of the present spec where a task of an older one was? Only such are what Swarm watches when
 * it updates: not those of added replicas, and not what takes the place of one that ended. */
bool task_is_replacement(const json_t *all, const json_t *current, const json_t *task);
/* Does a task of an older spec still run in the place of this one? NULL: in any. */
bool task_predecessor_runs(const json_t *all, const json_t *current, const json_t *task);

/* IDs of the tasks, as an array of strings. New reference. */
json_t *task_ids(const json_t *tasks);
/* Is the task's ID in such an array? NULL has none. */
bool task_is_in(const json_t *ids, const json_t *task);
/* The task's address on a network, without the mask; NULL: none. */
const char *task_address(struct arena *arena, const json_t *task, const char *network_id);

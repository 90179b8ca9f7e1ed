/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The plan: what has to happen so that the observed state becomes the desired one. A pure function of the
 * manifest, the observed objects, the images' digests and the record of the last success; computed before the
 * first effect and saved in the journal as steps. `agentctl plan` shows the same.
 *
 * An empty plan: no object differs and no step changed since the last success. Then nothing is sent.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/error.h"
#include "agent/journal.h"
#include "agent/manifest.h"
#include "agent/migration.h"
#include "base/arena.h"

/* What the engine has of this stack: the engine's own lists. */
struct observed {
    json_t *services;  /* those with the stack's namespace label */
    json_t *strangers; /* without it, but with the name of a service that the stack file wants; NULL: none */
    json_t *networks;  /* all of the swarm: names for IDs, externals */
    json_t *secrets, *configs;
    json_t *tasks; /* of the services, old ones too; NULL: not asked for */
    json_t *nodes; /* of the swarm; NULL: no service wants to know where it may run */
    int64_t at_us; /* when it was looked at; wall time */
    const char *
        api_version; /* docker_api_version(), borrowed; NULL: the newest. What it does not know is not sent */
    /* Deployments that came to no good end: a service that has the label of one is not known to work, and
       goes through the gate though its spec is the wanted one. HOST/ID → {service's name in Swarm: the spec
       that it took the place of}, as far as that is on record: another host's deployments are not. NULL:
       none. */
    json_t *doubtful;
};
void observed_release(struct observed *observed);

struct plan_image {
    const char *service;   /* key */
    const char *reference; /* as sent without digest: "127.0.0.1:5000/web:latest" */
    const char *digest; /* sha256:…; NULL: the reference has one, or none is known (platforms NULL then) */
    json_t *platforms;  /* borrowed; NULL: none */
};

/* Fingerprint of a step in the last success. */
struct plan_fingerprint {
    const char *step, *fingerprint;
};

/* What an sql step would do in one schema; schema NULL where it runs once. */
struct plan_sql_run {
    const char *schema;
    const struct migration_diff *diff;
};

/* The folder of an sql step, and what the database says about it. */
struct plan_sql {
    const char *url_hash; /* salted, of the URL that it logs in with */
    const struct migration_set *set;
    /* The database was asked: its word counts. Else the runs say what the last success did not have. */
    bool asked;
    const char *why_not; /* why it was not asked; NULL: there was no need to */
    struct plan_sql_run *runs;
    size_t n_runs;
};

struct plan_input {
    const struct manifest *manifest;
    const struct observed *observed;
    const struct plan_image *images; /* one per service */
    size_t n_images;
    const struct plan_fingerprint *fingerprints;
    size_t n_fingerprints;
    bool first_deploy; /* no success on record; for `when: first_deploy` nothing may run yet, either */
    const bool *paths_changed;  /* per release step: did its `changed` paths change since the last success */
    const struct plan_sql *sql; /* per release step; of others than sql it is empty. NULL: there are none */
    const json_t
        *retained;      /* array of specs of retained rollback targets: their configs and secrets are kept */
    const char *commit; /* 40 hex digits */
    const char *salt;
    bool prune;
    const char *const *extra_warnings; /* NULL-terminated, may be NULL */
};

struct plan {
    struct arena arena;
    bool empty;
    struct plan_rows rows; /* what the journal saves; rows.plan is the JSON of `agentctl plan --json` */
    json_t *json;          /* the same as a value; owned */
    json_t *owned;         /* array that keeps other values alive */
};

/* Step kinds, as stored in the journal and as steps/kinds.c lists them. */
#define STEP_PULL     "pull"
#define STEP_NETWORK  "network"
#define STEP_SECRET   "secret"
#define STEP_CONFIG   "config"
#define STEP_RELAY    "relay"
#define STEP_BASELINE "baseline"
#define STEP_BEFORE   "before"
#define STEP_READY    "ready"
#define STEP_BACKUP   "backup"
#define STEP_SQL      "sql"
#define STEP_RUN      "run"
#define STEP_EXPECT   "expect"
#define STEP_COMPARE  "compare"
#define STEP_ROLL     "roll"
#define STEP_SOAK     "soak"
#define STEP_PRUNE    "prune"

int plan_make(const struct plan_input *input, struct plan *ret, struct error *err) MUST_CHECK;
void plan_release(struct plan *plan);

/* The plan for people, at most 100 columns; for `agentctl plan`. */
char *plan_text(struct arena *arena, const json_t *plan);

/* ---- the back way: services to what an earlier success recorded ---- */
struct rollback_input {
    const char *stack;
    const struct observed *observed;
    const struct service_record *services; /* of the target */
    size_t n_services;
    const struct image_record *images; /* of the target */
    size_t n_images;
    const char *commit;
    int64_t target_id;
    bool prune;
};
int plan_make_rollback(const struct rollback_input *input, struct plan *ret, struct error *err) MUST_CHECK;

/* ---- migration jobs ---- */

/*
 * What `docker compose run` would do, as a service of one task that never restarts (docs/decisions/0005): the
 * service's image by digest, entrypoint, environment, user, mounts, networks (without its aliases), secrets,
 * configs and constraints; the command in the place of its arguments; no healthcheck, ports, reservations,
 * restart. New reference.
 */
json_t *job_spec(const json_t *service_spec, const char *name, const char *const *command);
/* STACK_mig_STEP_COMMIT12 (or _chk_, _bak_, _hlt_), at most 63 bytes: a Swarm service's name is a DNS label.
 */
enum job_purpose { JOB_COMMAND, JOB_CHECK, JOB_BACKUP, JOB_HEALTH };
char *job_name(struct arena *arena, const char *stack, const char *step, const char *commit,
               enum job_purpose purpose);
/* PGAPPNAME of what a `run` step starts: by it its sessions are known. */
const char *job_application_name(struct arena *arena, const char *stack, const char *step);

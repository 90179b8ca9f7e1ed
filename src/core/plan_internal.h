/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files that make a plan; see agent/plan.h. */

#include "agent/plan.h"

/* A network, secret or config to be made; its step comes after the pulls. */
struct planned_object {
    const char *kind, *name;
    json_t *params; /* kept alive by plan->owned */
};

struct planned_service {
    const struct stack_service *service;
    json_t *spec;       /* to be sent; kept alive by plan->owned */
    const json_t *live; /* the engine's object; NULL: none */
    const char *action; /* create update none */
    bool again;         /* see builder_compare() */
};

struct planned_step { /* one of x-release.steps */
    json_t *params;   /* kept alive by plan->owned */
    const char *fingerprint;
    bool changed;     /* a reason to deploy */
    bool writes;      /* may change the database */
    const char *skip; /* why `when` keeps it from running; NULL: it runs */
};

struct plan_builder {
    const struct plan_input *input; /* NULL in a rollback */
    const struct observed *observed;
    struct plan *plan;
    struct arena *arena;
    struct step *steps;
    size_t n_steps;
    struct planned_object *objects;
    size_t n_objects;
    struct service_record *services;
    size_t n_services;
    struct migration_record *migrations;
    size_t n_migrations;
    const char **warnings;
    size_t n_warnings;
    /* all of these are kept alive by plan->owned */
    json_t *json_services, *json_objects, *json_migrations, *json_sql;
    json_t *live;          /* observed services by name */
    json_t *tasks;         /* observed ones: service ID → array */
    json_t *network_names; /* by ID, for spec_same() and its kin */
    json_t *renamed;       /* "secret NAME", "config NAME" → the name that it has now */
    json_t *specs;         /* desired specs by service key, in rollout order */
};

/* Where a container spec refers to secrets and configs by name; ends with an empty one. kind: of their step.
 */
struct reference_kind {
    const char *list, *member, *kind;
};
extern const struct reference_kind plan_references[];

void builder_init(struct plan_builder *b, const struct observed *observed, struct plan *plan);
/* Hands value (a new reference) to the plan, which lives longer; returns it. */
json_t *builder_keep(struct plan_builder *b, json_t *value);
/* params: stolen. Returns the row, valid until the next one is added. */
struct step *builder_step(struct plan_builder *b, const char *kind, const char *name, json_t *params);
void builder_warn(struct plan_builder *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* changes: NULL-terminated or NULL; before: the live spec or NULL */
void builder_service(struct plan_builder *b, const char *key, const char *name, const char *action,
                     const char **changes, bool restarts, const json_t *before);
/* A service whose spec is to become `spec`: its row, and *ret_action. Returns whether that spec runs already,
   and only was not seen to work. */
bool builder_compare(struct plan_builder *b, const char *key, const char *name, const json_t *spec,
                     const json_t *live, const char **ret_action);
/* The step that sends `spec`. Its "over": the spec that is live, where that is not the one to put back. */
void builder_roll(struct plan_builder *b, const char *kind, const char *key, const char *action, json_t *spec,
                  const json_t *live, bool again);
/* Adds the row of a service that is to go, and an element of the prune step's `services`. */
void builder_remove(struct plan_builder *b, const char *stack, const json_t *live, json_t *list);
void builder_finish(struct plan_builder *b, const char *stack, const char *commit);

/* ---- plan_objects.c ---- */

/* Networks, secrets, configs: fills b->objects and b->renamed. */
int plan_objects(struct plan_builder *b, struct error *err) MUST_CHECK;
/* The last step: services in `removed` (stolen), and configs and secrets that nothing needs any more. */
void plan_prune(struct plan_builder *b, json_t *removed);

/* ---- plan_services.c ---- */

/* One for each key of the manifest's order; fills b->specs. */
int plan_services(struct plan_builder *b, struct planned_service *ret, struct error *err) MUST_CHECK;
/* Services that the stack file no longer has; new reference. */
json_t *plan_removals(struct plan_builder *b);

/* ---- plan_steps.c: x-release.steps ---- */

void plan_step(struct plan_builder *b, size_t index, struct planned_step *ret);
void plan_step_add(struct plan_builder *b, size_t index, const struct planned_step *planned);
/* An empty plan still says which steps were in effect, so that the next plan has something to compare with.
 */
void plan_step_remember(struct plan_builder *b, size_t index, const struct planned_step *planned);
/* NULL: the last success did not have it. */
const char *plan_last_fingerprint(const struct plan_builder *b, const char *step);
void plan_migration(struct plan_builder *b, const struct migration_record *record);

/* ---- plan_lint.c ---- */

/* Warns of what the update of this service will suffer from. */
void plan_lint(struct plan_builder *b, const struct planned_service *service);

/* ---- plan_baseline.c ---- */

/* Where there is something to ask before anything is touched, and something will be. */
void plan_baseline(struct plan_builder *b, const struct planned_service *services,
                   const struct planned_step *steps);
/* An empty plan still says which checks were in effect. */
void plan_baseline_remember(struct plan_builder *b);
/* The same again, between what may change the database and the services. */
void plan_compare(struct plan_builder *b, const struct planned_service *services,
                  const struct planned_step *steps);

/* Of each kind: the planned step, and what its migrations are. plan_runs.c, plan_sql.c */
void plan_run(struct plan_builder *b, size_t index, struct planned_step *ret);
void plan_run_migrations(struct plan_builder *b, size_t index, const struct planned_step *planned);
void plan_sql(struct plan_builder *b, size_t index, struct planned_step *ret);
void plan_sql_migrations(struct plan_builder *b, size_t index);
void plan_expect(struct plan_builder *b, size_t index, struct planned_step *ret);

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/secret.h"
#include "base/str.h"
#include "core/plan_internal.h"

/* Run steps: commands as jobs, and whether they are a reason to deploy. */

static const char *command_text(struct arena *arena, const char *const *command)
{
    cleanup_str struct str text = {0};
    for (size_t i = 0; command[i]; i++)
        str_printf(&text, "%s%s", i ? " " : "", command[i]);
    const char *redacted = secret_redact(arena, str_text(&text)); /* before it is cut */
    return str_clean(arena, redacted, strlen(redacted), true, 200);
}

/* Names hold the commit, which must not make every commit look like a changed step; platforms are the
 * digest's. */
static void forget_details(json_t *job)
{
    json_object_del(job, "Name");
    json_object_del(json_object_get(json_object_get(job, "TaskTemplate"), "Placement"), "Platforms");
}

/* Definition, image, environment, secrets: of what is equal in them, nothing new can come. */
static const char *fingerprint(struct arena *arena, const struct run_step *step, const json_t *params)
{
    static const char *const when[] = {
        [RUN_ALWAYS] = "always", [RUN_FIRST_DEPLOY] = "first_deploy", [RUN_CHANGED] = "changed"};
    char hex[SHA256_HEX_SIZE];
    cleanup_json json_t *same = json_deep_copy(params);
    json_object_set_new(same, "when", json_string(when[step->when]));
    forget_details(json_object_get(same, "job"));
    forget_details(json_object_get(same, "check"));
    cleanup_free char *text = spec_text(same);
    sha256_hex(text, strlen(text), hex);
    return arena_strdup(arena, hex);
}

/*
 * Without a success on record a stack may be new, or its record was lost, or somebody else deployed it until
 * now. What fills an empty database is not for the latter two. `before` services tell nothing: a first
 * deployment that failed leaves them.
 */
static bool runs_already(const struct plan_builder *b)
{
    const struct manifest *m = b->input->manifest;
    const char *name;
    json_t *live;
    json_object_foreach (b->live, name, live) {
        bool before = false;
        for (size_t i = 0; i < m->n_before; i++)
            before |= strcmp(stack_service(m->stack, m->order[i])->name, name) == 0;
        if (!before)
            return true;
    }
    return false;
}

/* ---- what libpq is told ---- */

static const char *environment_value(const json_t *env, const char *name)
{
    size_t i, len = strlen(name);
    const json_t *item;
    json_array_foreach (env, i, item) {
        const char *text = json_string_value(item);
        if (text && strncmp(text, name, len) == 0 && text[len] == '=')
            return text + len + 1;
    }
    return NULL;
}

static void set_environment(json_t *env, const char *name, const char *value)
{
    if (!environment_value(env, name))
        json_array_append_new(env, json_sprintf("%s=%s", name, value));
}

/*
 * A migration that waits for a lock stands in everybody's way: with libpq's own variables it gives up, and is
 * known by its name meanwhile. Poolers refuse options, so only where none can be on the way.
 */
static void tell_libpq(const struct plan_builder *b, const char *step, json_t *job)
{
    const struct release *release = &b->input->manifest->release;
    json_t *container = json_object_get(json_object_get(job, "TaskTemplate"), "ContainerSpec");
    if (!release->database_url_from || !json_is_object(container))
        return;
    if (!json_object_get(container, "Env"))
        json_object_set_new(container, "Env", json_array());
    json_t *env = json_object_get(container, "Env");
    set_environment(env, "PGAPPNAME", job_application_name(b->arena, b->input->manifest->stack->name, step));
    if (release->database_service && !release->migrate_url_from && !release->session_pooler)
        set_environment(env, "PGOPTIONS", "-c lock_timeout=5s");
}

/* ---- what people regret ---- */

static void warn_of_command(struct plan_builder *b, const char *step, const char *const *command)
{
    for (size_t i = 0; command && command[i]; i++)
        if (str_eq(command[i], "makemigrations"))
            builder_warn(b, "step %s: makemigrations writes files that nobody has seen or tested", step);
        else if (str_starts(command[i], "--fake"))
            builder_warn(b, "step %s: %s records migrations that did not run", step, command[i]);
}

static void warn_of_entrypoint(struct plan_builder *b, const char *step, const char *service,
                               const json_t *spec)
{
    const json_t *env = json_path(spec, "TaskTemplate", "ContainerSpec", "Env", NULL);
    if (str_eq(environment_value(env, "DJANGO_MANAGEPY_MIGRATE"), "on"))
        builder_warn(b,
                     "service %s migrates by itself when it starts (DJANGO_MANAGEPY_MIGRATE=on), beside step "
                     "%s: set it to off",
                     service, step);
}

void plan_run(struct plan_builder *b, size_t index, struct planned_step *ret)
{
    const struct plan_input *input = b->input;
    const char *name = input->manifest->release.steps[index].name;
    const struct run_step *step = &input->manifest->release.steps[index].run;
    const char *stack = input->manifest->stack->name, *commit = input->commit;
    const json_t *service = json_object_get(b->specs, step->service);
    bool paths_changed = step->when == RUN_CHANGED && input->paths_changed[index];
    json_t *job = job_spec(service, job_name(b->arena, stack, name, commit, JOB_COMMAND), step->command);
    json_t *check = json_null();
    if (step->check)
        check = job_spec(service, job_name(b->arena, stack, name, commit, JOB_CHECK), step->check);
    tell_libpq(b, name, job);
    tell_libpq(b, name, check);
    *ret = (struct planned_step){0};
    ret->params =
        builder_keep(b, json_pack("{s:s, s:s, s:o, s:o, s:I, s:b}", "step", name, "service", step->service,
                                  "job", job, "check", check, "timeout_us", (json_int_t)step->timeout_us,
                                  "allow_failure", step->allow_failure));
    ret->fingerprint = fingerprint(b->arena, step, ret->params);
    if (step->when == RUN_FIRST_DEPLOY && !input->first_deploy)
        ret->skip = "only on the first deployment";
    else if (step->when == RUN_FIRST_DEPLOY && runs_already(b))
        ret->skip = "only on the first deployment, and the stack runs already";
    if (step->when == RUN_CHANGED && !input->first_deploy && !paths_changed)
        ret->skip = "none of its paths changed";
    /* A step that would not run is no reason to deploy. Changed paths are one: after an empty plan they would
       count as deployed, and the step would never run for them. */
    ret->writes = !ret->skip;
    ret->changed = !ret->skip && (paths_changed || !str_eq(plan_last_fingerprint(b, name), ret->fingerprint));
}

void plan_run_migrations(struct plan_builder *b, size_t index, const struct planned_step *planned)
{
    const char *name = b->input->manifest->release.steps[index].name;
    const struct run_step *step = &b->input->manifest->release.steps[index].run;
    const char *command = command_text(b->arena, step->command);
    if (!planned->skip) {
        warn_of_command(b, name, step->command);
        warn_of_entrypoint(b, name, step->service, json_object_get(b->specs, step->service));
    }
    plan_migration(b, &(struct migration_record){
                          .step = arena_strdup(b->arena, name),
                          .version = arena_printf(b->arena, "%.12s", b->input->commit),
                          .name = command,
                          .state = planned->skip ? "skipped" : "pending",
                      });
    json_array_append_new(b->json_migrations,
                          json_pack("{s:s, s:s, s:s, s:s?}", "step", name, "service", step->service,
                                    "command", command, "skipped", planned->skip));
}

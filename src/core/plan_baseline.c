/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/baseline.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "core/plan_internal.h"

/* When the checks are asked before the rollout, and which of them the last success had. */

static const char *step_name(const struct plan_builder *b)
{
    /* no name that a user's step can have: fingerprints are found by it */
    return arena_printf(b->arena, "stack %s", b->input->manifest->stack->name);
}

/* BASELINE_PRINT_LEN digits that are another number when the check asks anything else. */
static const char *print_of(struct arena *arena, const struct health_check *check)
{
    cleanup_str struct str text = {0};
    char hex[SHA256_HEX_SIZE];
    str_printf(&text, "%s\n%s\n%u\n%s\n%u\n%s\n%s", check->service, check->host, check->port, check->path,
               check->status, check->body ? check->body : "", check->host_header);
    for (size_t i = 0; check->headers[i]; i++)
        str_printf(&text, "\n%s", check->headers[i]);
    if (check->sql)
        str_printf(&text, "\nsql\n%s", check->sql);
    for (size_t i = 0; check->command && check->command[i]; i++)
        str_printf(&text, "\n%zu\n%s", i, check->command[i]);
    sha256_hex(str_text(&text), text.len, hex);
    return arena_printf(arena, "%.*s", BASELINE_PRINT_LEN, hex);
}

static const char *fingerprint(const struct plan_builder *b)
{
    const struct release *release = &b->input->manifest->release;
    cleanup_str struct str text = {0};
    for (size_t i = 0; i < release->n_checks; i++)
        str_printf(&text, "%s%s", i ? " " : "", print_of(b->arena, &release->checks[i]));
    return arena_strdup(b->arena, str_text(&text));
}

/* Is what runs the new version already, not yet seen to work? */
static bool is_again(const struct plan_builder *b, const struct planned_service *services, const char *key)
{
    for (size_t i = 0; i < b->input->manifest->stack->n_services; i++)
        if (strcmp(services[i].service->key, key) == 0)
            return services[i].again;
    return false;
}

/* Of a check that is new here, the old version's answer means nothing; nor is the new version's an excuse
 * for itself. */
static json_t *known_checks(const struct plan_builder *b, const struct planned_service *services)
{
    const struct release *release = &b->input->manifest->release;
    const char *last = plan_last_fingerprint(b, step_name(b));
    json_t *known = json_object();
    for (size_t i = 0; i < release->n_checks; i++)
        json_object_set_new(known, arena_printf(b->arena, BASELINE_CHECK_KEY, i),
                            json_boolean(last &&
                                         baseline_place(print_of(b->arena, &release->checks[i]), last) >= 0 &&
                                         !is_again(b, services, release->checks[i].service)));
    return known;
}

static bool has_check(const struct plan_builder *b, const char *service)
{
    const struct release *release = &b->input->manifest->release;
    for (size_t i = 0; i < release->n_checks; i++)
        if (strcmp(release->checks[i].service, service) == 0)
            return true;
    return false;
}

static bool may_migrate(const struct plan_builder *b, const struct planned_step *steps)
{
    for (size_t i = 0; i < b->input->manifest->release.n_steps; i++)
        if (b->input->manifest->release.steps[i].kind != RELEASE_EXPECT && !steps[i].skip)
            return true;
    return false;
}

/* from: an index in rollout order */
static bool rolls(const struct plan_builder *b, const struct planned_service *services, size_t from)
{
    for (size_t i = from; i < b->input->manifest->stack->n_services; i++)
        if (strcmp(services[i].action, "none") != 0)
            return true;
    return false;
}

/* Does a service run that can be asked? Healthchecks tell of what does not roll: in the soak, and of steps.
 */
static bool something_to_ask(const struct plan_builder *b, const struct planned_service *services,
                             const struct planned_step *steps)
{
    const struct manifest *m = b->input->manifest;
    bool healthchecks =
        (m->release.gate.soak_us > 0 && rolls(b, services, m->n_before)) || may_migrate(b, steps);
    for (size_t i = 0; i < m->stack->n_services; i++) {
        bool stays = strcmp(services[i].action, "none") == 0;
        if (services[i].live && (has_check(b, services[i].service->key) ||
                                 (stays && healthchecks && services[i].service->has_healthcheck)))
            return true;
    }
    return false;
}

static bool wanted(const struct plan_builder *b, const struct planned_service *services,
                   const struct planned_step *steps)
{
    return b->input->manifest->release.gate.baseline_samples > 0 && something_to_ask(b, services, steps);
}

void plan_baseline(struct plan_builder *b, const struct planned_service *services,
                   const struct planned_step *steps)
{
    if (!wanted(b, services, steps) || (!rolls(b, services, 0) && !may_migrate(b, steps))) {
        plan_baseline_remember(b);
        return;
    }
    struct step *row =
        builder_step(b, STEP_BASELINE, step_name(b), json_pack("{s:o}", "known", known_checks(b, services)));
    row->fingerprint = fingerprint(b);
}

void plan_baseline_remember(struct plan_builder *b)
{
    if (b->input->manifest->release.n_checks == 0)
        return;
    struct step *row = builder_step(b, STEP_BASELINE, step_name(b), json_object());
    row->fingerprint = fingerprint(b);
    row->state = STEP_SKIPPED;
}

void plan_compare(struct plan_builder *b, const struct planned_service *services,
                  const struct planned_step *steps)
{
    if (wanted(b, services, steps) && may_migrate(b, steps))
        builder_step(b, STEP_COMPARE, step_name(b), json_object());
}

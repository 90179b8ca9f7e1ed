/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/speed.h"

#include <string.h>

#include "agent/log.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "steps/baseline.h"
#include "steps/gate.h"
#include "steps/persist.h"

/* ---- what the last success has kept ---- */

/* Successes without a change are passed over; there is no end of them where nobody changes the stack. */
enum { LOOK_BACK = 100 };

static const struct step *find(const struct step *steps, size_t n, const char *kind)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(steps[i].kind, kind) == 0)
            return &steps[i];
    return NULL;
}

static bool rolled(const struct step *steps, size_t n)
{
    return find(steps, n, STEP_ROLL) || find(steps, n, STEP_BEFORE);
}

/* Steps of the newest success that rolled a service; *ret_n 0: there is none. */
static int last_rollout(struct step_ctx *ctx, struct step **ret, size_t *ret_n, struct error *err)
{
    enum deployment_state succeeded = DEPLOYMENT_SUCCEEDED;
    struct deployment_filter filter = {.stack = ctx->stack->name, .state = &succeeded, .limit = LOOK_BACK};
    struct deployment *list;
    size_t n;
    *ret_n = 0;
    if (PERSIST(journal_deployments(ctx->journal, ctx->arena, &filter, &list, &n, err), err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (PERSIST(journal_steps(ctx->journal, ctx->arena, list[i].id, ret, ret_n, err), err) < 0)
            return -1;
        if (rolled(*ret, *ret_n))
            return 0;
    }
    *ret_n = 0;
    return 0;
}

json_t *speed_earlier(struct step_ctx *ctx, const char *own_prints)
{
    struct step *steps;
    size_t n;
    struct error ignored = {0};
    json_t *earlier = json_object();
    if (!own_prints || last_rollout(ctx, &steps, &n, &ignored) < 0)
        return earlier;
    const struct step *soak = find(steps, n, STEP_SOAK), *asked = find(steps, n, STEP_BASELINE);
    cleanup_json json_t *kept = soak && soak->progress ? json_loads(soak->progress, 0, NULL) : NULL;
    for (size_t i = 0; asked && asked->fingerprint && strlen(own_prints) >= BASELINE_PRINT_LEN; i++) {
        cleanup_arena struct arena arena = {0};
        int place = baseline_place(own_prints, asked->fingerprint);
        const char *there = arena_printf(&arena, BASELINE_CHECK_KEY, (size_t)place);
        json_t *ms = place < 0 ? NULL : json_object_get(json_path(kept, "speed", there, NULL), "ms");
        if (ms)
            json_object_set(earlier, arena_printf(&arena, BASELINE_CHECK_KEY, i), ms);
        own_prints += BASELINE_PRINT_LEN;
        own_prints += *own_prints == ' ';
    }
    return earlier;
}

/* ---- what this one has seen ---- */

static json_t *entry_of(struct step_ctx *ctx, const char *service, const struct probe *probe)
{
    const struct latencies *was = &probe->latency_before, *now = &probe->latency;
    json_t *entry = json_pack("{s:s, s:s, s:o, s:i, s:i}", "check", probe->label, "service", service, "ms",
                              latency_json(now), "median_ms", (int)latency_median_ms(now), "samples",
                              (int)latency_samples(now));
    bool slower = latency_slower(was, &probe->latency_just_before, now);
    if (latency_samples(was) > 0) {
        json_object_set_new(entry, "before_ms", json_integer(latency_median_ms(was)));
        json_object_set_new(entry, "before_samples", json_integer(latency_samples(was)));
    }
    json_object_set_new(entry, "slower", json_boolean(slower));
    if (slower) {
        const char *words = latency_words(ctx->arena, probe->label, was, now);
        json_object_set_new(entry, "words", json_string(words));
        log_warning("%s", words);
    }
    return entry;
}

static void note(struct step_ctx *ctx, const char *service, const struct prober *prober, json_t *all)
{
    for (size_t i = 0; i < prober->n; i++)
        if (latency_samples(&prober->items[i].latency) > 0)
            json_object_set_new(all, prober->items[i].key, entry_of(ctx, service, &prober->items[i]));
}

int speed_keep(struct step_ctx *ctx, const struct step *step, const struct watches *others, struct error *err)
{
    cleanup_json json_t *progress = json_pack("{s:{}}", "speed");
    json_t *all = json_object_get(progress, "speed");
    for (size_t i = 0; i < ctx->n_gates; i++)
        note(ctx, gate_service(ctx->gates[i]), gate_prober(ctx->gates[i]), all);
    for (size_t i = 0; i < others->n; i++)
        note(ctx, others->items[i].service->key, others->items[i].prober, all);
    if (json_object_size(all) == 0)
        return 0;
    return step_save_progress(ctx, step, progress, err);
}

const char *speed_words(struct step_ctx *ctx)
{
    struct step *steps;
    size_t n;
    struct error ignored = {0};
    cleanup_str struct str text = {0};
    const char *key;
    json_t *entry;
    if (PERSIST(journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, &ignored),
                &ignored) < 0)
        return "";
    const struct step *soak = find(steps, n, STEP_SOAK);
    cleanup_json json_t *progress = soak && soak->progress ? json_loads(soak->progress, 0, NULL) : NULL;
    json_object_foreach (json_object_get(progress, "speed"), key, entry) {
        if (json_is_true(json_object_get(entry, "slower")))
            str_printf(&text, "; %s", json_path_string(entry, "words", NULL));
    }
    return arena_strdup(ctx->arena, str_text(&text));
}

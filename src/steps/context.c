/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "agent/log.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "agent/step.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "steps/hint.h"
#include "steps/lease.h"
#include "steps/persist.h"

static const int64_t relay_timeout_us = 60 * US_PER_S;
/* The journal is asked for a cancel request this often; agentd's signal makes it sooner. */
static const int64_t cancel_interval_us = US_PER_S;
static const int64_t journal_retry_us = 2 * US_PER_S;

static bool cancel_requested(struct step_ctx *ctx)
{
    static int64_t next_us;
    static bool cancelled;
    if (cancelled || mono_us() < next_us)
        return cancelled;
    next_us = mono_us() + cancel_interval_us;
    cleanup_arena struct arena arena = {0};
    struct deployment now = {0};
    struct error ignored = {0};
    bool found = false;
    if (journal_deployment(ctx->journal, &arena, ctx->deployment->id, &now, &found, &ignored) == 0 && found)
        cancelled = now.cancel_requested;
    return cancelled;
}

enum stop_reason step_stop_reason(struct step_ctx *ctx)
{
    proc_alive();
    if (proc_stop_requested())
        return STOP_SHUTDOWN;
    if (ctx->lease && lease_is_lost(ctx->lease, NULL))
        return STOP_LEASE;
    return !ctx->ignore_cancel && cancel_requested(ctx) ? STOP_CANCEL : STOP_NONE;
}

int step_should_stop(struct step_ctx *ctx, struct error *err)
{
    switch (step_stop_reason(ctx)) {
    case STOP_SHUTDOWN:
        return error_set(err, ERR_CANCELLED, STOP_SHUTDOWN, "stopped by a signal; to be resumed");
    case STOP_CANCEL:
        return error_set(err, ERR_CANCELLED, STOP_CANCEL, STEP_CANCELLED_TEXT);
    case STOP_LEASE:
        (void)lease_is_lost(ctx->lease, err);
        return -1;
    case STOP_NONE:
        break;
    }
    return 0;
}

void step_waiting(struct step_ctx *ctx, const char *format, ...)
{
    struct error ignored = {0};
    const char *text = NULL;
    cleanup_arena struct arena arena = {0};
    if (format) {
        va_list ap;
        va_start(ap, format);
        text = arena_vprintf(&arena, format, ap);
        va_end(ap);
    }
    if (str_eq(text, ctx->waiting))
        return;
    ctx->waiting = arena_strdup(ctx->arena, text);
    hint(json_pack("{s:o}", "waiting", hint_text(text)));
    if (journal_set_waiting(ctx->journal, ctx->stack->name, text, &ignored) < 0) {
        log_debug("%s", ignored.text);
        ctx->waiting = ""; /* what is on record is not known: the next call writes */
    }
}

void step_pause(struct step_ctx *ctx, int64_t us)
{
    int64_t until = mono_us() + us;
    for (int64_t left; (left = until - mono_us()) > 0 && step_stop_reason(ctx) == STOP_NONE;)
        sleep_us(left < 500000 ? left : 500000);
}

void step_sleep(int64_t us)
{
    int64_t until = mono_us() + us;
    for (int64_t left; (left = until - mono_us()) > 0 && !proc_stop_requested();) {
        proc_alive();
        sleep_us(left < 500000 ? left : 500000);
    }
}

bool persist_again(struct persist *state, struct error *err)
{
    if (err->kind != ERR_UNAVAILABLE)
        return false;
    if (!state->told)
        log_error("the journal cannot be used, so the deployment stands still: %s", err->text);
    state->told = true;
    step_sleep(journal_retry_us);
    if (!proc_stop_requested())
        return true;
    (void)error_set(err, ERR_CANCELLED, STOP_SHUTDOWN,
                    "stopped by a signal while the journal could not be used; to be resumed");
    return false;
}

/* The networks that checks need: of the plan's relay step, else (a rollback has none) of the manifest's
 * checked services and its database. */
static json_t *planned_networks(struct step_ctx *ctx)
{
    struct step *steps;
    size_t n;
    struct error ignored = {0};
    if (!ctx->deployment ||
        journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, &ignored) < 0)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        cleanup_json json_t *params =
            strcmp(steps[i].kind, STEP_RELAY) == 0 ? json_loads(steps[i].params, 0, NULL) : NULL;
        if (params)
            return json_incref(json_object_get(params, "networks"));
    }
    return NULL;
}

static void add_networks(json_t *names, const struct manifest *manifest, const char *key)
{
    const struct stack_service *service = stack_service(manifest->stack, key);
    size_t j;
    const json_t *attachment;
    json_array_foreach (json_path(service->spec, "TaskTemplate", "Networks", NULL), j, attachment) {
        if (json_path_string(attachment, "Target", NULL))
            json_array_append(names, json_object_get(attachment, "Target"));
    }
}

static json_t *networks_of_manifest(const struct manifest *manifest)
{
    json_t *names = json_array();
    for (size_t i = 0; manifest && i < manifest->release.n_checks; i++)
        if (check_asks_task(&manifest->release.checks[i]))
            add_networks(names, manifest, manifest->release.checks[i].service);
    if (manifest && manifest->release.database_service)
        add_networks(names, manifest, manifest->release.database_service);
    return names;
}

static const char **relay_networks(struct step_ctx *ctx)
{
    cleanup_json json_t *list = planned_networks(ctx);
    if (!list)
        list = networks_of_manifest(ctx->manifest);
    const char **names = arena_array(ctx->arena, json_array_size(list) + 1, sizeof *names);
    size_t n = 0, i;
    const json_t *item;
    json_array_foreach (list, i, item) {
        bool repeated = false;
        for (size_t k = 0; k < n; k++)
            repeated |= str_eq(names[k], json_string_value(item));
        if (!repeated)
            names[n++] = arena_strdup(ctx->arena, json_string_value(item));
    }
    return names;
}

int step_save_progress(struct step_ctx *ctx, const struct step *step, const json_t *progress,
                       struct error *err)
{
    cleanup_free char *text = json_dumps(progress, JSON_COMPACT);
    return PERSIST(journal_step_progress(ctx->journal, step->deployment, step->seq, text, err), err);
}

int step_relay(struct step_ctx *ctx, struct relay **ret, struct error *err)
{
    if (!ctx->relay) {
        const char **networks = relay_networks(ctx);
        if (!networks[0])
            return error_set(err, ERR_INTERNAL, 0, "no network is known for the relay");
        if (relay_ensure(ctx->docker, ctx->stack->name, networks, relay_timeout_us, ctx->config->run_dir,
                         &ctx->relay, err) < 0)
            return error_wrap(err, "the relay into the stack's networks");
    }
    *ret = ctx->relay;
    return 0;
}

int step_task_socket(struct step_ctx *ctx, const json_t *task, unsigned port, const char **ret,
                     struct error *err)
{
    struct relay *relay;
    size_t i;
    const json_t *attachment;
    if (step_relay(ctx, &relay, err) < 0)
        return -1;
    json_array_foreach (json_object_get(task, "NetworksAttachments"), i, attachment) {
        const char *network = json_path_string(attachment, "Network", "ID", NULL);
        const char *address = network ? task_address(ctx->arena, task, network) : NULL;
        if (address && relay_on_network(relay, network))
            return relay_target(relay, address, port, ret, err);
    }
    return error_set(err, ERR_FAILED, 0, "task %.12s has no address on a network of the relay",
                     json_path_string(task, "ID", NULL));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/send.h"

#include <inttypes.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/* For an engine that answers, but with nothing than 500. */
const int64_t send_patience_us = 600 * US_PER_S;
static const int64_t retry_us = US_PER_S;
/* How often the engine may contradict itself ("name conflicts" beside "no such service") before it is
 * believed. */
enum { MAX_CONTRADICTIONS = 10 };

const char *send_label(struct step_ctx *ctx)
{
    return arena_printf(ctx->arena, "%s/%" PRId64, ctx->host_id, ctx->deployment->id);
}

bool send_is_transient(const struct error *err)
{
    return err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT;
}

/* Without the engine nothing can be done, neither on nor back: an absence is waited out, however long. */
int send_wait(struct step_ctx *ctx, int64_t *since_us, struct error *err)
{
    bool answered = err->code >= 500 && err->code != 503;
    if (!send_is_transient(err))
        return -1;
    if (!answered || *since_us == 0)
        *since_us = mono_us();
    if (mono_us() - *since_us > send_patience_us)
        return -1;
    if (answered && ctx->deadline_us && mono_us() >= ctx->deadline_us)
        return error_wrap(err, "the rollout took longer than total_deadline");
    step_waiting(ctx, "the engine %s: %s", answered ? "cannot do it now" : "does not answer", err->text);
    step_pause(ctx, retry_us);
    return step_should_stop(ctx, err);
}

int send_read_service(struct step_ctx *ctx, const char *id_or_name, json_t **ret, struct error *err)
{
    for (int64_t since = 0;;) {
        if (docker_service(ctx->docker, id_or_name, ret, err) == 0) {
            step_waiting(ctx, NULL);
            return 0;
        }
        if (send_wait(ctx, &since, err) < 0)
            return -1;
    }
}

int send_read_tasks(struct step_ctx *ctx, const char *service_id, json_t **ret, struct error *err)
{
    for (int64_t since = 0;;) {
        if (docker_tasks(ctx->docker, service_id, false, ret, err) == 0) {
            step_waiting(ctx, NULL);
            return 0;
        }
        if (send_wait(ctx, &since, err) < 0)
            return -1;
    }
}

/* ---- the body ---- */

static int fill_ids(json_t *list, const char *name_member, const char *id_member, const char *word,
                    struct docker *docker,
                    int (*get)(struct docker *, const char *, json_t **, struct error *), struct error *err)
{
    size_t i;
    json_t *reference;
    json_array_foreach (list, i, reference) {
        cleanup_json json_t *object = NULL;
        const char *name = json_path_string(reference, name_member, NULL);
        if (!name)
            return error_set(err, ERR_INTERNAL, 0, "a %s reference without a name", word);
        if (get(docker, name, &object, err) < 0)
            return error_wrap(err, "%s %s", word, name);
        json_object_set(reference, id_member, json_object_get(object, "ID"));
    }
    return 0;
}

/* A credential spec names a config; the engine wants its ID, which stands among the config references by now.
 */
static int fill_credential_spec(json_t *container, struct error *err)
{
    json_t *spec = json_object_get(
        json_object_get(json_object_get(container, "Privileges"), "CredentialSpec"), "Config");
    const char *name = json_string_value(spec);
    size_t i;
    const json_t *reference;
    if (!name || !*name)
        return 0;
    json_array_foreach (json_object_get(container, "Configs"), i, reference) {
        if (str_eq(json_path_string(reference, "ConfigName", NULL), name))
            return json_object_set(
                json_object_get(json_object_get(container, "Privileges"), "CredentialSpec"), "Config",
                json_object_get(reference, "ConfigID"));
    }
    return error_set(err, ERR_INTERNAL, 0,
                     "the credential spec's config %s is not among the service's configs", name);
}

int send_body(struct step_ctx *ctx, const json_t *spec, const json_t *live, json_t **ret, struct error *err)
{
    cleanup_json json_t *body = json_deep_copy(spec);
    json_t *labels = json_object_get(body, "Labels"), *task = json_object_get(body, "TaskTemplate");
    json_t *container = json_object_get(task, "ContainerSpec");
    if (!labels) {
        labels = json_object();
        json_object_set_new(body, "Labels", labels);
    }
    /* facts of this deployment stand on the service alone: on the container spec they would restart its tasks
     */
    json_object_set_new(labels, LABEL_DEPLOYMENT, json_string(send_label(ctx)));
    json_object_set_new(labels, LABEL_COMMIT, json_string(ctx->deployment->commit));
    json_object_set_new(task, "ForceUpdate",
                        json_integer(json_path_integer(json_path(live, "Spec", NULL), 0, "TaskTemplate",
                                                       "ForceUpdate", NULL)));
    if (fill_ids(json_object_get(container, "Secrets"), "SecretName", "SecretID", "secret", ctx->docker,
                 docker_secret, err) < 0 ||
        fill_ids(json_object_get(container, "Configs"), "ConfigName", "ConfigID", "config", ctx->docker,
                 docker_config, err) < 0 ||
        fill_credential_spec(container, err) < 0)
        return -1;
    *ret = TAKE(body);
    return 0;
}

static const char *image_of(const json_t *spec)
{
    return json_path_string(spec, "TaskTemplate", "ContainerSpec", "Image", NULL);
}

static void log_warnings(const char *service, const struct str *warnings)
{
    if (warnings->len)
        log_warning("the engine says of service %s: %s", service, str_text(warnings));
}

/* ---- create ---- */

int send_create(struct step_ctx *ctx, const json_t *spec, const char **ret_id, struct error *err)
{
    const char *name = json_path_string(spec, "Name", NULL);
    unsigned contradictions = 0;
    for (int64_t since = 0;;) {
        cleanup_json json_t *live = NULL, *body = NULL;
        cleanup_free char *id = NULL;
        cleanup_str struct str warnings = {0};
        if (docker_service(ctx->docker, name, &live, err) == 0) {
            if (!str_eq(spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT), send_label(ctx)))
                return error_set(err, ERR_CONFLICT, 0,
                                 "a service named %s was made by someone else meanwhile", name);
            *ret_id = arena_strdup(ctx->arena, json_path_string(live, "ID", NULL));
            return 0;
        }
        if (err->kind == ERR_NOT_FOUND) {
            if (send_body(ctx, spec, NULL, &body, err) == 0 &&
                docker_service_create(ctx->docker, body, image_of(body), &id, &warnings, err) == 0) {
                fault_point("service.created");
                log_warnings(name, &warnings);
                *ret_id = arena_strdup(ctx->arena, id);
                step_waiting(ctx, NULL);
                return 0;
            }
            /* a request that was cut off, or a dead worker's last one, was carried out between our two
             * questions */
            if (err->kind == ERR_CONFLICT && contradictions++ < MAX_CONTRADICTIONS) {
                step_sleep(retry_us / 5);
                continue;
            }
        }
        /* cut off after sending: the next look tells whether it was made */
        if (send_wait(ctx, &since, err) < 0)
            return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "creating service %s", name);
    }
}

/* ---- update ---- */

/* Does the live service have what is to be sent? By our label; a body without our labels is compared whole.
 */
static bool in_effect(struct step_ctx *ctx, const struct send_update *update, const json_t *live_spec)
{
    if (update->labels)
        return str_eq(spec_label(live_spec, LABEL_DEPLOYMENT), send_label(ctx));
    return json_equal(live_spec, update->spec);
}

static int send_once(struct step_ctx *ctx, const struct send_update *update, const json_t *live,
                     uint64_t index, struct error *err)
{
    cleanup_json json_t *body = NULL;
    cleanup_str struct str warnings = {0};
    if (update->labels) {
        if (send_body(ctx, update->spec, live, &body, err) < 0)
            return -1;
    } else {
        body = json_deep_copy(update->spec);
    }
    if (docker_service_update(ctx->docker, update->id, index, body, image_of(body), &warnings, err) < 0)
        return -1;
    log_warnings(update->service, &warnings);
    return 0;
}

int send_update(struct step_ctx *ctx, const struct send_update *update, struct error *err)
{
    uint64_t refused = 0;
    for (int64_t since = 0;;) {
        cleanup_json json_t *live = NULL;
        if (docker_service(ctx->docker, update->id, &live, err) == 0) {
            const json_t *spec = json_object_get(live, "Spec");
            uint64_t index = (uint64_t)json_path_integer(live, 0, "Version", "Index", NULL);
            step_waiting(ctx, NULL);
            if (in_effect(ctx, update, spec))
                return 0;
            if (update->expected && !json_equal(spec, update->expected))
                return error_set(err, ERR_CONFLICT, SEND_FOREIGN,
                                 "service %s was changed by someone else since the plan was made; that "
                                 "change was left alone",
                                 update->service);
            if (send_once(ctx, update, live, index, err) == 0) {
                fault_point("service.updated");
                return 0;
            }
            /* the index moves by itself, too: read again, and send only if the spec is still the same */
            if (err->kind == ERR_CONFLICT && index != refused) {
                refused = index;
                continue;
            }
        }
        if (send_wait(ctx, &since, err) < 0)
            return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "updating service %s", update->service);
    }
}

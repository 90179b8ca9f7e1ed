/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "steps/kinds.h"
#include "steps/send.h"

/*
 * Networks, secrets and configs: made when missing, recognised by their name when a crash, or a connection
 * that broke, came between. Each try looks first.
 */

static int ensure_network(struct step_ctx *ctx, const struct step *step, const json_t *params,
                          struct error *err)
{
    cleanup_json json_t *live = NULL;
    cleanup_free char *id = NULL;
    if (docker_network(ctx->docker, step->name, &live, err) == 0) {
        const char *owner = json_path_string(live, "Labels", LABEL_NAMESPACE, NULL);
        if (str_eq(owner, ctx->stack->name))
            return 0;
        return error_set(err, ERR_CONFLICT, 0, "a network named %s exists and does not belong to this stack",
                         step->name);
    }
    if (err->kind != ERR_NOT_FOUND)
        return error_wrap(err, "network %s", step->name);
    fault_point("network.create");
    if (docker_network_create(ctx->docker, json_object_get(params, "body"), &id, err) < 0)
        return error_wrap(err, "creating network %s", step->name);
    return 0;
}

static int run_network(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
                       bool *ret_allowed, struct error *err)
{
    (void)resumed;
    (void)ret_allowed;
    for (int64_t since = 0; ensure_network(ctx, step, params, err) < 0;)
        if (send_wait(ctx, &since, err) < 0)
            return -1;
    step_waiting(ctx, NULL);
    return 0;
}

/* What secrets and configs differ in: the calls. */
struct blob_calls {
    const char *word;
    int (*get)(struct docker *, const char *, json_t **, struct error *);
    int (*create)(struct docker *, const json_t *, char **, struct error *);
    int (*update)(struct docker *, const char *, uint64_t, const json_t *, struct error *);
};

static const struct blob_calls secret_calls = {"secret", docker_secret, docker_secret_create,
                                               docker_secret_update};
static const struct blob_calls config_calls = {"config", docker_config, docker_config_create,
                                               docker_config_update};

static const struct stack_blob *find_blob(const struct stack_blob *blobs, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(blobs[i].key, key))
            return &blobs[i];
    return NULL;
}

/* The content is not in the journal: it is read from the commit again. */
static json_t *blob_body(const struct stack_blob *blob, const char *name, const char *content)
{
    json_t *body = json_deep_copy(blob->body), *labels = json_object_get(body, "Labels");
    if (!labels) {
        labels = json_object();
        json_object_set_new(body, "Labels", labels);
    }
    json_object_set_new(body, "Name", json_string(name));
    json_object_set_new(labels, LABEL_CONTENT, json_string(content));
    return body;
}

static int adopt(struct step_ctx *ctx, const struct blob_calls *calls, const json_t *live, const json_t *body,
                 const char *name, struct error *err)
{
    uint64_t version = (uint64_t)json_path_integer(live, 0, "Version", "Index", NULL);
    if (calls->update(ctx->docker, json_path_string(live, "ID", NULL), version, body, err) == 0)
        return 0;
    if (strstr(err->text, "only updates to Labels are allowed"))
        return error_set(
            err, ERR_CONFLICT, 0,
            "%s %s exists with other content and was not made by this agent; remove it or give the %s of the "
            "stack file another name",
            calls->word, name, calls->word);
    return error_wrap(err, "adopting %s %s", calls->word, name);
}

static int ensure_blob(struct step_ctx *ctx, const struct blob_calls *calls, const struct stack_blob *blob,
                       const struct step *step, const json_t *params, struct error *err)
{
    const char *content = json_path_string(params, "content", NULL);
    cleanup_json json_t *live = NULL, *body = NULL;
    cleanup_free char *id = NULL;
    if (!blob || !blob->body)
        return error_set(err, ERR_INTERNAL, 0, "%s %s is not in the stack file of this commit", calls->word,
                         step->name);
    body = blob_body(blob, step->name, content);
    if (calls->get(ctx->docker, step->name, &live, err) == 0) {
        if (json_equal(json_path(live, "Spec", "Labels", NULL), json_object_get(body, "Labels")))
            return 0;
        return adopt(ctx, calls, live, body, step->name, err);
    }
    if (err->kind != ERR_NOT_FOUND)
        return error_wrap(err, "%s %s", calls->word, step->name);
    fault_point("blob.create");
    if (calls->create(ctx->docker, body, &id, err) < 0)
        return error_wrap(err, "creating %s %s", calls->word, step->name);
    return 0;
}

static int run_blob(struct step_ctx *ctx, const struct blob_calls *calls, const struct stack_blob *blob,
                    const struct step *step, const json_t *params, struct error *err)
{
    for (int64_t since = 0; ensure_blob(ctx, calls, blob, step, params, err) < 0;)
        if (send_wait(ctx, &since, err) < 0)
            return -1;
    step_waiting(ctx, NULL);
    return 0;
}

static int run_secret(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
                      bool *ret_allowed, struct error *err)
{
    (void)resumed;
    (void)ret_allowed;
    const struct stack *stack = ctx->manifest->stack;
    return run_blob(ctx, &secret_calls,
                    find_blob(stack->secrets, stack->n_secrets, json_path_string(params, "key", NULL)), step,
                    params, err);
}

static int run_config(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
                      bool *ret_allowed, struct error *err)
{
    (void)resumed;
    (void)ret_allowed;
    const struct stack *stack = ctx->manifest->stack;
    return run_blob(ctx, &config_calls,
                    find_blob(stack->configs, stack->n_configs, json_path_string(params, "key", NULL)), step,
                    params, err);
}

const struct step_kind step_kind_network = {.name = "network",
                                            .sentence = "putting network %s in place",
                                            .on_resume = RESUME_PROBE,
                                            .run = run_network};
const struct step_kind step_kind_secret = {
    .name = "secret", .sentence = "putting secret %s in place", .on_resume = RESUME_PROBE, .run = run_secret};
const struct step_kind step_kind_config = {
    .name = "config", .sentence = "putting config %s in place", .on_resume = RESUME_PROBE, .run = run_config};

/* SPDX-License-Identifier: Apache-2.0 */
/* Services, networks, secrets, configs, tasks, nodes, containers: one function per endpoint. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "docker/client.h"

/* ---- reading ---- */

static int list(struct docker *docker, enum endpoint endpoint, const char *label, json_t **ret,
                struct error *err)
{
    struct call call = {.endpoint = endpoint};
    call_filter(&call, "label", label);
    return docker_send_json(docker, &call, JSON_ARRAY, ret, err);
}

static int inspect(struct docker *docker, enum endpoint endpoint, const char *id_or_name, json_t **ret,
                   struct error *err)
{
    struct call call = {.endpoint = endpoint, .object = id_or_name};
    cleanup_json json_t *object = NULL;
    if (docker_send_json(docker, &call, JSON_OBJECT, &object, err) < 0)
        return -1;
    if (!is_object_named(object, id_or_name))
        return error_set(err, ERR_NOT_FOUND, 404, "%s %s: not found (the engine gave one whose ID begins so)",
                         endpoints[endpoint].doing, id_or_name);
    *ret = TAKE(object);
    return 0;
}

int docker_services(struct docker *docker, const char *label, json_t **ret, struct error *err)
{
    return list(docker, EP_SERVICES, label, ret, err);
}

int docker_service(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err)
{
    return inspect(docker, EP_SERVICE, id_or_name, ret, err);
}

int docker_networks(struct docker *docker, const char *label, json_t **ret, struct error *err)
{
    return list(docker, EP_NETWORKS, label, ret, err);
}

int docker_network(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err)
{
    return inspect(docker, EP_NETWORK, id_or_name, ret, err);
}

int docker_secrets(struct docker *docker, const char *label, json_t **ret, struct error *err)
{
    return list(docker, EP_SECRETS, label, ret, err);
}

int docker_secret(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err)
{
    return inspect(docker, EP_SECRET, id_or_name, ret, err);
}

int docker_configs(struct docker *docker, const char *label, json_t **ret, struct error *err)
{
    return list(docker, EP_CONFIGS, label, ret, err);
}

int docker_config(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err)
{
    return inspect(docker, EP_CONFIG, id_or_name, ret, err);
}

int docker_nodes(struct docker *docker, json_t **ret, struct error *err)
{
    return list(docker, EP_NODES, NULL, ret, err);
}

int docker_container(struct docker *docker, const char *id, json_t **ret, struct error *err)
{
    struct call call = {.endpoint = EP_CONTAINER, .object = id};
    return docker_send_json(docker, &call, JSON_OBJECT, ret, err);
}

int docker_tasks(struct docker *docker, const char *service_id, bool up_to_date, json_t **ret,
                 struct error *err)
{
    cleanup_json json_t *filters = json_pack("{s:[s]}", "service", service_id);
    if (up_to_date)
        json_object_set_new(filters, "_up-to-date", json_pack("[s]", "true"));
    cleanup_free char *text = filters ? json_dumps(filters, JSON_COMPACT) : NULL;
    if (!text)
        return error_set(err, ERR_INVALID, 0, "listing tasks: the service's ID is not text");
    struct call call = {.endpoint = EP_TASKS};
    call_query(&call, "filters", text);
    return docker_send_json(docker, &call, JSON_ARRAY, ret, err);
}

int docker_tasks_labelled(struct docker *docker, const char *label, json_t **ret, struct error *err)
{
    return list(docker, EP_TASKS, label, ret, err);
}

/* ---- writing ---- */

/* Sends `body` as JSON; the answer is an object. */
static int send_body(struct docker *docker, struct call *call, const json_t *body, json_t **ret,
                     struct error *err)
{
    size_t len;
    cleanup_free char *text = engine_json_encode(body, &len);
    call->body = text;
    call->body_len = len;
    call->about = json_string_value(json_object_get(body, "Name"));
    int r;
    if (ret)
        r = docker_send_json(docker, call, JSON_OBJECT, ret, err);
    else
        r = docker_send(docker, call, NULL, err);
    explicit_bzero(text, len); /* secrets and environments */
    return r;
}

static int create(struct docker *docker, struct call *call, const json_t *body, json_t **ret_answer,
                  char **ret_id, struct error *err)
{
    cleanup_json json_t *answer = NULL;
    if (send_body(docker, call, body, &answer, err) < 0)
        return -1;
    const char *id = json_string_value(json_object_get(answer, "ID"));
    if (!id)
        id = json_string_value(json_object_get(answer, "Id"));
    if (!id) {
        error_set(err, ERR_UNAVAILABLE, 0, "%s: the engine's answer has no ID",
                  endpoints[call->endpoint].doing);
        return -1;
    }
    char *copy = strdup(id);
    if (!copy)
        abort();
    if (ret_answer)
        *ret_answer = TAKE(answer);
    *ret_id = copy;
    return 0;
}

static int update(struct docker *docker, enum endpoint endpoint, const char *id, uint64_t version,
                  const json_t *body, struct error *err)
{
    struct call call = {.endpoint = endpoint, .object = id};
    char index[24];
    snprintf(index, sizeof index, "%llu", (unsigned long long)version);
    call_query(&call, "version", index);
    return send_body(docker, &call, body, NULL, err);
}

static int remove_object(struct docker *docker, enum endpoint endpoint, const char *id, struct error *err)
{
    struct call call = {.endpoint = endpoint, .object = id};
    return docker_send(docker, &call, NULL, err);
}

int docker_network_create(struct docker *docker, const json_t *body, char **ret_id, struct error *err)
{
    if (docker_negotiate(docker, err) < 0)
        return -1;
    /* CheckDuplicate is gone since API 1.44, where duplicates are always refused. */
    cleanup_json json_t *own = json_copy((json_t *)(uintptr_t)body);
    if (docker_api_at_least(docker, 44))
        json_object_del(own, "CheckDuplicate");
    struct call call = {.endpoint = EP_NETWORK_CREATE};
    return create(docker, &call, own, NULL, ret_id, err);
}

int docker_secret_create(struct docker *docker, const json_t *body, char **ret_id, struct error *err)
{
    struct call call = {.endpoint = EP_SECRET_CREATE};
    return create(docker, &call, body, NULL, ret_id, err);
}

int docker_config_create(struct docker *docker, const json_t *body, char **ret_id, struct error *err)
{
    struct call call = {.endpoint = EP_CONFIG_CREATE};
    return create(docker, &call, body, NULL, ret_id, err);
}

int docker_secret_update(struct docker *docker, const char *id, uint64_t version, const json_t *body,
                         struct error *err)
{
    return update(docker, EP_SECRET_UPDATE, id, version, body, err);
}

int docker_config_update(struct docker *docker, const char *id, uint64_t version, const json_t *body,
                         struct error *err)
{
    return update(docker, EP_CONFIG_UPDATE, id, version, body, err);
}

int docker_secret_remove(struct docker *docker, const char *id, struct error *err)
{
    return remove_object(docker, EP_SECRET_REMOVE, id, err);
}

int docker_config_remove(struct docker *docker, const char *id, struct error *err)
{
    return remove_object(docker, EP_CONFIG_REMOVE, id, err);
}

int docker_service_remove(struct docker *docker, const char *id, struct error *err)
{
    return remove_object(docker, EP_SERVICE_REMOVE, id, err);
}

int docker_image_remove(struct docker *docker, const char *name, struct error *err)
{
    return remove_object(docker, EP_IMAGE_REMOVE, name, err);
}

/* "Warnings": a list; creation before API 1.44: also "Warning", one text. */
static void append_warnings(const json_t *answer, struct str *warnings)
{
    if (!warnings)
        return;
    const char *one = json_string_value(json_object_get(answer, "Warning"));
    if (one && one[0])
        str_printf(warnings, "%s\n", one);
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(answer, "Warnings"), i, item) {
        const char *text = json_string_value(item);
        if (text && text[0])
            str_printf(warnings, "%s\n", text);
    }
}

int docker_service_create(struct docker *docker, const json_t *spec, const char *image, char **ret_id,
                          struct str *warnings, struct error *err)
{
    struct call call = {.endpoint = EP_SERVICE_CREATE, .image = image};
    cleanup_json json_t *answer = NULL;
    if (create(docker, &call, spec, &answer, ret_id, err) < 0)
        return -1;
    append_warnings(answer, warnings);
    return 0;
}

int docker_service_update(struct docker *docker, const char *id, uint64_t version, const json_t *spec,
                          const char *image, struct str *warnings, struct error *err)
{
    struct call call = {.endpoint = EP_SERVICE_UPDATE, .object = id, .image = image};
    char index[24];
    snprintf(index, sizeof index, "%llu", (unsigned long long)version);
    call_query(&call, "version", index);
    cleanup_json json_t *answer = NULL;
    if (send_body(docker, &call, spec, &answer, err) < 0)
        return -1;
    append_warnings(answer, warnings);
    return 0;
}

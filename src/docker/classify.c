/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "docker/client.h"

struct phrase {
    const char *text;
    enum error_kind kind;
};

static const struct phrase *find_phrase(const struct phrase *table, size_t n, const char *message)
{
    for (size_t i = 0; i < n; i++)
        if (strcasestr(message, table[i].text))
            return &table[i];
    return NULL;
}

static enum error_kind kind_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return ERR_REFUSED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 408:
    case 429:
        return ERR_UNAVAILABLE;
    default:
        return status >= 500 && status != 501 ? ERR_UNAVAILABLE : ERR_INVALID;
    }
}

enum error_kind engine_error_kind(long status, const char *message)
{
    /* Swarm's refusals come with whatever status the engine made of a gRPC code, which changed over time
       (daemon/cluster and api/server/httpstatus of github.com/moby/moby), so the words decide. First match
       wins. */
    static const struct phrase phrases[] = {
        {"update out of sequence", ERR_CONFLICT},
        {"swarm does not have a leader", ERR_UNAVAILABLE},
        /* 503, also while the Swarm part of an engine is still starting */
        {"not a swarm manager", ERR_UNAVAILABLE},
        {"is in use by", ERR_CONFLICT}, /* InvalidArgument for secrets, FailedPrecondition for networks */
        {"has active endpoints", ERR_CONFLICT},            /* 403 */
        {"constraint expected one operator", ERR_INVALID}, /* code = Unknown */
        {"code = InvalidArgument", ERR_INVALID},
        {"code = Unimplemented", ERR_INVALID},
        {"code = OutOfRange", ERR_INVALID},
        {"code = AlreadyExists", ERR_CONFLICT},
        {"code = FailedPrecondition", ERR_CONFLICT},
        {"code = Aborted", ERR_CONFLICT},
        {"code = NotFound", ERR_NOT_FOUND},
        {"code = PermissionDenied", ERR_REFUSED},
        {"code = Unauthenticated", ERR_REFUSED},
        {"code = Unavailable", ERR_UNAVAILABLE},
        {"code = DeadlineExceeded", ERR_UNAVAILABLE},
        {"code = ResourceExhausted", ERR_UNAVAILABLE},
    };
    const struct phrase *hit = find_phrase(phrases, ARRAY_SIZE(phrases), message);
    if (hit)
        return hit->kind;
    size_t len = strlen(message);
    if (status == 500 && len > 10 && strcmp(message + len - 10, " not found") == 0)
        return ERR_NOT_FOUND; /* a service that names an unknown network */
    return kind_of_status(status);
}

enum error_kind registry_error_kind(long status, const char *message)
{
    /* Seen on engines 20.10 and 26.1 against docker-registry, or in the sources of github.com/distribution/
       distribution (registry/client/errors.go, registry/api/errcode). First match wins: network trouble
       before refusals before absence, since the texts quote each other. */
    static const struct phrase phrases[] = {
        {"toomanyrequests", ERR_UNAVAILABLE},
        {"too many requests", ERR_UNAVAILABLE},
        {"connection refused", ERR_UNAVAILABLE},
        {"connection reset", ERR_UNAVAILABLE},
        {"broken pipe", ERR_UNAVAILABLE},
        {"network is unreachable", ERR_UNAVAILABLE},
        {"no route to host", ERR_UNAVAILABLE},
        {"no such host", ERR_UNAVAILABLE},
        {"server misbehaving", ERR_UNAVAILABLE},
        {"i/o timeout", ERR_UNAVAILABLE},
        {"handshake timeout", ERR_UNAVAILABLE},
        {"deadline exceeded", ERR_UNAVAILABLE},
        {"Client.Timeout", ERR_UNAVAILABLE},
        {"request canceled", ERR_UNAVAILABLE},
        {"unexpected EOF", ERR_UNAVAILABLE},
        {"received unexpected HTTP status: 5", ERR_UNAVAILABLE},
        {"unexpected status code", ERR_UNAVAILABLE},
        {"unavailable: ", ERR_UNAVAILABLE},

        {"x509: ", ERR_REFUSED},
        {"server gave HTTP response to HTTPS client", ERR_REFUSED},
        {"no basic auth credentials", ERR_REFUSED},
        {"unauthorized", ERR_REFUSED},
        {"authentication required", ERR_REFUSED},
        {"incorrect username or password", ERR_REFUSED},
        {"denied", ERR_REFUSED}, /* also "pull access denied … repository does not exist or may require
                                    'docker login'" */
        {"403 Forbidden", ERR_REFUSED},

        {"no matching manifest for", ERR_INVALID}, /* not for this platform */
        {"invalid reference format", ERR_INVALID},

        {"manifest unknown", ERR_NOT_FOUND},
        {"name unknown", ERR_NOT_FOUND},
        {"not known to registry", ERR_NOT_FOUND},
        {"not found", ERR_NOT_FOUND},
    };
    const struct phrase *hit = find_phrase(phrases, ARRAY_SIZE(phrases), message);
    return hit ? hit->kind : kind_of_status(status);
}

bool docker_may_not_exist(const struct error *err)
{
    static const struct phrase phrases[] = {
        {"x509: ", ERR_REFUSED},
        {"authorization denied by plugin", ERR_REFUSED},
        {"unauthorized", ERR_REFUSED},
        {"denied", ERR_NOT_FOUND},
    };
    const struct phrase *hit = find_phrase(phrases, ARRAY_SIZE(phrases), err->text);
    return err->kind == ERR_REFUSED && hit && hit->kind == ERR_NOT_FOUND;
}

char *engine_error_text(struct arena *arena, long status, const char *body, size_t len)
{
    const char *message = NULL;
    size_t message_len = 0;
    cleanup_json json_t *value = body ? json_loadb(body, len, JSON_ALLOW_NUL, NULL) : NULL;
    json_t *text = json_object_get(value, "message");
    if (json_is_string(text)) {
        message = json_string_value(text);
        message_len = json_string_length(text);
    } else if (len > 0) {
        message = body; /* a proxy's page, perhaps: its first line is enough */
        const char *end = memchr(body, '\n', len);
        message_len = end ? (size_t)(end - body) : len;
    }
    while (message_len > 0 && strchr(" \r\n\t", message[message_len - 1]))
        message_len--;
    if (message_len == 0)
        return arena_printf(arena, "HTTP status %ld", status);
    return str_clean(arena, message, message_len, true, 2048);
}

bool is_object_named(const json_t *object, const char *id_or_name)
{
    static const char *const id_keys[] = {"ID", "Id"};
    for (size_t i = 0; i < ARRAY_SIZE(id_keys); i++) {
        const char *id = json_string_value(json_object_get(object, id_keys[i]));
        if (id && strcmp(id, id_or_name) == 0)
            return true;
    }
    const char *name = json_string_value(json_object_get(object, "Name"));
    if (!name)
        name = json_string_value(json_object_get(json_object_get(object, "Spec"), "Name"));
    return name && strcmp(name, id_or_name) == 0;
}

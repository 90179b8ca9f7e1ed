/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every request of this program to an engine, in one table. No other method, no other path is ever sent. */

#include <stddef.h>
#include <stdint.h>

enum endpoint {
    EP_PING,
    EP_INFO,
    EP_NODES,
    EP_NODE,
    EP_SERVICES,
    EP_SERVICE,
    EP_SERVICE_CREATE,
    EP_SERVICE_UPDATE,
    EP_SERVICE_REMOVE,
    EP_SERVICE_LOGS,
    EP_TASK_LOGS,
    EP_TASKS,
    EP_NETWORKS,
    EP_NETWORK,
    EP_NETWORK_CREATE,
    EP_SECRETS,
    EP_SECRET,
    EP_SECRET_CREATE,
    EP_SECRET_UPDATE,
    EP_SECRET_REMOVE,
    EP_CONFIGS,
    EP_CONFIG,
    EP_CONFIG_CREATE,
    EP_CONFIG_UPDATE,
    EP_CONFIG_REMOVE,
    EP_CONTAINER,
    EP_IMAGES,
    EP_IMAGE,
    EP_IMAGE_CREATE,
    EP_IMAGE_REMOVE,
    EP_DISTRIBUTION,
    EP_EXEC_CREATE,
    EP_EXEC_START,
    EP_COUNT,
};

enum endpoint_flags {
    EPF_NAME = 1,     /* {} may hold '/', as image names do */
    EPF_REGISTRY = 2, /* failures are the registry's: registry_error_kind() */
    EPF_RELAY = 4,    /* sent by relay_serve.c alone, on a connection of its own */
    EPF_EFFECT = 8,   /* changes the swarm: docker_set_guard() */
};

struct endpoint_info {
    const char *method;
    const char *path;  /* after /vX.Y; {} is the object */
    const char *doing; /* "reading service": begins error texts */
    int64_t timeout_us;
    size_t max_body;
    unsigned flags;
};

extern const struct endpoint_info endpoints[EP_COUNT];

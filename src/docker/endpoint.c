/* SPDX-License-Identifier: Apache-2.0 */
#include "docker/endpoint.h"

#include "base/clock.h"

#define READ     (30 * US_PER_S)
#define WRITE    (60 * US_PER_S)
#define REGISTRY (60 * US_PER_S) /* the engine asks a registry meanwhile */
#define LOGS     (600 * US_PER_S)

#define OBJECT ((size_t)8 << 20)
#define LIST   ((size_t)64 << 20)
#define STREAM ((size_t)0) /* read piece by piece; the reader keeps the bounds */

/* https://docs.docker.com/engine/api/v1.41/ */
const struct endpoint_info endpoints[EP_COUNT] = {
    [EP_PING] = {"HEAD", "/_ping", "asking for the API version", READ, OBJECT, 0},
    [EP_INFO] = {"GET", "/info", "reading the engine's state", READ, OBJECT, 0},
    [EP_NODES] = {"GET", "/nodes", "listing nodes", READ, LIST, 0},
    [EP_NODE] = {"GET", "/nodes/{}", "reading node", READ, OBJECT, 0},

    [EP_SERVICES] = {"GET", "/services", "listing services", READ, LIST, 0},
    [EP_SERVICE] = {"GET", "/services/{}", "reading service", READ, OBJECT, 0},
    [EP_SERVICE_CREATE] = {"POST", "/services/create", "creating service", WRITE, OBJECT, EPF_EFFECT},
    [EP_SERVICE_UPDATE] = {"POST", "/services/{}/update", "updating service", WRITE, OBJECT, EPF_EFFECT},
    [EP_SERVICE_REMOVE] = {"DELETE", "/services/{}", "removing service", WRITE, OBJECT, EPF_EFFECT},
    [EP_SERVICE_LOGS] = {"GET", "/services/{}/logs", "reading the log of service", LOGS, STREAM, 0},
    [EP_TASK_LOGS] = {"GET", "/tasks/{}/logs", "reading the log of task", LOGS, STREAM, 0},
    [EP_TASKS] = {"GET", "/tasks", "listing tasks", READ, LIST, 0},

    [EP_NETWORKS] = {"GET", "/networks", "listing networks", READ, LIST, 0},
    [EP_NETWORK] = {"GET", "/networks/{}", "reading network", READ, OBJECT, 0},
    [EP_NETWORK_CREATE] = {"POST", "/networks/create", "creating network", WRITE, OBJECT, EPF_EFFECT},

    [EP_SECRETS] = {"GET", "/secrets", "listing secrets", READ, LIST, 0},
    [EP_SECRET] = {"GET", "/secrets/{}", "reading secret", READ, OBJECT, 0},
    [EP_SECRET_CREATE] = {"POST", "/secrets/create", "creating secret", WRITE, OBJECT, EPF_EFFECT},
    [EP_SECRET_UPDATE] = {"POST", "/secrets/{}/update", "updating secret", WRITE, OBJECT, EPF_EFFECT},
    [EP_SECRET_REMOVE] = {"DELETE", "/secrets/{}", "removing secret", WRITE, OBJECT, EPF_EFFECT},

    [EP_CONFIGS] = {"GET", "/configs", "listing configs", READ, LIST, 0},
    [EP_CONFIG] = {"GET", "/configs/{}", "reading config", READ, OBJECT, 0},
    [EP_CONFIG_CREATE] = {"POST", "/configs/create", "creating config", WRITE, OBJECT, EPF_EFFECT},
    [EP_CONFIG_UPDATE] = {"POST", "/configs/{}/update", "updating config", WRITE, OBJECT, EPF_EFFECT},
    [EP_CONFIG_REMOVE] = {"DELETE", "/configs/{}", "removing config", WRITE, OBJECT, EPF_EFFECT},

    [EP_CONTAINER] = {"GET", "/containers/{}/json", "reading container", READ, OBJECT, 0},
    [EP_IMAGES] = {"GET", "/images/json", "listing images", READ, LIST, 0},
    [EP_IMAGE] = {"GET", "/images/{}/json", "reading image", READ, OBJECT, EPF_NAME},
    [EP_IMAGE_CREATE] = {"POST", "/images/create", "fetching image", WRITE, STREAM, EPF_REGISTRY},
    /* of this node alone, unforced: what a container uses stays */
    [EP_IMAGE_REMOVE] = {"DELETE", "/images/{}", "removing image", WRITE, OBJECT, EPF_NAME},
    [EP_DISTRIBUTION] = {"GET", "/distribution/{}/json", "asking the registry for", REGISTRY, OBJECT,
                         EPF_NAME | EPF_REGISTRY},

    [EP_EXEC_CREATE] = {"POST", "/containers/{}/exec", "opening a connection in relay", READ, OBJECT,
                        EPF_RELAY},
    [EP_EXEC_START] = {"POST", "/exec/{}/start", "opening connection", READ, OBJECT, EPF_RELAY},
};

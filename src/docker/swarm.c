/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/docker.h"

#include "base/cleanup.h"
#include "docker/client.h"

static const char *text_at(struct arena *arena, const json_t *object, const char *key)
{
    return arena_strdup(arena, json_string_value(json_object_get(object, key)));
}

int docker_swarm(struct docker *docker, struct arena *arena, struct swarm_info *ret, struct error *err)
{
    struct call call = {.endpoint = EP_INFO};
    cleanup_json json_t *info = NULL, *node = NULL;
    if (docker_send_json(docker, &call, JSON_OBJECT, &info, err) < 0)
        return -1;
    const json_t *swarm = json_object_get(info, "Swarm");
    struct swarm_info found = {
        .state = text_at(arena, swarm, "LocalNodeState"),
        .active = str_eq(json_string_value(json_object_get(swarm, "LocalNodeState")), "active"),
        .node_id = text_at(arena, swarm, "NodeID"),
        .node_name = text_at(arena, info, "Name"),
        .cluster_id = text_at(arena, json_object_get(swarm, "Cluster"), "ID"),
        .engine_version = text_at(arena, info, "ServerVersion"),
    };
    bool control = json_is_true(json_object_get(swarm, "ControlAvailable"));
    if (control && found.node_id && found.node_id[0]) {
        /* Without a leader this fails, as everything would: "The swarm does not have a leader". */
        struct call read_node = {.endpoint = EP_NODE, .object = found.node_id};
        if (docker_send_json(docker, &read_node, JSON_OBJECT, &node, err) < 0)
            return -1;
        const json_t *manager = json_object_get(node, "ManagerStatus");
        found.manager = str_eq(json_string_value(json_object_get(manager, "Reachability")), "reachable");
        found.leader = json_is_true(json_object_get(manager, "Leader"));
        found.availability = text_at(arena, json_object_get(node, "Spec"), "Availability");
    }
    *ret = found;
    return 0;
}

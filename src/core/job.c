/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "core/job_parts.h"

/* Members of the service's ContainerSpec that make the job see the world as the service does. */
static const char *const container_members[] = {
    "Image",          "Command",    "Env",      "Dir",       "User",       "Groups",          "Mounts",
    "Secrets",        "Configs",    "Hosts",    "DNSConfig", "Sysctls",    "Ulimits",         "CapabilityAdd",
    "CapabilityDrop", "Privileges", "ReadOnly", "Init",      "StopSignal", "StopGracePeriod",
};

static json_t *container(const json_t *service, const char *const *command)
{
    json_t *spec = json_object(), *args = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(container_members); i++) {
        json_t *member = json_object_get(service, container_members[i]);
        if (member)
            json_object_set_new(spec, container_members[i], json_deep_copy(member));
    }
    for (size_t i = 0; command[i]; i++)
        json_array_append_new(args, json_string(command[i]));
    json_object_set_new(spec, "Args", args);
    /* a job whose image has a HEALTHCHECK is killed while it is unhealthy */
    json_object_set_new(spec, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
    return spec;
}

json_t *job_networks(const json_t *service_networks)
{
    json_t *list = json_array();
    const json_t *attachment;
    size_t i;
    json_array_foreach (service_networks, i, attachment) {
        json_t *copy = json_object();
        json_object_set(copy, "Target", json_object_get(attachment, "Target"));
        if (json_object_get(attachment, "DriverOpts"))
            json_object_set(copy, "DriverOpts", json_object_get(attachment, "DriverOpts"));
        json_array_append_new(list, copy);
    }
    return list;
}

static json_t *placement(const json_t *service)
{
    json_t *copy = json_object();
    static const char *const members[] = {"Constraints", "Platforms"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (json_object_get(service, members[i]))
            json_object_set_new(copy, members[i], json_deep_copy(json_object_get(service, members[i])));
    return copy;
}

/* Not in mode replicated-job, which Swarm may run again, and several times at once: docs/decisions/0005. */
json_t *job_body(const char *name, json_t *container, json_t *resources, json_t *placement, json_t *networks)
{
    return json_pack("{s:s, s:{}, s:{s:o, s:o, s:{s:s}, s:o, s:o, s:{s:s}, s:i}, s:{s:{s:i}}, s:{s:s}}",
                     "Name", name, "Labels", "TaskTemplate", "ContainerSpec", container, "Resources",
                     resources, "RestartPolicy", "Condition", "none", "Placement", placement, "Networks",
                     networks, "LogDriver", "Name", "json-file", "ForceUpdate", 0, "Mode", "Replicated",
                     "Replicas", 1, "EndpointSpec", "Mode", "dnsrr");
}

json_t *job_spec(const json_t *service_spec, const char *name, const char *const *command)
{
    const json_t *task = json_object_get(service_spec, "TaskTemplate");
    const json_t *limits = json_path(task, "Resources", "Limits", NULL);
    /* reservations would keep the job pending beside the service that holds them */
    json_t *resources = json_object();
    if (limits)
        json_object_set_new(resources, "Limits", json_deep_copy(limits));
    return job_body(name, container(json_object_get(task, "ContainerSpec"), command), resources,
                    placement(json_object_get(task, "Placement")),
                    job_networks(json_object_get(task, "Networks")));
}

char *job_name(struct arena *arena, const char *stack, const char *step, const char *commit,
               enum job_purpose purpose)
{
    static const char *const words[] = {
        [JOB_COMMAND] = "mig", [JOB_CHECK] = "chk", [JOB_BACKUP] = "bak", [JOB_HEALTH] = "hlt"};
    enum { LABEL_MAX = 63, SUFFIX = 13 /* _ and 12 digits */, HASH = 9 };
    char *head = arena_printf(arena, "%s_%s_%s", stack, words[purpose], step);
    if (strlen(head) > LABEL_MAX - SUFFIX) {
        char hex[SHA256_HEX_SIZE];
        sha256_hex(head, strlen(head), hex);
        head = arena_printf(arena, "%.*s_%.8s", LABEL_MAX - SUFFIX - HASH, head, hex);
    }
    return arena_printf(arena, "%s_%.12s", head, commit);
}

const char *job_application_name(struct arena *arena, const char *stack, const char *step)
{
    return arena_printf(arena, "deploy-agent/%s/%s", stack, step);
}

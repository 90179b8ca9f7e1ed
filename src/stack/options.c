/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "schema.h"

/* Options of a service that a Swarm has no place for: refused, or left out with a warning (4.4). */

static const struct {
    const char *name, *hint;
} forbidden[] = {
    {"cpu_quota", "Set resource limits using deploy.resources"},
    {"cpu_shares", "Set resource limits using deploy.resources"},
    {"cpuset", "Set resource limits using deploy.resources"},
    {"extends", "Support for `extends` is not implemented yet."},
    {"mem_limit", "Set resource limits using deploy.resources"},
    {"memswap_limit", "Set resource limits using deploy.resources"},
    {"volume_driver",
     "Instead of setting the volume driver on the service, define a volume using the top-level "
     "`volumes` option and specify the driver there."},
    {"volumes_from",
     "To share a volume between services, define it using the top-level `volumes` option and "
     "reference it from each service that shares it using the service-level `volumes` option."},
};

/* the last three are ignored by the oracle without a word */
static const char *const ignored[] = {
    "build",   "cgroup_parent", "cgroupns_mode", "devices",      "domainname",    "external_links",
    "ipc",     "links",         "mac_address",   "network_mode", "pid",           "privileged",
    "restart", "security_opt",  "shm_size",      "userns_mode",  "oom_score_adj", "tmpfs",
};

static const struct {
    const char *name, *hint;
} deprecated[] = {
    {"container_name", "Setting the container name is not supported."},
    {"expose",
     "Exposing ports is unnecessary - services on the same network can access each other's containers on "
     "any port."},
};

void schema_check_forbidden(struct report *report, const struct node *root)
{
    const struct node *services = node_get(root, "services");
    if (!services || services->type != NODE_MAP)
        return;
    for (size_t i = 0; i < services->map.n; i++) {
        const struct node *service = services->map.pairs[i].value;
        if (service->type != NODE_MAP)
            continue;
        const struct path top = {.key = "services"}, path = {&top, services->map.pairs[i].key, 0};
        for (size_t k = 0; k < service->map.n; k++)
            for (size_t f = 0; f < ARRAY_SIZE(forbidden); f++)
                if (str_eq(service->map.pairs[k].key, forbidden[f].name)) {
                    struct place place = {service->file, service->map.pairs[k].line,
                                          service->map.pairs[k].column};
                    /* the path of an unknown key, so that the schema does not say it again */
                    report_place(report, place, &path, "unsupported option %s: %s", forbidden[f].name,
                                 forbidden[f].hint);
                }
    }
}

/* ---- warnings: one line per option, naming the services that have it ---- */

static bool is_effective_restart(const struct node *service)
{
    const struct node *deploy = node_get(service, "deploy");
    return !node_get(deploy, "restart_policy");
}

static void names_with(struct str *names, const struct node *const *roots, size_t n_roots, const char *key)
{
    enum { FEW = 5 };
    size_t found = 0;
    for (size_t r = 0; r < n_roots; r++) {
        const struct node *services = node_get(roots[r], "services");
        for (size_t i = 0; services && services->type == NODE_MAP && i < services->map.n; i++) {
            const struct node *service = services->map.pairs[i].value;
            if (!node_get(service, key) || (str_eq(key, "restart") && is_effective_restart(service)))
                continue;
            if (found++ < FEW)
                str_printf(names, "%s%s", found > 1 ? ", " : "", services->map.pairs[i].key);
        }
    }
    if (found > FEW)
        str_printf(names, " and %zu more", found - FEW);
}

static void warn_addresses(struct report *report, const struct node *root)
{
    static const char *const keys[] = {"ipv4_address", "ipv6_address"};
    const struct node *services = node_get(root, "services");
    for (size_t i = 0; services && services->type == NODE_MAP && i < services->map.n; i++) {
        const struct node *networks = node_get(services->map.pairs[i].value, "networks");
        for (size_t n = 0; networks && networks->type == NODE_MAP && n < networks->map.n; n++)
            for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
                if (node_get(networks->map.pairs[n].value, keys[k]))
                    report_warning(report,
                                   "Ignoring unsupported options: %s: a Swarm service has no fixed address "
                                   "(services: %s)",
                                   keys[k], services->map.pairs[i].key);
    }
}

void schema_warn(struct report *report, const struct node *const *roots, size_t n_roots)
{
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        cleanup_str struct str names = {0};
        names_with(&names, roots, n_roots, ignored[i]);
        if (names.len)
            report_warning(report, "Ignoring unsupported options: %s%s (services: %s)", ignored[i],
                           str_eq(ignored[i], "restart") ? " beside deploy.restart_policy" : "",
                           str_text(&names));
    }
    for (size_t i = 0; i < ARRAY_SIZE(deprecated); i++) {
        cleanup_str struct str names = {0};
        names_with(&names, roots, n_roots, deprecated[i].name);
        if (names.len)
            report_warning(report, "Ignoring deprecated options: %s: %s (services: %s)", deprecated[i].name,
                           deprecated[i].hint, str_text(&names));
    }
    for (size_t i = 0; i < n_roots; i++)
        warn_addresses(report, roots[i]);
}

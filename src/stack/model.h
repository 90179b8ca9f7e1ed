/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A decoded Compose file, before and after merging. "given" tells an absent value from an empty one where
 * the two mean different things; `at` says where a refusal belongs. Zeroed is
 * "nothing given". Everything lives in one arena.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/node.h"

struct texts {
    const char **items;
    size_t n;
    bool given;
};

struct pair {
    const char *key, *value; /* value NULL: a variable without one */
};

struct pairs { /* by key, each once */
    struct pair *items;
    size_t n;
    bool given;
};

struct maybe_uint {
    bool given;
    uint64_t value;
};

struct maybe_int {
    bool given;
    int64_t value;
};

struct maybe_bool {
    bool given, value;
};

/* ---- parts of a service ---- */

struct port {
    const char *mode, *protocol;
    uint32_t target, published;
};

struct mount {
    const struct node *at;
    size_t index; /* in the file, for messages */
    const char *type, *source, *target, *consistency;
    bool read_only;
    struct {
        bool given;
        const char *propagation;
    } bind;
    struct {
        bool given, nocopy;
        const char *subpath;
    } volume;
    struct {
        bool given;
        int64_t size;
    } tmpfs;
};

struct file_reference { /* a config or secret of a service */
    const struct node *at;
    size_t index;
    const char *source, *target, *uid, *gid;
    struct maybe_uint mode;
};

struct network_use {
    const struct node *at;
    const char *name;
    bool settings; /* written as a mapping, not as a name or null */
    struct texts aliases;
    struct pairs driver_opts;
    const char *ipv4, *ipv6;
};

struct ulimit {
    const char *name;
    int64_t single, soft, hard;
};

struct logging {
    bool given;
    const char *driver;
    struct pairs options;
};

struct healthcheck {
    bool given, disable;
    const struct node *at;
    struct texts test;
    struct maybe_int interval, timeout, start_period, start_interval;
    struct maybe_uint retries;
};

struct credential_spec {
    const struct node *at;
    const char *config, *file, *registry;
};

/* ---- deploy ---- */

struct update_config {
    bool given;
    struct maybe_uint parallelism;
    int64_t delay, monitor;
    const char *failure_action, *order;
    float max_failure_ratio;
};

struct generic_resource {
    bool given;
    const char *kind;
    int64_t value;
};

struct resource {
    bool given;
    const struct node *cpus_at;
    const char *cpus;
    int64_t memory, pids;
    struct generic_resource *generic;
    size_t n_generic;
};

struct restart_policy {
    bool given;
    const char *condition;
    struct maybe_int delay, window;
    struct maybe_uint max_attempts;
};

struct placement {
    struct texts constraints, preferences;
    uint64_t max_replicas;
};

struct deploy {
    const struct node *at, *mode_at;
    const char *mode, *endpoint_mode;
    struct maybe_uint replicas;
    struct pairs labels;
    struct update_config update, rollback;
    struct resource limits, reservations;
    struct restart_policy restart;
    struct placement placement;
};

struct service {
    const char *key;
    const struct node *at, *image_at, *restart_at;
    const char *image, *hostname, *working_dir, *user, *stop_signal, *isolation, *restart;
    struct texts command, entrypoint, cap_add, cap_drop, dns, dns_search, extra_hosts, depends_on;
    struct pairs environment, labels, sysctls;
    struct maybe_bool init;
    bool tty, stdin_open, read_only;
    struct maybe_int stop_grace_period;
    struct port *ports;
    size_t n_ports;
    bool ports_given;
    struct mount *mounts;
    size_t n_mounts;
    bool mounts_given;
    struct file_reference *configs, *secrets;
    size_t n_configs, n_secrets;
    bool configs_given, secrets_given;
    struct network_use *networks;
    size_t n_networks;
    struct ulimit *ulimits;
    size_t n_ulimits;
    struct logging logging;
    struct healthcheck healthcheck;
    struct credential_spec credential_spec;
    struct deploy deploy;
};

/* ---- top-level objects ---- */

struct object { /* a network, volume, config or secret */
    const char *key;
    const struct node *at;
    const char *name, *driver, *file, *template_driver;
    const struct node *file_at;
    struct pairs driver_opts, labels;
    bool external, internal, attachable;
    bool ipam_given;
    const char *ipam_driver;
    struct texts subnets;
};

struct objects { /* by key, each once */
    struct object *items;
    size_t n;
};

struct project {
    struct service *services; /* in file order */
    size_t n_services;
    struct objects networks, volumes, configs, secrets;
};

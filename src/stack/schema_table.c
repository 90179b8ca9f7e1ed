/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "schema.h"

/*
 * Read from bottom to top: the file is the last rule. A number at the end of a row is the minor version
 * that brought the key, two are the first and the last version in which the row counts.
 */

#define FIELDS(array) .fields = (array), .n_fields = ARRAY_SIZE(array)

/* ---- small shapes ---- */

static const struct rule any = {T_ANY, .must = "a value"};
static const struct rule string = {T_STRING, .must = "a string"};
static const struct rule integer = {T_INTEGER, .must = "a integer"};
static const struct rule number = {T_NUMBER, .must = "a number"};
static const struct rule boolean = {T_BOOLEAN, .must = "a boolean, true or false"};
static const struct rule duration = {T_STRING, .must = "a string such as 1m30s", .duration = true};
static const struct rule string_or_null = {T_STRING | T_NULL, .must = "a string or null"};
static const struct rule string_or_number = {T_STRING | T_NUMBER, .must = "a string or number"};
static const struct rule number_or_string = {T_STRING | T_NUMBER, .must = "a number or string"};
static const struct rule integer_or_string = {T_STRING | T_INTEGER, .must = "a integer or string"};
static const struct rule option = {T_STRING | T_NUMBER, .must = "a string or number", .timestamps = true};
static const struct rule option_or_null = {T_STRING | T_NUMBER | T_NULL, .must = "a string, number or null",
                                           .timestamps = true};
static const struct rule strings = {T_LIST, .must = "a list of strings", .item = &string};
static const struct rule unique_strings = {T_LIST, .must = "a list of strings", .item = &string,
                                           .unique = true};
static const struct rule string_or_strings = {T_STRING | T_LIST, .must = "a string or a list of strings",
                                              .item = &string};
static const struct rule string_or_unique = {T_STRING | T_LIST, .must = "a string or a list of strings",
                                             .item = &string, .unique = true};
static const struct rule string_map = {T_MAP | T_LIST,     .must = "a mapping or a list of KEY=VALUE",
                                       .item = &string,    .unique = true,
                                       .names = NAMES_ANY, .other = &option_or_null};
static const struct rule options = {T_MAP, .must = "a mapping", .names = NAMES_ANY, .other = &option,
                                    .open = true};
static const struct rule options_or_null = {T_MAP, .must = "a mapping", .names = NAMES_ANY,
                                            .other = &option_or_null, .open = true};

/* ---- a service ---- */

static const struct field build_fields[] = {
    {"context", &string, 0, 0},    {"dockerfile", &string, 0, 0},          {"args", &string_map, 0, 0},
    {"labels", &string_map, 3, 0}, {"cache_from", &unique_strings, 2, 0},  {"network", &string, 4, 0},
    {"target", &string, 4, 0},     {"shm_size", &integer_or_string, 5, 0}, {"extra_hosts", &string_map, 9, 0},
};
static const struct rule build_closed = {T_STRING | T_MAP, .must = "a string or a mapping",
                                         FIELDS(build_fields)};
static const struct rule build = {T_STRING | T_MAP, .must = "a string or a mapping", FIELDS(build_fields),
                                  .open = true};

static const struct field file_reference_fields[] = {
    {"source", &string, 0, 0}, {"target", &string, 0, 0}, {"uid", &string, 0, 0},
    {"gid", &string, 0, 0},    {"mode", &number, 0, 0},
};
static const struct rule file_reference = {T_STRING | T_MAP, .must = "a string or a mapping",
                                           FIELDS(file_reference_fields), .open = true};
static const struct rule file_references = {T_LIST, .must = "a list", .item = &file_reference};

static const struct field credential_fields[] = {
    {"config", &string, 8, 0}, {"file", &string, 0, 0}, {"registry", &string, 0, 0}};
static const struct rule credential_spec = {T_MAP, .must = "a mapping", FIELDS(credential_fields)};

static const struct field healthcheck_fields[] = {
    {"disable", &boolean, 0, 0},  {"interval", &string, 0, 3},        {"interval", &duration, 4, 0},
    {"retries", &number, 0, 0},   {"test", &string_or_strings, 0, 0}, {"timeout", &string, 0, 3},
    {"timeout", &duration, 4, 0}, {"start_period", &duration, 4, 0},  {"start_interval", &duration, 12, 0},
};
static const struct rule healthcheck = {T_MAP, .must = "a mapping", FIELDS(healthcheck_fields)};

static const struct field logging_fields[] = {{"driver", &string, 0, 0}, {"options", &options_or_null, 0, 0}};
static const struct rule logging = {T_MAP, .must = "a mapping", FIELDS(logging_fields)};

static const struct field network_use_fields[] = {
    {"aliases", &unique_strings, 0, 0},
    {"driver_opts", &options, 13, 0},
    {"ipv4_address", &string, 0, 0},
    {"ipv6_address", &string, 0, 0},
};
static const struct rule network_use = {T_MAP | T_NULL, .must = "a mapping or null",
                                        FIELDS(network_use_fields)};
static const struct rule network_uses = {T_LIST | T_MAP,        .must = "a list of names or a mapping",
                                         .item = &string,       .unique = true,
                                         .names = NAMES_OBJECT, .other = &network_use};

static const struct field port_fields[] = {{"mode", &string, 0, 0},
                                           {"target", &integer, 0, 0},
                                           {"published", &integer, 0, 0},
                                           {"protocol", &string, 0, 0}};
static const struct rule short_ports = {T_LIST, .must = "a list", .item = &string_or_number, .unique = true};
static const struct rule port = {T_STRING | T_NUMBER | T_MAP, .must = "a number, a string or a mapping",
                                 FIELDS(port_fields)};
static const struct rule ports = {T_LIST, .must = "a list", .item = &port, .unique = true};

static const struct field ulimit_fields[] = {{"hard", &integer, 0, 0}, {"soft", &integer, 0, 0}};
static const struct rule ulimit = {T_INTEGER | T_MAP, .must = "a integer or a mapping of soft and hard",
                                   FIELDS(ulimit_fields), .required = {"soft", "hard"}};
static const struct rule ulimits = {T_MAP, .must = "a mapping", .names = NAMES_LOWER, .other = &ulimit,
                                    .open = true};

static const struct rule expose = {T_LIST, .must = "a list", .item = &string_or_number, .unique = true};

/* ---- volumes of a service ---- */

static const struct rule size = {T_INTEGER, .must = "a integer", .not_negative = true};
static const struct field bind_fields[] = {{"propagation", &string, 0, 0}};
/* subpath is in no schema, but read all the same */
static const struct field nocopy_fields[] = {{"nocopy", &boolean, 0, 0}, {"subpath", &string_or_null, 0, 0}};
static const struct field tmpfs_fields[] = {{"size", &size, 0, 0}};
static const struct rule bind_options = {T_MAP, .must = "a mapping", FIELDS(bind_fields), .open = true};
static const struct rule volume_options = {T_MAP, .must = "a mapping", FIELDS(nocopy_fields), .open = true};
static const struct rule tmpfs_options = {T_MAP, .must = "a mapping", FIELDS(tmpfs_fields), .open = true};
static const struct field mount_fields[] = {
    {"type", &string, 0, 0},           {"source", &string, 0, 0},       {"target", &string, 0, 0},
    {"read_only", &boolean, 0, 0},     {"consistency", &string, 0, 0},  {"bind", &bind_options, 0, 0},
    {"volume", &volume_options, 0, 0}, {"tmpfs", &tmpfs_options, 6, 0},
};
static const struct rule mount = {T_STRING | T_MAP, .must = "a string or a mapping", FIELDS(mount_fields),
                                  .required = {"type"}};
static const struct rule mounts = {T_LIST, .must = "a list", .item = &mount};

/* ---- deploy ---- */

static const char *const order_words[] = {"start-first", "stop-first"};
static const struct rule order = {T_STRING, .must = "a string", .words = order_words,
                                  .n_words = ARRAY_SIZE(order_words)};
static const struct field update_fields[] = {
    {"parallelism", &integer, 0, 0}, {"delay", &duration, 0, 0},           {"failure_action", &string, 0, 0},
    {"monitor", &duration, 0, 0},    {"max_failure_ratio", &number, 0, 0}, {"order", &order, 4, 0},
};
static const struct rule update_config = {T_MAP, .must = "a mapping", FIELDS(update_fields)};

static const struct field discrete_fields[] = {{"kind", &string, 0, 0}, {"value", &number, 0, 0}};
static const struct rule discrete = {T_MAP, .must = "a mapping", FIELDS(discrete_fields)};
static const struct field generic_fields[] = {{"discrete_resource_spec", &discrete, 0, 0}};
static const struct rule generic = {T_MAP, .must = "a mapping", FIELDS(generic_fields)};
static const struct rule generics = {T_LIST, .must = "a list", .item = &generic};

static const struct rule cpus = {T_STRING, .must = "a string such as \"0.5\""};
static const struct rule memory = {T_STRING, .must = "a string such as 512M"};
static const struct field limits_fields[] = {
    {"cpus", &cpus, 0, 0}, {"memory", &memory, 0, 0}, {"pids", &integer, 9, 0}};
static const struct field reservations_fields[] = {
    {"cpus", &cpus, 0, 0}, {"memory", &memory, 0, 0}, {"generic_resources", &generics, 5, 0}};
static const struct rule limits = {T_MAP, .must = "a mapping", FIELDS(limits_fields)};
static const struct rule reservations = {T_MAP, .must = "a mapping", FIELDS(reservations_fields)};
static const struct field resources_fields[] = {{"limits", &limits, 0, 0},
                                                {"reservations", &reservations, 0, 0}};
static const struct rule resources = {T_MAP, .must = "a mapping", FIELDS(resources_fields)};

static const struct field restart_fields[] = {{"condition", &string, 0, 0},
                                              {"delay", &duration, 0, 0},
                                              {"max_attempts", &integer, 0, 0},
                                              {"window", &duration, 0, 0}};
static const struct rule restart_policy = {T_MAP, .must = "a mapping", FIELDS(restart_fields)};

static const struct field preference_fields[] = {{"spread", &string, 0, 0}};
static const struct rule preference = {T_MAP, .must = "a mapping", FIELDS(preference_fields)};
static const struct rule preferences = {T_LIST, .must = "a list", .item = &preference};
static const struct field placement_fields[] = {{"constraints", &strings, 0, 0},
                                                {"preferences", &preferences, 3, 0},
                                                {"max_replicas_per_node", &integer, 8, 0}};
static const struct rule placement = {T_MAP, .must = "a mapping", FIELDS(placement_fields)};

static const struct field deploy_fields[] = {
    {"mode", &string, 0, 0},
    {"endpoint_mode", &string, 2, 0},
    {"replicas", &integer, 0, 0},
    {"labels", &string_map, 0, 0},
    {"rollback_config", &update_config, 7, 0},
    {"update_config", &update_config, 0, 0},
    {"resources", &resources, 0, 0},
    {"restart_policy", &restart_policy, 0, 0},
    {"placement", &placement, 0, 0},
};
static const struct rule deploy = {T_MAP | T_NULL, .must = "a mapping or null", FIELDS(deploy_fields)};

static const struct field service_fields[] = {
    {"build", &build_closed, 0, 10},
    {"build", &build, 11, 0},
    {"cap_add", &unique_strings, 0, 0},
    {"cap_drop", &unique_strings, 0, 0},
    {"cgroup_parent", &string, 0, 0},
    {"cgroupns_mode", &string, 9, 0},
    {"command", &string_or_strings, 0, 0},
    {"configs", &file_references, 3, 0},
    {"container_name", &string, 0, 0},
    {"credential_spec", &credential_spec, 3, 0},
    {"depends_on", &unique_strings, 0, 0},
    {"deploy", &deploy, 0, 0},
    {"devices", &unique_strings, 0, 0},
    {"dns", &string_or_unique, 0, 0},
    {"dns_search", &string_or_unique, 0, 0},
    {"domainname", &string, 0, 0},
    {"entrypoint", &string_or_strings, 0, 0},
    {"env_file", &string_or_unique, 0, 0},
    {"environment", &string_map, 0, 0},
    {"expose", &expose, 0, 0},
    {"external_links", &unique_strings, 0, 0},
    {"extra_hosts", &string_map, 0, 0},
    {"healthcheck", &healthcheck, 0, 0},
    {"hostname", &string, 0, 0},
    {"image", &string, 0, 0},
    {"init", &boolean, 7, 0},
    {"ipc", &string, 0, 0},
    {"isolation", &string, 5, 0},
    {"labels", &string_map, 0, 0},
    {"links", &unique_strings, 0, 0},
    {"logging", &logging, 0, 0},
    {"mac_address", &string, 0, 0},
    {"network_mode", &string, 0, 0},
    {"networks", &network_uses, 0, 0},
    {"oom_score_adj", &integer, 13, 0},
    {"pid", &string_or_null, 0, 0},
    {"ports", &short_ports, 0, 1},
    {"ports", &ports, 2, 0},
    {"privileged", &boolean, 0, 0},
    {"read_only", &boolean, 0, 0},
    {"restart", &string, 0, 0},
    {"secrets", &file_references, 1, 0},
    {"security_opt", &unique_strings, 0, 0},
    {"shm_size", &number_or_string, 0, 0},
    {"stdin_open", &boolean, 0, 0},
    {"stop_grace_period", &duration, 0, 0},
    {"stop_signal", &string, 0, 0},
    {"sysctls", &string_map, 0, 0},
    {"tmpfs", &string_or_unique, 0, 0},
    {"tty", &boolean, 0, 0},
    {"ulimits", &ulimits, 0, 0},
    {"user", &string, 0, 0},
    {"userns_mode", &string, 0, 0},
    {"volumes", &unique_strings, 0, 1},
    {"volumes", &mounts, 2, 0},
    {"working_dir", &string, 0, 0},
};
static const struct rule service = {T_MAP, .must = "a mapping", FIELDS(service_fields), .x_since = 7};
static const struct rule services = {T_MAP, .must = "a mapping", .names = NAMES_OBJECT, .other = &service};

/* ---- top-level objects ---- */

static const struct field external_fields[] = {{"name", &string, 0, 0}};
static const struct rule external = {T_BOOLEAN | T_MAP, .must = "a boolean or mapping",
                                     FIELDS(external_fields)};
static const struct rule external_open = {T_BOOLEAN | T_MAP, .must = "a boolean or mapping",
                                          FIELDS(external_fields), .open = true};

static const struct field subnet_fields[] = {{"subnet", &string, 0, 0}};
static const struct rule subnet = {T_MAP, .must = "a mapping", FIELDS(subnet_fields)};
static const struct rule subnets = {T_LIST, .must = "a list", .item = &subnet};
static const struct field ipam_fields[] = {{"driver", &string, 0, 0}, {"config", &subnets, 0, 0}};
static const struct rule ipam = {T_MAP, .must = "a mapping", FIELDS(ipam_fields)};

static const struct field network_fields[] = {
    {"name", &string, 5, 0},        {"driver", &string, 0, 0},     {"driver_opts", &options, 0, 0},
    {"ipam", &ipam, 0, 0},          {"external", &external, 0, 0}, {"internal", &boolean, 0, 0},
    {"attachable", &boolean, 2, 0}, {"labels", &string_map, 0, 0},
};
static const struct rule network = {T_MAP | T_NULL, .must = "a mapping or null", FIELDS(network_fields),
                                    .x_since = 7};
/* The oracle's schema does not look at networks with unusual names; its decoder still wants these types. */
static const struct rule odd_network = {T_MAP | T_NULL, .must = "a mapping or null", FIELDS(network_fields),
                                        .open = true};
static const struct rule networks = {T_MAP, .must = "a mapping", .names = NAMES_OBJECT, .other = &network,
                                     .rest = &odd_network};

/* Of cluster volumes, which the oracle reads and then makes nothing of in a stack. */
static const struct field segments_fields[] = {{"segments", &string_map, 0, 0}};
static const struct rule segments = {T_MAP, .must = "a mapping", FIELDS(segments_fields), .open = true};
static const struct rule topologies = {T_LIST, .must = "a list", .item = &segments};
static const struct field accessibility_fields[] = {{"requisite", &topologies, 0, 0},
                                                    {"preferred", &topologies, 0, 0}};
static const struct rule accessibility = {T_MAP, .must = "a mapping", FIELDS(accessibility_fields),
                                          .open = true};
static const struct rule mapping = {T_MAP, .must = "a mapping", .open = true};
static const struct field mount_volume_fields[] = {{"fs_type", &string, 0, 0},
                                                   {"mount_flags", &strings, 0, 0}};
static const struct rule mount_volume = {T_MAP, .must = "a mapping", FIELDS(mount_volume_fields),
                                         .open = true};
static const struct field access_fields[] = {{"scope", &string, 0, 0},
                                             {"sharing", &string, 0, 0},
                                             {"block_volume", &mapping, 0, 0},
                                             {"mount_volume", &mount_volume, 0, 0}};
static const struct rule access_mode = {T_MAP, .must = "a mapping", FIELDS(access_fields), .open = true};
static const struct field capacity_fields[] = {{"required_bytes", &memory, 0, 0},
                                               {"limit_bytes", &memory, 0, 0}};
static const struct rule capacity_range = {T_MAP, .must = "a mapping", FIELDS(capacity_fields), .open = true};
static const struct field cluster_fields[] = {{"group", &string, 0, 0},
                                              {"access_mode", &access_mode, 0, 0},
                                              {"accessibility_requirements", &accessibility, 0, 0},
                                              {"capacity_range", &capacity_range, 0, 0},
                                              {"availability", &string, 0, 0}};
static const struct rule cluster_spec = {T_MAP, .must = "a mapping", FIELDS(cluster_fields), .open = true};
static const struct field volume_fields[] = {
    {"name", &string, 4, 0},       {"driver", &string, 0, 0},     {"driver_opts", &options, 0, 0},
    {"external", &external, 0, 0}, {"labels", &string_map, 0, 0}, {"x-cluster-spec", &cluster_spec, 10, 0},
};
static const struct rule volume = {T_MAP | T_NULL, .must = "a mapping or null", FIELDS(volume_fields),
                                   .x_since = 7};
static const struct rule volumes = {T_MAP, .must = "a mapping", .names = NAMES_OBJECT, .other = &volume};

static const struct field secret_fields[] = {
    {"name", &string, 5, 0},
    {"file", &string, 0, 0},
    {"external", &external_open, 0, 0},
    {"labels", &string_map, 0, 0},
    {"driver", &string, 8, 0},
    {"driver_opts", &options, 8, 0},
    {"template_driver", &string, 8, 0},
};
static const struct rule secret = {T_MAP, .must = "a mapping", FIELDS(secret_fields), .x_since = 7};
static const struct rule secrets = {T_MAP, .must = "a mapping", .names = NAMES_OBJECT, .other = &secret};

static const struct field config_fields[] = {
    {"name", &string, 5, 0},
    {"file", &string, 0, 0},
    {"external", &external_open, 0, 0},
    {"labels", &string_map, 0, 0},
    {"template_driver", &string, 8, 0},
};
static const struct rule config = {T_MAP, .must = "a mapping", FIELDS(config_fields), .x_since = 7};
static const struct rule configs = {T_MAP, .must = "a mapping", .names = NAMES_OBJECT, .other = &config};

/* ---- the file ---- */

static const struct field root_fields[] = {
    {"version", &any, 0, 0}, /* looked at before */
    {"services", &services, 0, 0}, {"networks", &networks, 0, 0}, {"volumes", &volumes, 0, 0},
    {"secrets", &secrets, 1, 0},   {"configs", &configs, 3, 0},
};
const struct rule schema_root = {T_MAP, .must = "a mapping", FIELDS(root_fields), .x_since = 4};

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "decode.h"
#include "scalar.h"
#include "syntax.h"

/* ---- commands ---- */

static struct texts get_command(struct decoder *d, const struct node *map, const char *key,
                                const struct path *path)
{
    const struct node *node = node_get(map, key);
    const char *problem;
    struct texts words = {0};
    if (!node || node->type != NODE_STRING)
        return get_texts(d, map, key);
    if (!shell_split(d->arena, node->string.text, &words, &problem))
        report_node(d->report, node, PATH_KEY(path, key), "%s", problem);
    return words;
}

static struct texts get_health_test(struct decoder *d, const struct node *map)
{
    const struct node *node = node_get(map, "test");
    if (!node || node->type != NODE_STRING)
        return get_texts(d, map, "test");
    struct texts test = {.given = true};
    texts_add(d->arena, &test, "CMD-SHELL");
    texts_add(d->arena, &test, node->string.text);
    return test;
}

static void decode_healthcheck(struct decoder *d, const struct node *node, const struct path *path,
                               struct healthcheck *ret)
{
    if (!node || node->type != NODE_MAP)
        return;
    *ret = (struct healthcheck){
        .given = true,
        .at = node,
        .disable = get_bool(node, "disable"),
        .test = get_health_test(d, node),
        .interval = get_duration(d, node, "interval", path),
        .timeout = get_duration(d, node, "timeout", path),
        .start_period = get_duration(d, node, "start_period", path),
        .start_interval = get_duration(d, node, "start_interval", path),
        .retries = get_uint(d, node, "retries", path),
    };
}

/* ---- extra_hosts: "HOST:ADDRESS" ---- */

static int by_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* The oracle prints numbers of the mapping form with a verb for strings; nobody wants that, but it is what it
 * sends. */
static const char *host_address(struct decoder *d, const struct node *value, const struct path *path)
{
    const char *text = scalar_text(d->arena, value);
    if (value->type == NODE_STRING || value->type == NODE_TIME || !text)
        return text;
    report_warning(d->report, "%s:%u:%u: %s: the address is a number; put it in quotes", value->file,
                   value->line, value->column, path_text(d->arena, path, false));
    const char *type = value->type == NODE_FLOAT ? "float64" : value->type == NODE_UINT ? "uint64" : "int";
    return arena_printf(d->arena, "%%!s(%s=%s)", type, text);
}

static struct texts get_hosts(struct decoder *d, const struct node *map, const struct path *path)
{
    struct texts hosts = {0};
    const struct node *node = node_get(map, "extra_hosts");
    if (!node)
        return hosts;
    hosts.given = true;
    for (size_t i = 0; node->type == NODE_MAP && i < node->map.n; i++) {
        const struct path here = {path, "extra_hosts", 0};
        const char *address =
            host_address(d, node->map.pairs[i].value, PATH_KEY(&here, node->map.pairs[i].key));
        if (address)
            texts_add(d->arena, &hosts, arena_printf(d->arena, "%s:%s", node->map.pairs[i].key, address));
    }
    if (node->type == NODE_MAP && hosts.n)
        qsort(hosts.items, hosts.n, sizeof *hosts.items, by_text);
    for (size_t i = 0; node->type == NODE_LIST && i < node->list.n; i++) {
        if (node->list.items[i]->type != NODE_STRING)
            continue;
        const char *text = node->list.items[i]->string.text, *cut = strchr(text, '=');
        if (!cut)
            cut = strchr(text, ':');
        if (cut)
            texts_add(d->arena, &hosts, arena_printf(d->arena, "%.*s:%s", (int)(cut - text), text, cut + 1));
        else
            report_warning(d->report, "extra_hosts: %s is ignored, it has no address", text);
    }
    return hosts;
}

/* ---- configs and secrets ---- */

static struct file_reference *get_references(struct decoder *d, const struct node *map, const char *key,
                                             const struct path *path, size_t *ret_count, bool *ret_given)
{
    const struct node *node = node_get(map, key);
    struct file_reference *list = NULL;
    const struct path here = {path, key, 0};
    *ret_given = node != NULL;
    for (size_t i = 0; node && node->type == NODE_LIST && i < node->list.n; i++) {
        const struct node *item = node->list.items[i];
        struct file_reference reference = {.at = item, .index = i};
        if (item->type == NODE_STRING) {
            reference.source = item->string.text;
        } else {
            reference.source = get_text(item, "source");
            reference.target = get_text(item, "target");
            reference.uid = get_text(item, "uid");
            reference.gid = get_text(item, "gid");
            reference.mode = get_uint(d, item, "mode", PATH_INDEX(&here, i));
        }
        reference.source = reference.source ? reference.source : "";
        list = arena_grow(d->arena, list, *ret_count, sizeof *list);
        list[(*ret_count)++] = reference;
    }
    return list;
}

/* ---- ulimits ---- */

static int by_name(const void *x, const void *y)
{
    return strcmp(((const struct ulimit *)x)->name, ((const struct ulimit *)y)->name);
}

static bool take_limit(struct decoder *d, const struct node *node, const struct path *path, int64_t *ret)
{
    if (node->type == NODE_INT) {
        *ret = node->integer;
        return true;
    }
    report_node(d->report, node, path, "invalid type %s for ulimits (an integer below 2^63)",
                node->type == NODE_FLOAT ? "float64" : node_type_name(node->type));
    return false;
}

static void decode_ulimits(struct decoder *d, const struct node *node, const struct path *path,
                           struct service *ret)
{
    for (size_t i = 0; node && node->type == NODE_MAP && i < node->map.n; i++) {
        const struct node *value = node->map.pairs[i].value;
        struct ulimit limit = {.name = node->map.pairs[i].key};
        const struct path here = {path, limit.name, 0};
        if (value->type == NODE_MAP) {
            const struct node *soft = node_get(value, "soft"), *hard = node_get(value, "hard");
            if (!soft || !hard) /* names that are not in lower case pass the schema */
                report_node(d->report, value, &here, "%s is required", soft ? "hard" : "soft");
            if (!soft || !hard || !take_limit(d, soft, PATH_KEY(&here, "soft"), &limit.soft) ||
                !take_limit(d, hard, PATH_KEY(&here, "hard"), &limit.hard))
                continue;
        } else if (!take_limit(d, value, &here, &limit.single)) {
            continue;
        }
        ret->ulimits = arena_grow(d->arena, ret->ulimits, ret->n_ulimits, sizeof limit);
        ret->ulimits[ret->n_ulimits++] = limit;
    }
    if (ret->n_ulimits)
        qsort(ret->ulimits, ret->n_ulimits, sizeof *ret->ulimits, by_name);
}

/* ---- the service ---- */

static void decode_logging(struct decoder *d, const struct node *node, struct logging *ret)
{
    if (node && node->type == NODE_MAP)
        *ret = (struct logging){true, get_text(node, "driver"), get_pairs(d, node, "options", false)};
}

/* Ignored, but the oracle's decoder is stricter than its schema. */
static void check_shm_size(struct decoder *d, const struct node *service, const struct path *path)
{
    const struct node *size = node_get(service, "shm_size");
    if (size && size->type != NODE_STRING)
        report_node(d->report, size, PATH_KEY(path, "shm_size"), "expected type 'string' (this is %s)",
                    node_article(size));
}

static void decode_texts(struct decoder *d, const struct node *node, const struct path *path,
                         struct service *s)
{
    s->image = get_text(node, "image");
    s->image_at = node_get(node, "image");
    s->hostname = get_text(node, "hostname");
    s->working_dir = get_text(node, "working_dir");
    s->user = get_text(node, "user");
    s->stop_signal = get_text(node, "stop_signal");
    s->isolation = get_text(node, "isolation");
    s->restart = get_text(node, "restart");
    s->restart_at = node_get(node, "restart");
    s->command = get_command(d, node, "command", path);
    s->entrypoint = get_command(d, node, "entrypoint", path);
    s->cap_add = get_texts(d, node, "cap_add");
    s->cap_drop = get_texts(d, node, "cap_drop");
    s->dns = get_texts(d, node, "dns");
    s->dns_search = get_texts(d, node, "dns_search");
    s->extra_hosts = get_hosts(d, node, path);
    s->depends_on = get_texts(d, node, "depends_on");
}

void decode_service(struct decoder *d, const struct node *node, const struct path *path, struct service *ret)
{
    const struct node *init = node_get(node, "init"), *credentials = node_get(node, "credential_spec");
    struct service s = {.key = path->key, .at = node};
    check_shm_size(d, node, path);
    decode_texts(d, node, path, &s);
    decode_environment(d, node, path, &s.environment);
    s.labels = get_pairs(d, node, "labels", false);
    s.sysctls = get_pairs(d, node, "sysctls", false);
    if (init && init->type == NODE_BOOL)
        s.init = (struct maybe_bool){true, init->boolean};
    s.tty = get_bool(node, "tty");
    s.stdin_open = get_bool(node, "stdin_open");
    s.read_only = get_bool(node, "read_only");
    s.stop_grace_period = get_duration(d, node, "stop_grace_period", path);
    decode_ports(d, node_get(node, "ports"), PATH_KEY(path, "ports"), &s);
    decode_mounts(d, node_get(node, "volumes"), PATH_KEY(path, "volumes"), &s);
    s.configs = get_references(d, node, "configs", path, &s.n_configs, &s.configs_given);
    s.secrets = get_references(d, node, "secrets", path, &s.n_secrets, &s.secrets_given);
    decode_networks(d, node_get(node, "networks"), PATH_KEY(path, "networks"), &s);
    decode_ulimits(d, node_get(node, "ulimits"), PATH_KEY(path, "ulimits"), &s);
    decode_logging(d, node_get(node, "logging"), &s.logging);
    decode_healthcheck(d, node_get(node, "healthcheck"), PATH_KEY(path, "healthcheck"), &s.healthcheck);
    if (credentials)
        s.credential_spec =
            (struct credential_spec){credentials, get_text(credentials, "config"),
                                     get_text(credentials, "file"), get_text(credentials, "registry")};
    decode_deploy(d, node_get(node, "deploy"), PATH_KEY(path, "deploy"), &s.deploy);
    *ret = s;
}

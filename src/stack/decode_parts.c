/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "decode.h"
#include "scalar.h"
#include "syntax.h"

/* ---- networks of a service ---- */

static void add_network(struct decoder *d, struct service *service, struct network_use use)
{
    service->networks = arena_grow(d->arena, service->networks, service->n_networks, sizeof use);
    service->networks[service->n_networks++] = use;
}

void decode_networks(struct decoder *d, const struct node *node, const struct path *path, struct service *ret)
{
    (void)path;
    for (size_t i = 0; node && node->type == NODE_LIST && i < node->list.n; i++)
        if (node->list.items[i]->type == NODE_STRING)
            add_network(
                d, ret,
                (struct network_use){.at = node->list.items[i], .name = node->list.items[i]->string.text});
    for (size_t i = 0; node && node->type == NODE_MAP && i < node->map.n; i++) {
        const struct node *value = node->map.pairs[i].value;
        struct network_use use = {.at = value, .name = node->map.pairs[i].key};
        if (value->type == NODE_MAP) {
            use.settings = true;
            use.aliases = get_texts(d, value, "aliases");
            use.driver_opts = get_pairs(d, value, "driver_opts", false);
            use.ipv4 = get_text(value, "ipv4_address");
            use.ipv6 = get_text(value, "ipv6_address");
        }
        add_network(d, ret, use);
    }
}

/* ---- ports ---- */

enum { MAX_PORTS = 20000 }; /* a range of a few bytes can stand for 65535 */

static void add_port(struct decoder *d, struct service *service, struct port port)
{
    service->ports = arena_grow(d->arena, service->ports, service->n_ports, sizeof port);
    service->ports[service->n_ports++] = port;
}

static void decode_short_port(struct decoder *d, const struct node *node, const struct path *path,
                              struct service *ret)
{
    const char *warning, *problem, *text = scalar_text(d->arena, node);
    struct port *ports;
    size_t n;
    if (!text)
        return;
    if (d->n_ports >= MAX_PORTS)
        return; /* said already */
    if (node->type == NODE_FLOAT || node->type == NODE_TIME) {
        report_node(d->report, node, path, "invalid type %s for port",
                    node->type == NODE_FLOAT ? "float64" : "time.Time");
        return;
    }
    if (!ports_parse(d->arena, text, &ports, &n, &warning, &problem)) {
        report_node(d->report, node, path, "Does not match format 'ports': %s ([HOST:]CONTAINER[/PROTOCOL])",
                    problem);
        return;
    }
    if (warning)
        report_warning(d->report, "%s: %s", path_text(d->arena, path, false), warning);
    if ((d->n_ports += n) > MAX_PORTS) {
        report_node(d->report, node, path, "too many ports (at most %d in all)", MAX_PORTS);
        d->n_ports = MAX_PORTS;
        return;
    }
    for (size_t i = 0; i < n; i++)
        add_port(d, ret, ports[i]);
}

void decode_ports(struct decoder *d, const struct node *node, const struct path *path, struct service *ret)
{
    ret->ports_given = node != NULL;
    for (size_t i = 0; node && node->type == NODE_LIST && i < node->list.n; i++) {
        const struct node *item = node->list.items[i];
        const struct path here = {path, NULL, i};
        if (item->type != NODE_MAP) {
            decode_short_port(d, item, &here, ret);
            continue;
        }
        /* 32 bits, more is cut off silently by the oracle as well */
        add_port(d, ret,
                 (struct port){
                     .mode = get_text(item, "mode"),
                     .protocol = get_text(item, "protocol"),
                     .target = (uint32_t)get_uint(d, item, "target", &here).value,
                     .published = (uint32_t)get_uint(d, item, "published", &here).value,
                 });
    }
}

/* ---- volumes of a service ---- */

static void decode_long_mount(struct decoder *d, const struct node *node, const struct path *path,
                              struct mount *ret)
{
    const struct node *bind = node_get(node, "bind"), *volume = node_get(node, "volume"),
                      *tmpfs = node_get(node, "tmpfs");
    ret->type = get_text(node, "type");
    ret->source = get_text(node, "source");
    ret->target = get_text(node, "target");
    ret->consistency = get_text(node, "consistency");
    ret->read_only = get_bool(node, "read_only");
    ret->bind.given = bind && bind->type == NODE_MAP;
    ret->bind.propagation = get_text(bind, "propagation");
    ret->volume.given = volume && volume->type == NODE_MAP;
    ret->volume.nocopy = get_bool(volume, "nocopy");
    ret->volume.subpath = get_text(volume, "subpath");
    ret->tmpfs.given = tmpfs && tmpfs->type == NODE_MAP;
    ret->tmpfs.size = get_int(d, tmpfs, "size", PATH_KEY(path, "tmpfs")).value;
}

/*
 * Sources of binds. A relative one means, to the oracle, a folder of the machine it runs on; here the
 * files live in a repository and no node has a checkout, so there is nothing it could mean.
 */
static void resolve_bind(struct decoder *d, const struct node *node, const struct path *path,
                         struct mount *mount)
{
    if (!str_eq(mount->type, "bind"))
        return;
    if (!mount->source) {
        report_node(d->report, node, path,
                    "invalid mount config for type \"bind\": field Source must not be empty");
        return;
    }
    const char *home = variables_get(d->variables, "HOME");
    if (*mount->source == '~' && home)
        mount->source = arena_printf(d->arena, "%s%s", home, mount->source + 1);
    if (!path_is_absolute(mount->source))
        report_node(d->report, node, path,
                    "the source of a bind mount must be an absolute path of the hosts: there is no checkout "
                    "that %s could be relative to",
                    mount->source);
}

static bool decode_mount(struct decoder *d, const struct node *node, const struct path *path,
                         struct mount *ret)
{
    const char *ignored = NULL, *problem;
    if (node->type == NODE_STRING) {
        if (!mount_parse(d->arena, node->string.text, ret, &ignored, &problem)) {
            report_node(d->report, node, path, "%s ([SOURCE:]TARGET[:OPTIONS])", problem);
            return false;
        }
    } else if (node->type == NODE_MAP) {
        decode_long_mount(d, node, path, ret);
    } else {
        return false;
    }
    if (ignored)
        report_warning(d->report, "%s: the volume option %s is ignored", path_text(d->arena, path, false),
                       ignored);
    resolve_bind(d, node, path, ret);
    return true;
}

void decode_mounts(struct decoder *d, const struct node *node, const struct path *path, struct service *ret)
{
    ret->mounts_given = node != NULL;
    for (size_t i = 0; node && node->type == NODE_LIST && i < node->list.n; i++) {
        const struct path here = {path, NULL, i};
        struct mount mount = {0};
        if (!decode_mount(d, node->list.items[i], &here, &mount))
            continue;
        mount.at = node->list.items[i];
        mount.index = i;
        ret->mounts = arena_grow(d->arena, ret->mounts, ret->n_mounts, sizeof mount);
        ret->mounts[ret->n_mounts++] = mount;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "convert.h"
#include "syntax.h"

/* ---- mounts ---- */

static json_t *driver_json(const char *name, const struct pairs *options)
{
    json_t *driver = json_object();
    put_text(driver, "Name", name);
    put_pairs(driver, "Options", options);
    return driver;
}

static void refuse_options(struct converter *c, const struct mount *m, const struct path *path, bool bind,
                           bool volume, bool tmpfs)
{
    const char *block = bind && m->bind.given       ? "bind"
                        : volume && m->volume.given ? "volume"
                        : tmpfs && m->tmpfs.given   ? "tmpfs"
                                                    : NULL;
    if (block)
        report_node(c->report, m->at, path, "%s options are incompatible with type %s", block,
                    m->type ? m->type : "volume");
}

static void put_bind_options(json_t *mount, const struct mount *m)
{
    if (!m->bind.given)
        return;
    json_t *options = json_object();
    put_text(options, "Propagation", m->bind.propagation);
    put_new(mount, "BindOptions", options);
}

static const struct object *find_volume(struct converter *c, const struct mount *m, const struct path *path)
{
    const struct object *volume = find_object(&c->project->volumes, m->source);
    if (!volume)
        report_node(c->report, m->at, path,
                    "undefined volume \"%s\" (declare it under the top-level volumes)", m->source);
    return volume;
}

/* Which volume it is, and how it is made where it does not exist yet. */
static void put_volume(struct converter *c, const struct object *volume, const char *key, json_t *mount,
                       json_t *options)
{
    put_text(mount, "Source", object_name(c, volume, key));
    if (volume->external)
        return;
    put_new(options, "Labels", labels_json(c, &volume->labels));
    if (volume->driver || volume->driver_opts.given)
        put_new(options, "DriverConfig", driver_json(volume->driver, &volume->driver_opts));
}

static void convert_volume(struct converter *c, const struct mount *m, const struct path *path, json_t *mount)
{
    refuse_options(c, m, path, true, false, true);
    if (!m->source)
        return; /* anonymous */
    const struct object *volume = find_volume(c, m, path);
    if (!volume)
        return;
    json_t *options = json_object();
    put_true(options, "NoCopy", m->volume.nocopy);
    put_text(options, "Subpath", m->volume.subpath);
    put_volume(c, volume, m->source, mount, options);
    put_new(mount, "VolumeOptions", options);
}

void convert_volumes(struct converter *c, struct stack *ret)
{
    const struct objects *volumes = &c->project->volumes;
    ret->volumes = arena_array(c->arena, volumes->n, sizeof *ret->volumes);
    for (size_t i = 0; i < volumes->n; i++) {
        json_t *mount = json_pack("{s:s}", "Type", "volume"), *options = json_object();
        put_volume(c, &volumes->items[i], volumes->items[i].key, mount, options);
        put_new(mount, "VolumeOptions", options);
        ret->volumes[ret->n_volumes++] = (struct stack_volume){volumes->items[i].key, mount};
    }
}

static bool need_source(struct converter *c, const struct mount *m, const struct path *path)
{
    if (m->source)
        return true;
    report_node(c->report, m->at, path, "invalid %s source, source cannot be empty", m->type);
    return false;
}

static void convert_tmpfs(struct converter *c, const struct mount *m, const struct path *path, json_t *mount)
{
    refuse_options(c, m, path, true, true, false);
    if (m->source)
        report_node(c->report, m->at, path, "invalid tmpfs source, source must be empty");
    if (!m->tmpfs.given)
        return;
    json_t *options = json_object();
    put_int(options, "SizeBytes", m->tmpfs.size);
    put_new(mount, "TmpfsOptions", options);
}

static void convert_cluster(struct converter *c, const struct mount *m, const struct path *path,
                            json_t *mount)
{
    refuse_options(c, m, path, true, true, true);
    put_new(mount, "ClusterOptions", json_object());
    if (!need_source(c, m, path) || str_starts(m->source, "group:"))
        return;
    const struct object *volume = find_volume(c, m, path);
    if (volume)
        put_text(mount, "Source", object_name(c, volume, m->source));
}

static json_t *convert_mount(struct converter *c, const struct mount *m, const struct path *path)
{
    json_t *mount = json_object();
    put_text(mount, "Type", m->type);
    put_text(mount, "Source", m->source);
    put_text(mount, "Target", m->target);
    put_true(mount, "ReadOnly", m->read_only);
    put_text(mount, "Consistency", m->consistency);
    if (!m->type || str_eq(m->type, "volume")) {
        convert_volume(c, m, path, mount);
    } else if (str_eq(m->type, "bind") || str_eq(m->type, "npipe")) {
        if (need_source(c, m, path))
            refuse_options(c, m, path, false, true, true);
        put_bind_options(mount, m);
    } else if (str_eq(m->type, "tmpfs")) {
        convert_tmpfs(c, m, path, mount);
    } else if (str_eq(m->type, "image")) {
        if (need_source(c, m, path))
            refuse_options(c, m, path, true, true, true);
    } else if (str_eq(m->type, "cluster")) {
        convert_cluster(c, m, path, mount);
    } else {
        report_node(c->report, m->at, path, "volume type must be volume, bind, tmpfs, npipe, or cluster");
    }
    return mount;
}

json_t *convert_mounts(struct converter *c, const struct service *service, const struct path *path)
{
    if (!service->n_mounts)
        return NULL;
    const struct path here = {path, "volumes", 0};
    json_t *array = json_array();
    for (size_t i = 0; i < service->n_mounts; i++)
        json_array_append_new(
            array, convert_mount(c, &service->mounts[i], PATH_INDEX(&here, service->mounts[i].index)));
    return array;
}

/* ---- networks a service is attached to ---- */

struct attachment {
    const char *target;
    json_t *json;
};

static int by_target(const void *x, const void *y)
{
    return strcmp(((const struct attachment *)x)->target, ((const struct attachment *)y)->target);
}

/* Only networks of users know aliases. */
static bool is_user_defined(const char *target)
{
    return !str_eq(target, "default") && !str_eq(target, "bridge") && !str_eq(target, "host") &&
           !str_eq(target, "none") && !str_starts(target, "container:");
}

static const char *find_network(struct converter *c, const struct network_use *use, const struct path *path)
{
    const struct object *network = find_object(&c->project->networks, use->name);
    if (network) {
        c->network_used[network - c->project->networks.items] = true;
        return object_name(c, network, use->name);
    }
    if (!str_eq(use->name, "default")) {
        report_node(c->report, use->at, path,
                    "undefined network \"%s\" (declare it under the top-level networks)", use->name);
        return NULL;
    }
    c->default_needed = true;
    return scoped(c, use->name);
}

json_t *convert_attachments(struct converter *c, const struct service *service, const struct path *path)
{
    static const struct network_use alone = {.name = "default"};
    const struct path here = {path, "networks", 0};
    const struct network_use *uses = service->n_networks ? service->networks : &alone;
    size_t n_uses = service->n_networks ? service->n_networks : 1, n = 0;
    struct attachment *list = arena_array(c->arena, n_uses, sizeof *list);
    for (size_t i = 0; i < n_uses; i++) {
        const char *target = find_network(c, &uses[i], PATH_KEY(&here, uses[i].name));
        if (!target)
            continue;
        struct texts aliases = {0};
        for (size_t a = 0; a < uses[i].aliases.n; a++)
            texts_add(c->arena, &aliases, uses[i].aliases.items[a]);
        if (is_user_defined(target))
            texts_add(c->arena, &aliases, service->key);
        json_t *json = json_object();
        put_text(json, "Target", target);
        put_texts(json, "Aliases", &aliases);
        put_pairs(json, "DriverOpts", &uses[i].driver_opts);
        list[n++] = (struct attachment){target, json};
    }
    qsort(list, n, sizeof *list, by_target);
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, list[i].json);
    return array;
}

/* ---- healthcheck ---- */

json_t *convert_healthcheck(struct converter *c, const struct healthcheck *h, const struct path *path)
{
    if (!h->given)
        return NULL;
    json_t *json = json_object();
    if (h->disable) {
        if (h->test.n)
            report_node(c->report, h->at, path, "test and disable can't be set at the same time");
        put_new(json, "Test", json_pack("[s]", "NONE"));
        return json;
    }
    put_texts(json, "Test", &h->test);
    put_int(json, "Interval", h->interval.value);
    put_int(json, "Timeout", h->timeout.value);
    put_int(json, "StartPeriod", h->start_period.value);
    put_int(json, "StartInterval", h->start_interval.value);
    put_int(json, "Retries", (int64_t)h->retries.value);
    return json;
}

/* ---- capabilities ---- */

static const char *capability(struct arena *arena, const char *text)
{
    size_t blank, n = 0;
    while ((blank = go_space(text)) != 0)
        text += blank;
    for (size_t i = 0; text[i]; i += blank ? blank : 1)
        if ((blank = go_space(text + i)) == 0)
            n = i + 1;
    char *name = arena_strndup(arena, text, n);
    for (char *p = name; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 0x20);
    return str_eq(name, "ALL") || str_eq(name, "RESET") || str_starts(name, "CAP_")
               ? name
               : arena_printf(arena, "CAP_%s", name);
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static bool contains(const struct texts *sorted, const char *text)
{
    return sorted->n && bsearch(&text, sorted->items, sorted->n, sizeof *sorted->items, by_text);
}

/* Sorted, each once; ALL stands for the rest; RESET means nothing here. */
static struct texts capabilities(struct arena *arena, const struct texts *list, const struct texts *without)
{
    struct texts all = {0}, ret = {0};
    for (size_t i = 0; i < list->n; i++)
        texts_add(arena, &all, capability(arena, list->items[i]));
    if (all.n)
        qsort(all.items, all.n, sizeof *all.items, by_text);
    if (contains(&all, "ALL")) {
        all.n = 0;
        texts_add(arena, &all, "ALL");
    }
    for (size_t i = 0; i < all.n; i++)
        if (!str_eq(all.items[i], "RESET") && !(i && str_eq(all.items[i], all.items[i - 1])) &&
            !(without && contains(without, all.items[i])))
            texts_add(arena, &ret, all.items[i]);
    return ret;
}

void convert_capabilities(struct arena *arena, const struct service *service, json_t *container)
{
    struct texts add = capabilities(arena, &service->cap_add, NULL);
    struct texts drop = capabilities(arena, &service->cap_drop, &add);
    put_texts(container, "CapabilityAdd", &add);
    put_texts(container, "CapabilityDrop", &drop);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "convert.h"

/* Configs and secrets that a service uses (7.4). IDs are for the sender: here things go by name. */

struct reference {
    const char *name, *target;
    json_t *json;
};

static int by_name_then_target(const void *x, const void *y)
{
    const struct reference *a = x, *b = y;
    int c = strcmp(a->name, b->name);
    return c ? c : strcmp(a->target, b->target);
}

static const struct objects *declared(const struct converter *c, enum object_kind kind)
{
    return kind == OBJECT_SECRET ? &c->project->secrets : &c->project->configs;
}

static json_t *reference_json(enum object_kind kind, const struct file_reference *r, const char *name,
                              const char *target)
{
    json_t *json = json_object(), *file = json_object();
    put_new(file, "Name", json_string_nocheck(target));
    put_new(file, "UID", json_string_nocheck(r->uid ? r->uid : "0"));
    put_new(file, "GID", json_string_nocheck(r->gid ? r->gid : "0"));
    put_new(file, "Mode", json_integer(r->mode.given ? (json_int_t)(uint32_t)r->mode.value : 0444));
    put_new(json, "File", file);
    put_new(json, kind == OBJECT_SECRET ? "SecretName" : "ConfigName", json_string_nocheck(name));
    return json;
}

static const char *target_of(const struct file_reference *r)
{
    return r->target ? r->target : r->source;
}

static size_t convert_list(struct converter *c, enum object_kind kind, const struct file_reference *from,
                           size_t n, const struct path *path, struct reference *to)
{
    const char *word = object_kind_name(kind);
    struct texts targets = {0};
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        texts_add(c->arena, &targets, target_of(&from[i]));
    const bool *repeated = texts_repeated(c->arena, &targets);
    for (size_t i = 0; i < n; i++) {
        const struct file_reference *r = &from[i];
        const struct path here = {path, NULL, r->index};
        const struct object *object = find_object(declared(c, kind), r->source);
        if (!object) {
            report_node(c->report, r->at, &here, "undefined %s \"%s\" (declare it under the top-level %ss)",
                        word, r->source, word);
            continue;
        }
        const char *name = object_name(c, object, r->source);
        if (repeated[i])
            report_node(c->report, r->at, &here, "duplicate %s target for %s not allowed", word, name);
        else
            to[kept++] = (struct reference){name, target_of(r), reference_json(kind, r, name, target_of(r))};
    }
    return kept;
}

/* A credential spec kept in a config: a reference that no container sees as a file. */
static bool add_runtime_config(struct converter *c, const struct credential_spec *spec,
                               const struct path *path, struct reference *ret)
{
    if (!spec->config)
        return false;
    const struct object *object = find_object(&c->project->configs, spec->config);
    if (!object) {
        report_node(c->report, spec->at, PATH_KEY(path, "credential_spec"),
                    "undefined config \"%s\" (declare it under the top-level configs)", spec->config);
        return false;
    }
    const char *name = object_name(c, object, spec->config);
    json_t *json = json_object();
    put_new(json, "Runtime", json_object());
    put_new(json, "ConfigName", json_string_nocheck(name));
    *ret = (struct reference){name, "", json};
    return true;
}

json_t *convert_references(struct converter *c, const struct service *service, enum object_kind kind,
                           const struct path *path)
{
    bool secrets = kind == OBJECT_SECRET;
    const struct file_reference *from = secrets ? service->secrets : service->configs;
    size_t n_from = secrets ? service->n_secrets : service->n_configs;
    const struct path here = {path, secrets ? "secrets" : "configs", 0};
    struct reference *list = arena_array(c->arena, n_from + 1, sizeof *list);
    size_t n = convert_list(c, kind, from, n_from, &here, list);
    if (!secrets && add_runtime_config(c, &service->credential_spec, path, &list[n]))
        n++;
    if (!n)
        return NULL;
    qsort(list, n, sizeof *list, by_name_then_target);
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, list[i].json);
    return array;
}

/* ---- privileges ---- */

json_t *convert_credentials(struct converter *c, const struct service *service, const struct path *path)
{
    const struct credential_spec *s = &service->credential_spec;
    const struct path here = {path, "credential_spec", 0};
    int given = !!s->config + !!s->file + !!s->registry;
    if (!given)
        return NULL;
    if (given == 3)
        report_node(c->report, s->at, &here,
                    "invalid credential spec: cannot specify both \"Config\", \"File\", and \"Registry\"");
    else if (given == 2)
        report_node(c->report, s->at, &here, "invalid credential spec: cannot specify both \"%s\" and \"%s\"",
                    s->config ? "Config" : "File", s->registry ? "Registry" : "File");
    const char *name = NULL;
    const struct object *config = s->config ? find_object(&c->project->configs, s->config) : NULL;
    if (config) {
        name = object_name(c, config, s->config);
        /* the oracle looks for a config whose real name is the key or STACK_key */
        if (!str_eq(name, s->config) && !str_eq(name, scoped(c, s->config)))
            report_node(c->report, s->at, &here,
                        "invalid credential spec: spec specifies config %s, but no such config can be found "
                        "(its name must be its key)",
                        s->config);
    }
    json_t *json = json_object();
    put_new(json, "Config", json_string_nocheck(name ? name : ""));
    put_new(json, "File", json_string_nocheck(s->file ? s->file : ""));
    put_new(json, "Registry", json_string_nocheck(s->registry ? s->registry : ""));
    return json;
}

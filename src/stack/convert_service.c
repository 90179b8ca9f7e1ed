/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "convert.h"

/* ---- pieces of the container spec ---- */

static const char **environment_texts(struct arena *arena, const struct pairs *environment,
                                      size_t *ret_count);

/* "HOST:ADDRESS" becomes "ADDRESS HOST"; brackets around an IPv6 address go. */
static void put_hosts(struct arena *arena, json_t *container, const struct texts *hosts)
{
    struct texts lines = {0};
    for (size_t i = 0; i < hosts->n; i++) {
        const char *colon = strchr(hosts->items[i], ':');
        if (!colon)
            continue;
        const char *address = colon + 1;
        size_t n = strlen(address);
        if (n > 2 && *address == '[' && address[n - 1] == ']') {
            address++;
            n -= 2;
        }
        texts_add(arena, &lines,
                  arena_printf(arena, "%.*s %.*s", (int)n, address, (int)(colon - hosts->items[i]),
                               hosts->items[i]));
    }
    put_texts(container, "Hosts", &lines);
}

static json_t *dns_json(const struct service *s)
{
    if (!s->dns.given && !s->dns_search.given)
        return NULL;
    json_t *dns = json_object();
    put_texts(dns, "Nameservers", &s->dns);
    put_texts(dns, "Search", &s->dns_search);
    return dns;
}

static json_t *ulimits_json(const struct service *s)
{
    if (!s->n_ulimits)
        return NULL;
    json_t *array = json_array();
    for (size_t i = 0; i < s->n_ulimits; i++) {
        const struct ulimit *u = &s->ulimits[i];
        json_t *limit = json_object();
        put_new(limit, "Name", json_string_nocheck(u->name));
        put_new(limit, "Hard", json_integer(u->single ? u->single : u->hard));
        put_new(limit, "Soft", json_integer(u->single ? u->single : u->soft));
        json_array_append_new(array, limit);
    }
    return array;
}

static json_t *logging_json(const struct logging *logging)
{
    if (!logging->given)
        return NULL;
    json_t *driver = json_object();
    put_text(driver, "Name", logging->driver);
    put_pairs(driver, "Options", &logging->options);
    return driver;
}

static json_t *privileges_json(struct converter *c, const struct service *s, const struct path *path)
{
    json_t *credentials = convert_credentials(c, s, path), *privileges = json_object();
    put_new(privileges, "CredentialSpec", credentials ? credentials : json_null());
    put_new(privileges, "SELinuxContext", json_null());
    put_new(privileges, "NoNewPrivileges", json_false());
    return privileges;
}

/* ---- image ---- */

static const char *convert_image(struct converter *c, const struct service *s, const struct path *path)
{
    struct error err = {0};
    struct image_ref ref;
    if (!s->image) {
        if (s->image_at && s->image_at->type != NODE_STRING)
            return ""; /* refused already */
        report_node(c->report, s->image_at ? s->image_at : s->at, path,
                    "invalid image reference for service %s: no image specified", s->key);
        return "";
    }
    if (image_ref_parse(c->arena, s->image, &ref, &err) < 0) {
        report_node(c->report, s->image_at, PATH_KEY(path, "image"),
                    "invalid image reference for service %s: %s ([REGISTRY/]NAME[:TAG][@DIGEST])", s->key,
                    err.text);
        return "";
    }
    return ref.familiar;
}

/* ---- the two halves ---- */

static json_t *container_json(struct converter *c, const struct service *s, const struct path *path,
                              const struct texts *environment)
{
    json_t *spec = json_object();
    put_text(spec, "Image", convert_image(c, s, path));
    put_new(spec, "Labels", labels_json(c, &s->labels));
    put_texts(spec, "Command", &s->entrypoint);
    put_texts(spec, "Args", &s->command);
    put_text(spec, "Hostname", s->hostname);
    put_texts(spec, "Env", environment);
    put_text(spec, "Dir", s->working_dir);
    put_text(spec, "User", s->user);
    put_text(spec, "StopSignal", s->stop_signal);
    put_text(spec, "Isolation", s->isolation);
    put_true(spec, "TTY", s->tty);
    put_true(spec, "OpenStdin", s->stdin_open);
    put_true(spec, "ReadOnly", s->read_only);
    if (s->init.given)
        put_new(spec, "Init", json_boolean(s->init.value));
    if (s->stop_grace_period.given)
        put_new(spec, "StopGracePeriod", json_integer(s->stop_grace_period.value));
    put_hosts(c->arena, spec, &s->extra_hosts);
    put_new(spec, "DNSConfig", dns_json(s));
    put_new(spec, "Healthcheck", convert_healthcheck(c, &s->healthcheck, PATH_KEY(path, "healthcheck")));
    put_new(spec, "Mounts", convert_mounts(c, s, path));
    put_new(spec, "Secrets", convert_references(c, s, OBJECT_SECRET, path));
    put_new(spec, "Configs", convert_references(c, s, OBJECT_CONFIG, path));
    put_new(spec, "Privileges", privileges_json(c, s, path));
    put_pairs(spec, "Sysctls", &s->sysctls);
    convert_capabilities(c->arena, s, spec);
    put_new(spec, "Ulimits", ulimits_json(s));
    return spec;
}

static json_t *task_json(struct converter *c, const struct service *s, const struct path *path,
                         const struct texts *environment)
{
    const struct path deploy = {path, "deploy", 0};
    json_t *task = json_object();
    put_new(task, "ContainerSpec", container_json(c, s, path, environment));
    put_new(task, "Resources", convert_resources(c, &s->deploy, &deploy));
    put_new(task, "RestartPolicy", convert_restart(c, s, path));
    put_new(task, "Placement", convert_placement(&s->deploy.placement));
    put_new(task, "Networks", convert_attachments(c, s, path));
    put_new(task, "LogDriver", logging_json(&s->logging));
    put_new(task, "ForceUpdate", json_integer(0));
    return task;
}

static json_t *service_labels(struct converter *c, const struct service *s)
{
    json_t *labels = labels_json(c, &s->deploy.labels);
    put_new(labels, "com.docker.stack.image", json_string_nocheck(s->image ? s->image : ""));
    return labels;
}

/* KEY=VALUE, or KEY alone for a variable without a value; sorted as whole strings. */
static const char **environment_texts(struct arena *arena, const struct pairs *environment, size_t *ret_count)
{
    const char **texts = arena_array(arena, environment->n + 1, sizeof *texts);
    for (size_t i = 0; i < environment->n; i++) {
        const struct pair *pair = &environment->items[i];
        texts[i] = pair->value ? arena_printf(arena, "%s=%s", pair->key, pair->value) : pair->key;
    }
    *ret_count = environment->n;
    return texts;
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static const char **depends_on(struct arena *arena, const struct texts *list, size_t *ret_count)
{
    const char **keys = arena_array(arena, list->n + 1, sizeof *keys);
    const bool *repeated = texts_repeated(arena, list);
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (!repeated[i])
            keys[n++] = list->items[i];
    *ret_count = n;
    return keys;
}

void convert_service(struct converter *c, const struct service *s, struct stack_service *ret)
{
    const struct path services = {.key = "services"}, path = {&services, s->key, 0};
    struct texts environment = {0};
    environment.items = environment_texts(c->arena, &s->environment, &environment.n);
    if (environment.n)
        qsort(environment.items, environment.n, sizeof *environment.items, by_text);
    json_t *spec = json_object();
    put_new(spec, "Name", json_string_nocheck(scoped(c, s->key)));
    put_new(spec, "Labels", service_labels(c, s));
    put_new(spec, "TaskTemplate", task_json(c, s, &path, &environment));
    put_new(spec, "Mode", convert_deploy_mode(c, &s->deploy, PATH_KEY(&path, "deploy")));
    put_new(spec, "UpdateConfig", convert_update(&s->deploy.update));
    put_new(spec, "RollbackConfig", convert_update(&s->deploy.rollback));
    put_new(spec, "EndpointSpec", convert_endpoint(s));
    bool none =
        s->healthcheck.disable || (s->healthcheck.test.n && str_eq(s->healthcheck.test.items[0], "NONE"));
    *ret = (struct stack_service){
        .key = s->key,
        .name = scoped(c, s->key),
        .image = s->image ? s->image : "",
        .spec = spec,
        .has_healthcheck = s->healthcheck.given && !none,
        .healthcheck_disabled = s->healthcheck.given && none,
        .environment = environment.items,
        .at = s->at,
    };
    ret->depends_on = depends_on(c->arena, &s->depends_on, &ret->n_depends_on);
}

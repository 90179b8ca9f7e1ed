/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives src/docker and src/net from a test: one JSON object per line on stdin ({"op": …}), one answer per
 * line on stdout ({"value": …} or {"error": {"kind", "code", "text"}}, and "us", the time it took). Started
 * as `docker_drive relay-serve` it is what agent-worker is to the relay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/docker.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "docker/relay_internal.h"
#include "net/http.h"

struct driver {
    struct docker *docker;
    struct relay *relay;
    struct http *http;
    const char *taken; /* a file: guarded requests are refused once it is there */
    struct arena arena;
};

typedef int (*op_fn)(struct driver *driver, const json_t *args, json_t **ret, struct error *err);

static const char *text(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

static int64_t number(const json_t *args, const char *key)
{
    return json_integer_value(json_object_get(args, key));
}

static int op_open(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    docker_close(d->docker);
    d->docker = NULL;
    *ret = json_null();
    return docker_open(text(args, "url"), text(args, "auth"), &d->docker, err);
}

/* From here on a signal ends what is asked for, not the program. */
static int op_heed_stop(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)d;
    (void)args;
    (void)err;
    proc_catch_stop();
    *ret = json_null();
    return 0;
}

static int refuse_taken(void *userdata, struct error *err)
{
    const struct driver *d = userdata;
    return access(d->taken, F_OK) == 0 ? error_set(err, ERR_CANCELLED, 0, "taken") : 0;
}

static int op_guard(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)err;
    d->taken = arena_strdup(&d->arena, text(args, "taken"));
    docker_set_guard(d->docker, refuse_taken, d);
    *ret = json_null();
    return 0;
}

static int op_version(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)args;
    (void)err;
    const char *version = docker_api_version(d->docker);
    *ret = version ? json_string(version) : json_null();
    return 0;
}

static int op_swarm(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)args;
    cleanup_arena struct arena arena = {0};
    struct swarm_info info;
    if (docker_swarm(d->docker, &arena, &info, err) < 0)
        return -1;
    *ret = json_pack("{s:b, s:b, s:b, s:s?, s:s?, s:s?, s:s?}", "active", info.active, "manager",
                     info.manager, "leader", info.leader, "node_id", info.node_id, "availability",
                     info.availability, "engine_version", info.engine_version, "cluster_id", info.cluster_id);
    return 0;
}

struct kind {
    const char *name;
    int (*list)(struct docker *, const char *, json_t **, struct error *);
    int (*get)(struct docker *, const char *, json_t **, struct error *);
    int (*create)(struct docker *, const json_t *, char **, struct error *);
    int (*update)(struct docker *, const char *, uint64_t, const json_t *, struct error *);
    int (*remove)(struct docker *, const char *, struct error *);
};

static const struct kind kinds[] = {
    {"service", docker_services, docker_service, NULL, NULL, docker_service_remove},
    {"network", docker_networks, docker_network, docker_network_create, NULL, NULL},
    {"secret", docker_secrets, docker_secret, docker_secret_create, docker_secret_update,
     docker_secret_remove},
    {"config", docker_configs, docker_config, docker_config_create, docker_config_update,
     docker_config_remove},
    {"container", NULL, docker_container, NULL, NULL, NULL},
    {"image", NULL, docker_image, NULL, NULL, NULL},
};

static const struct kind *find_kind(const json_t *args)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_eq(kinds[i].name, text(args, "kind")))
            return &kinds[i];
    abort();
}

static int op_list(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    return find_kind(args)->list(d->docker, text(args, "label"), ret, err);
}

static int op_nodes(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)args;
    return docker_nodes(d->docker, ret, err);
}

static int op_get(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    return find_kind(args)->get(d->docker, text(args, "id"), ret, err);
}

static int op_create(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    const struct kind *kind = find_kind(args);
    const json_t *body = json_object_get(args, "body");
    cleanup_free char *id = NULL;
    cleanup_str struct str warnings = {0};
    int r = kind->create ? kind->create(d->docker, body, &id, err)
                         : docker_service_create(d->docker, body, text(args, "image"), &id, &warnings, err);
    if (r == 0)
        *ret = json_pack("{s:s, s:s}", "id", id, "warnings", str_text(&warnings));
    return r;
}

static int op_update(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    const struct kind *kind = find_kind(args);
    const json_t *body = json_object_get(args, "body");
    cleanup_str struct str warnings = {0};
    uint64_t version = (uint64_t)number(args, "version");
    int r = kind->update ? kind->update(d->docker, text(args, "id"), version, body, err)
                         : docker_service_update(d->docker, text(args, "id"), version, body,
                                                 text(args, "image"), &warnings, err);
    *ret = json_string(str_text(&warnings));
    return r;
}

static int op_remove(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    *ret = json_null();
    return find_kind(args)->remove(d->docker, text(args, "id"), err);
}

static int op_tasks(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    return docker_tasks(d->docker, text(args, "service"), json_is_true(json_object_get(args, "up_to_date")),
                        ret, err);
}

static int op_distribution(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct image_info info = {0};
    if (docker_distribution(d->docker, &arena, text(args, "image"), &info, err) < 0)
        return -1;
    *ret = json_pack("{s:s, s:o}", "digest", info.digest, "platforms", info.platforms);
    return 0;
}

static int op_pull(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    *ret = json_null();
    return docker_image_pull(d->docker, text(args, "image"), number(args, "timeout_ms") * 1000, NULL, NULL,
                             err);
}

static int op_has_auth(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)err;
    *ret = json_boolean(docker_has_auth(d->docker, text(args, "image")));
    return 0;
}

struct log_count {
    size_t lines, errors, bytes, longest;
    int64_t last_ns;
    size_t stop_after, keep;
    json_t *kept;
};

static int on_log_line(void *userdata, int64_t timestamp_ns, bool is_stderr, const char *line, size_t len)
{
    struct log_count *count = userdata;
    count->lines++;
    count->errors += is_stderr;
    count->bytes += len;
    count->longest = len > count->longest ? len : count->longest;
    count->last_ns = timestamp_ns > count->last_ns ? timestamp_ns : count->last_ns;
    if (count->lines <= count->keep)
        json_array_append_new(count->kept, json_stringn(line, len));
    return count->lines == count->stop_after;
}

static int op_logs(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    struct log_count count = {.stop_after = (size_t)number(args, "stop_after"),
                              .keep = (size_t)number(args, "keep"),
                              .kept = json_array()};
    int64_t out_ns = number(args, "since_ns"), err_ns = number(args, "since_err_ns");
    struct log_position since = {.out_ns = out_ns, .err_ns = err_ns ? err_ns : out_ns};
    int r = docker_service_logs(d->docker, text(args, "id"), &since, (unsigned)number(args, "tail"),
                                on_log_line, &count, err);
    *ret = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "lines", (json_int_t)count.lines, "errors",
                     (json_int_t)count.errors, "bytes", (json_int_t)count.bytes, "longest",
                     (json_int_t)count.longest, "last_ns", (json_int_t)count.last_ns, "kept", count.kept);
    return r;
}

static int op_ensure(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    const char *networks[16] = {0};
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(args, "networks"), i, item)
        networks[i] = json_string_value(item);
    relay_close(d->relay);
    d->relay = NULL;
    *ret = json_null();
    return relay_ensure(d->docker, text(args, "stack"), networks, number(args, "timeout_ms") * 1000,
                        text(args, "run_dir"), &d->relay, err);
}

static int op_target(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    const char *socket;
    if (relay_target(d->relay, text(args, "host"), (unsigned)number(args, "port"), &socket, err) < 0)
        return -1;
    *ret = json_string(socket);
    return 0;
}

static int op_failure(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)err;
    const char *failure = relay_failure(d->relay, text(args, "socket"));
    *ret = failure ? json_string(failure) : json_null();
    return 0;
}

static int op_on_network(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)err;
    *ret = json_boolean(relay_on_network(d->relay, text(args, "id")));
    return 0;
}

static int op_relay_close(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)args;
    (void)err;
    relay_close(d->relay);
    d->relay = NULL;
    *ret = json_null();
    return 0;
}

static int op_relay_remove(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    *ret = json_null();
    return relay_remove(d->docker, text(args, "stack"), err);
}

static int count_bytes(void *userdata, const char *data, size_t len)
{
    (void)data;
    *(size_t *)userdata += len;
    return 0;
}

static int op_http(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    if (!d->http && http_open(&d->http, err) < 0)
        return -1;
    const char *headers[17] = {0};
    size_t i, streamed = 0;
    json_t *item;
    json_array_foreach (json_object_get(args, "headers"), i, item)
        headers[i] = json_string_value(item);
    const char *body = text(args, "body");
    struct http_request request = {.method = text(args, "method"),
                                   .url = text(args, "url"),
                                   .unix_socket = text(args, "socket"),
                                   .headers = headers,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .username = text(args, "username"),
                                   .password = text(args, "password"),
                                   .ca_file = text(args, "ca_file"),
                                   .timeout_us = number(args, "timeout_ms") * 1000,
                                   .stall_us = number(args, "stall_ms") * 1000,
                                   .max_body = (size_t)number(args, "max_body")};
    if (json_is_true(json_object_get(args, "stream"))) {
        request.on_data = count_bytes;
        request.userdata = &streamed;
    }
    struct http_response response = {0};
    if (http_send(d->http, &request, &response, err) < 0)
        return -1;
    *ret = json_pack("{s:I, s:s, s:I, s:s, s:s, s:I, s:I}", "status", (json_int_t)response.status, "body",
                     str_text(&response.body), "len", (json_int_t)response.body.len, "content_type",
                     response.content_type, "location", response.location, "retry_after_s",
                     (json_int_t)response.retry_after_s, "streamed", (json_int_t)streamed);
    http_response_release(&response);
    return *ret ? 0 : error_set(err, ERR_INTERNAL, 0, "the body is not UTF-8");
}

static int op_memory(struct driver *d, const json_t *args, json_t **ret, struct error *err)
{
    (void)d;
    (void)args;
    (void)err;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    *ret = json_integer(usage.ru_maxrss); /* KiB */
    return 0;
}

static const struct {
    const char *name;
    op_fn fn;
} ops[] = {
    {"open", op_open},
    {"version", op_version},
    {"swarm", op_swarm},
    {"list", op_list},
    {"nodes", op_nodes},
    {"get", op_get},
    {"create", op_create},
    {"update", op_update},
    {"remove", op_remove},
    {"tasks", op_tasks},
    {"distribution", op_distribution},
    {"pull", op_pull},
    {"has_auth", op_has_auth},
    {"logs", op_logs},
    {"ensure", op_ensure},
    {"target", op_target},
    {"failure", op_failure},
    {"on_network", op_on_network},
    {"relay_close", op_relay_close},
    {"relay_remove", op_relay_remove},
    {"http", op_http},
    {"memory", op_memory},
    {"heed_stop", op_heed_stop},
    {"guard", op_guard},
};

static const char *kind_name(enum error_kind kind)
{
    static const char *const names[] = {
        [ERR_NONE] = "none",         [ERR_INVALID] = "invalid",         [ERR_NOT_FOUND] = "not_found",
        [ERR_REFUSED] = "refused",   [ERR_UNAVAILABLE] = "unavailable", [ERR_TIMEOUT] = "timeout",
        [ERR_CONFLICT] = "conflict", [ERR_FAILED] = "failed",           [ERR_CANCELLED] = "cancelled",
        [ERR_SYSTEM] = "system",     [ERR_INTERNAL] = "internal",
    };
    return names[kind];
}

static json_t *run(struct driver *driver, const json_t *args)
{
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        if (!str_eq(ops[i].name, text(args, "op")))
            continue;
        struct error err = {0};
        json_t *value = NULL;
        int64_t started = mono_us();
        int r = ops[i].fn(driver, args, &value, &err);
        json_t *answer = json_pack("{s:I}", "us", (json_int_t)(mono_us() - started));
        json_object_set_new(answer, "value", value ? value : json_null());
        if (r < 0)
            json_object_set_new(answer, "error",
                                json_pack("{s:s, s:i, s:s}", "kind", kind_name(err.kind), "code", err.code,
                                          "text", err.text));
        return answer;
    }
    fprintf(stderr, "docker_drive: unknown op %s\n", text(args, "op"));
    exit(64);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "relay-serve") == 0)
        return relay_serve_main(argc - 1, argv + 1);
    struct driver driver = {0};
    cleanup_free char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        cleanup_json json_t *args = json_loads(line, 0, NULL);
        cleanup_json json_t *answer = run(&driver, args);
        cleanup_free char *out = json_dumps(answer, JSON_COMPACT);
        puts(out ? out : "{}");
        fflush(stdout);
    }
    relay_close(driver.relay);
    docker_close(driver.docker);
    http_close(driver.http);
    arena_release(&driver.arena);
    return 0;
}

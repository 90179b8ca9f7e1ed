/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the records of src/pg from a test, as drive.c does the runner: one JSON object on stdin ({"op": …,
 * "url": …}), one answer on stdout.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/records.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"

struct drive {
    const json_t *args;
    struct arena arena;
    struct pg_url url;
    int64_t timeout_us;
};

typedef int op_fn(struct drive *d, json_t **ret, struct error *err);

static const char *text(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

static int64_t number(const json_t *args, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(args, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static int op_write(struct drive *d, json_t **ret, struct error *err)
{
    cleanup_free char *changes = json_dumps(json_object_get(d->args, "changes"), JSON_COMPACT);
    cleanup_free char *deployments = json_dumps(json_object_get(d->args, "deployments"), JSON_COMPACT);
    const struct records_batch batch = {.host_id = text(d->args, "host_id"),
                                        .host = text(d->args, "host"),
                                        .version = "1.0",
                                        .changes = changes,
                                        .deployments = deployments};
    *ret = json_null();
    return records_write(&d->url, &batch, d->timeout_us, err);
}

static int take_row(void *userdata, const char *json, struct error *err)
{
    json_t *row = json_loads(json, 0, NULL);
    if (!row)
        return error_set(err, ERR_INTERNAL, 0, "a row is no JSON: %s", json);
    json_array_append_new(userdata, row);
    return 0;
}

static int op_read(struct drive *d, json_t **ret, struct error *err)
{
    const struct records_filter filter = {.stack = text(d->args, "stack"),
                                          .state = text(d->args, "state"),
                                          .since_us = number(d->args, "since_us", 0),
                                          .limit = (unsigned)number(d->args, "limit", 0)};
    *ret = json_array();
    return records_read(&d->url, &filter, d->timeout_us, take_row, *ret, err);
}

static int op_look(struct drive *d, json_t **ret, struct error *err)
{
    struct records_look look;
    if (records_look(&d->url, d->timeout_us, &look, err) < 0)
        return -1;
    *ret = json_pack("{s:i, s:i}", "schema", look.schema, "needed", look.needed);
    return 0;
}

/* What became of the URL. */
static int op_url(struct drive *d, json_t **ret, struct error *err)
{
    (void)err;
    *ret = json_pack("{s:s?, s:s?}", "sslmode", d->url.sslmode, "sslrootcert", d->url.sslrootcert);
    return 0;
}

static const struct {
    const char *name;
    op_fn *fn;
} ops[] = {{"write", op_write}, {"read", op_read}, {"look", op_look}, {"url", op_url}};

static json_t *answer_to(struct drive *d)
{
    static const char *const kinds[] = {
        [ERR_INVALID] = "invalid",         [ERR_NOT_FOUND] = "not_found", [ERR_REFUSED] = "refused",
        [ERR_UNAVAILABLE] = "unavailable", [ERR_TIMEOUT] = "timeout",     [ERR_CONFLICT] = "conflict",
        [ERR_FAILED] = "failed",           [ERR_CANCELLED] = "cancelled", [ERR_INTERNAL] = "internal",
    };
    struct error err = {0};
    json_t *value = NULL;
    int64_t began = mono_us();
    int r = records_url(&d->arena, text(d->args, "url"), &d->url, &err);
    for (size_t i = 0; i < ARRAY_SIZE(ops) && r == 0; i++)
        if (str_eq(ops[i].name, text(d->args, "op")))
            r = ops[i].fn(d, &value, &err);
    json_t *answer = json_pack("{s:o, s:I, s:[], s:[], s:i}", "value", value ? value : json_null(), "us",
                               (json_int_t)(mono_us() - began), "events", "waited", "rss_kib", 0);
    if (r < 0)
        json_object_set_new(answer, "error",
                            json_pack("{s:s?, s:s}", "kind", kinds[err.kind], "text", err.text));
    return answer;
}

int main(void)
{
    memory_json_is_sure();
    proc_catch_stop();
    cleanup_json json_t *args = json_loadf(stdin, JSON_REJECT_DUPLICATES, NULL);
    struct drive d = {.args = args};
    if (!json_is_object(args) || !text(args, "url")) {
        fputs("records_drive: no JSON object with op and url on stdin\n", stderr);
        return 64;
    }
    d.timeout_us = number(args, "timeout_ms", 20000) * 1000;
    cleanup_json json_t *answer = answer_to(&d);
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    arena_release(&d.arena);
    return 0;
}

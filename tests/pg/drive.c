/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives src/pg from a test: one JSON object on stdin ({"op": …}), one answer on stdout: {"value": …} or
 * {"error": {"kind", "text"}}, with what was reported meanwhile ("events", "waited", how many signs of life:
 * "alive"), the time it took ("us") and the memory ("rss_kib"). The files of a step are those of a folder on
 * disk.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/records.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/proc.h"
#include "base/secret.h"
#include "base/str.h"

struct drive {
    const json_t *args;
    struct arena arena;
    struct pg_url url;
    json_t *events, *waited;
};

typedef int op_fn(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err);

static const char *text(const json_t *args, const char *key, const char *other)
{
    const char *value = json_string_value(json_object_get(args, key));
    return value ? value : other;
}

static int64_t number(const json_t *args, const char *key, int64_t other)
{
    const json_t *value = json_object_get(args, key);
    return json_is_integer(value) ? json_integer_value(value) : other;
}

static const char **list(struct arena *arena, const json_t *args, const char *key)
{
    const json_t *array = json_object_get(args, key);
    const char **ret = arena_array(arena, json_array_size(array) + 1, sizeof *ret);
    for (size_t i = 0; i < json_array_size(array); i++)
        ret[i] = json_string_value(json_array_get(array, i));
    return ret;
}

static json_t *strings(const char *const *texts)
{
    json_t *array = json_array();
    for (; texts && *texts; texts++)
        json_array_append_new(array, json_string(*texts));
    return array;
}

/* ---- files ---- */

static inline void cleanup_fclose_p(FILE **f)
{
    if (*f)
        fclose(*f);
}
#define cleanup_file CLEANUP(cleanup_fclose_p)

static const char *path_of(struct drive *d, struct arena *arena, const char *name)
{
    return arena_printf(arena, "%s/%s", text(d->args, "dir", "."), name);
}

static int load(struct drive *d, struct arena *arena, const char *name, const char **ret, size_t *ret_len,
                struct error *err)
{
    cleanup_file FILE *f = fopen(path_of(d, arena, name), "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) < 0)
        return error_errno(err, "%s", name);
    char *data = arena_alloc(arena, (size_t)st.st_size + 1);
    *ret_len = fread(data, 1, (size_t)st.st_size, f);
    *ret = data;
    return 0;
}

static int read_blob(void *userdata, struct arena *arena, const struct migration *file, const char **ret,
                     size_t *ret_len, struct error *err)
{
    return load(userdata, arena, file->file, ret, ret_len, err);
}

/* Any hash of the content does as a blob's name. */
static int take_entry(struct drive *d, const char *name, struct migration_entry *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char hash[SHA256_HEX_SIZE];
    struct stat st;
    const char *data = "";
    size_t len = 0;
    if (lstat(path_of(d, &arena, name), &st) < 0)
        return error_errno(err, "%s", name);
    *ret = (struct migration_entry){.name = arena_strdup(&d->arena, name),
                                    .kind = S_ISDIR(st.st_mode)   ? MIGRATION_FOLDER
                                            : S_ISLNK(st.st_mode) ? MIGRATION_LINK
                                                                  : MIGRATION_FILE,
                                    .size = (uint64_t)st.st_size};
    if (ret->kind == MIGRATION_FILE && st.st_size < SQL_FILE_MAX &&
        load(d, &arena, name, &data, &len, err) < 0)
        return -1;
    sha256_hex(data, len, hash);
    ret->blob = arena_strndup(&d->arena, hash, 40);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct migration_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int read_folder(struct drive *d, struct migrate_step *step, struct error *err)
{
    struct migration_entry *entries = NULL;
    DIR *dir = opendir(text(d->args, "dir", "."));
    if (!dir)
        return error_errno(err, "opening the folder");
    for (const struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        entries = arena_grow(&d->arena, entries, step->n_entries, sizeof *entries);
        if (take_entry(d, e->d_name, &entries[step->n_entries++], err) < 0) {
            closedir(dir);
            return -1;
        }
    }
    closedir(dir);
    if (entries)
        qsort(entries, step->n_entries, sizeof *entries, by_name);
    step->entries = entries;
    return 0;
}

/* ---- hooks ---- */

static unsigned signs_of_life;

static void on_alive(void)
{
    signs_of_life++;
}

static int should_stop(void *userdata, struct error *err)
{
    (void)userdata;
    return proc_stop_requested() ? error_set(err, ERR_CANCELLED, 0, "asked to stop") : 0;
}

/* Also at once, on stderr: a test that waits for a wait reads it there. */
static void waiting(void *userdata, const char *what)
{
    struct drive *d = userdata;
    if (!what)
        return;
    fprintf(stderr, "waiting: %s\n", what);
    json_array_append_new(d->waited, json_string(what));
}

static int progress(void *userdata, const struct migrate_file *file, struct error *err)
{
    static const char *const names[] = {"begins", "applied", "failed"};
    struct drive *d = userdata;
    (void)err;
    if (json_is_true(json_object_get(d->args, "quiet")))
        return 0;
    fprintf(stderr, "%s: %s\n", names[file->event], file->migration->file);
    json_array_append_new(d->events,
                          json_pack("{s:s, s:s, s:I, s:i, s:i, s:s?, s:b, s:I}", "event", names[file->event],
                                    "file", file->migration->file, "rows", (json_int_t)file->rows, "done",
                                    (int)file->done, "attempts", (int)file->attempts, "error", file->error,
                                    "unknown", (int)file->unknown, "us", (json_int_t)file->took_us));
    return 0;
}

static int find(void *userdata, struct arena *arena, const char **ret_folder, struct error *err)
{
    struct drive *d = userdata;
    (void)err;
    *ret_folder = arena_strdup(arena, text(d->args, "socket", NULL));
    return 0;
}

/* ---- ops ---- */

static int op_run(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    struct migrate_result result = {0};
    int r = migrate_run(&d->arena, step, &result, err);
    *ret = json_pack("{s:i, s:s, s:s, s:o}", "applied", (int)result.applied, "before", result.before, "after",
                     result.after, "warnings", strings(result.warnings));
    return r;
}

static json_t *history_json(const struct migration_history *h)
{
    json_t *versions = json_array();
    for (size_t i = 0; i < h->n_versions; i++)
        json_array_append_new(versions, json_string(h->versions[i].version));
    return json_pack("{s:i, s:s?, s:o, s:i, s:o}", "shape", (int)h->shape, "table", h->table, "versions",
                     versions, "logs", (int)h->n_logs, "invalid_indexes", strings(h->invalid_indexes));
}

static int op_plan(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    struct migration_set set;
    struct migration_history history;
    struct migration_diff diff;
    if (migrate_plan(&d->arena, step, &set, &history, &diff, err) < 0)
        return -1;
    json_t *pending = json_array();
    for (size_t i = 0; i < diff.n_pending; i++)
        json_array_append_new(pending, json_string(diff.pending[i]->file));
    *ret = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o}", "pending", pending, "adopted",
                     strings(diff.adopted), "ahead", strings(diff.ahead), "modified", strings(diff.modified),
                     "failed", strings(diff.failed), "warnings", strings(diff.warnings), "ignored",
                     strings(set.ignored), "before", diff.before, "after", diff.after, "history",
                     history_json(&history));
    return 0;
}

static int op_adopt(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    unsigned adopted;
    if (migrate_adopt(&d->arena, step, &adopted, err) < 0)
        return -1;
    *ret = json_integer(adopted);
    return 0;
}

static int op_resolve(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    *ret = json_null();
    return migrate_resolve(&d->arena, step, text(d->args, "version", ""),
                           (unsigned)number(d->args, "statement", 0),
                           json_is_true(json_object_get(d->args, "done")), err);
}

static int op_schemas(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    const char **names;
    if (migrate_schemas(&d->arena, &step->target, text(d->args, "query", ""), &names, err) < 0)
        return -1;
    *ret = strings(names);
    return 0;
}

static int op_expect(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    const struct migrate_expectation e = {.tables = list(&d->arena, d->args, "tables"),
                                          .columns = list(&d->arena, d->args, "columns"),
                                          .constraints = list(&d->arena, d->args, "constraints"),
                                          .indexes = list(&d->arena, d->args, "indexes"),
                                          .query = text(d->args, "query", NULL)};
    *ret = json_null();
    return migrate_expect(&d->arena, &step->target, &e, step->timeout_us, err);
}

static int op_truth(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    bool truth;
    char why[256];
    if (pg_truth(&d->url, text(d->args, "socket", NULL), "deploy-agent/test", step->timeout_us,
                 text(d->args, "query", ""), &truth, why, sizeof why, err) < 0)
        return -1;
    *ret = json_pack("{s:b, s:s}", "truth", truth, "why", why);
    return 0;
}

static int op_login(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    struct pg_login login;
    if (pg_login(&d->arena, &d->url, text(d->args, "socket", NULL), "deploy-agent/test", step->timeout_us,
                 &login, err) < 0)
        return -1;
    *ret = json_pack("{s:s, s:i}", "start", login.server_start, "version", login.server_version);
    return 0;
}

static int op_facts(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    struct pg_facts facts;
    if (pg_facts(&d->arena, &d->url, text(d->args, "socket", NULL), "deploy-agent/test", step->timeout_us,
                 &facts, err) < 0)
        return -1;
    *ret = json_pack("{s:I, s:I}", "tables", (json_int_t)facts.n_tables, "size", (json_int_t)facts.size);
    return 0;
}

static int op_records(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    struct migrate_result result;
    if (records_schema(&d->arena, &step->target, step->timeout_us, &result, err) < 0)
        return -1;
    *ret = json_pack("{s:i, s:s}", "applied", (int)result.applied, "after", result.after);
    return 0;
}

static int op_health(struct drive *d, const struct migrate_step *step, json_t **ret, struct error *err)
{
    struct pg_health health;
    if (pg_health(&d->arena, &d->url, text(d->args, "socket", NULL), "deploy-agent/test", step->timeout_us,
                  list(&d->arena, d->args, "tables"), &health, err) < 0)
        return -1;
    *ret = json_pack("{s:o, s:o}", "invalid_indexes", strings(health.invalid_indexes), "missing_tables",
                     strings(health.missing_tables));
    return 0;
}

static const struct {
    const char *name;
    op_fn *fn;
} ops[] = {
    {"run", op_run},         {"plan", op_plan},     {"adopt", op_adopt}, {"resolve", op_resolve},
    {"schemas", op_schemas}, {"expect", op_expect}, {"login", op_login}, {"truth", op_truth},
    {"records", op_records}, {"health", op_health}, {"facts", op_facts},
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

static struct migrate_step make_step(struct drive *d)
{
    static const char *const on_edited[] = {
        [EDITED_ERROR] = "error", [EDITED_WARN] = "warn", [EDITED_IGNORE] = "ignore"};
    const json_t *args = d->args;
    struct migrate_step step = {
        .target = {.url = &d->url,
                   .find = text(args, "socket", NULL) ? find : NULL,
                   .userdata = d,
                   .application_name = text(args, "application", "deploy-agent/shop/schema/9f3c1ab0"),
                   .session_pooler = json_is_true(json_object_get(args, "session_pooler")),
                   .reads = json_is_true(json_object_get(args, "reads"))},
        .name = text(args, "step", "schema"),
        .folder = "db/migrations",
        .table = text(args, "table", "schema_migrations"),
        .schema = text(args, "schema", NULL),
        .versioned = !json_is_false(json_object_get(args, "versioned")),
        .rules = {.accept_duplicates = list(&d->arena, args, "accept_duplicates"),
                  .lint_errors = list(&d->arena, args, "lint_errors")},
        .timeout_us = number(args, "timeout_ms", 60000) * 1000,
        .lock_timeout_us = number(args, "lock_timeout_ms", 5000) * 1000,
        .lock_wait_us = number(args, "lock_wait_ms", 20000) * 1000,
        .quiet_wait_us = number(args, "quiet_wait_ms", 0) * 1000,
        .commit = text(args, "commit", "9f3c1ab09f3c1ab09f3c1ab09f3c1ab09f3c1ab0"),
        .run_id = text(args, "run_id", "host/1"),
        .read = read_blob,
        .should_stop = json_is_true(json_object_get(args, "unheard")) ? NULL : should_stop,
        .waiting = waiting,
        .progress = progress,
        .userdata = d};
    for (size_t i = 0; i < ARRAY_SIZE(on_edited); i++)
        if (str_eq(on_edited[i], text(args, "on_edited", "error")))
            step.rules.on_edited = (enum on_edited)i;
    return step;
}

static json_t *answer_to(struct drive *d)
{
    struct error err = {0};
    struct migrate_step step = make_step(d);
    json_t *value = NULL;
    op_fn *fn = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
        if (str_eq(ops[i].name, text(d->args, "op", "")))
            fn = ops[i].fn;
    if (!fn) {
        fprintf(stderr, "pg_drive: unknown op\n");
        exit(64);
    }
    int r = pg_url_parse(&d->arena, text(d->args, "url", ""), &d->url, &err);
    if (r == 0 && d->url.password)
        secret_register(d->url.password);
    if (r == 0 && text(d->args, "dir", NULL))
        r = read_folder(d, &step, &err);
    int64_t began = mono_us();
    if (r == 0)
        r = fn(d, &step, &value, &err);
    json_t *answer =
        json_pack("{s:I, s:o}", "us", (json_int_t)(mono_us() - began), "value", value ? value : json_null());
    if (r < 0)
        json_object_set_new(answer, "error",
                            json_pack("{s:s, s:s}", "kind", kind_name(err.kind), "text", err.text));
    return answer;
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Not getrusage(): that begins with the memory of whoever forked us. 0: the sanitizer's memory tells nothing.
 */
static long peak_kib(void)
{
    cleanup_file FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    while (!SANITIZED && f && fgets(line, sizeof line, f))
        if (str_starts(line, "VmHWM:"))
            return strtol(line + strlen("VmHWM:"), NULL, 10);
    return 0;
}

int main(void)
{
    cleanup_json json_t *args = json_loadf(stdin, 0, NULL);
    struct drive d = {.args = args, .events = json_array(), .waited = json_array()};
    proc_catch_stop();
    proc_on_alive(on_alive);
    cleanup_json json_t *answer = answer_to(&d);
    json_object_set_new(answer, "events", d.events);
    json_object_set_new(answer, "waited", d.waited);
    json_object_set_new(answer, "alive", json_integer(signs_of_life));
    json_object_set_new(answer, "rss_kib", json_integer(peak_kib()));
    cleanup_free char *out = json_dumps(answer, JSON_COMPACT);
    puts(out ? out : "{}");
    arena_release(&d.arena);
    return 0;
}

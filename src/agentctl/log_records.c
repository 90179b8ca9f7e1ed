/* SPDX-License-Identifier: Apache-2.0 */
#include "agentctl/log_records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agentctl/view.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"

static const int64_t ask_timeout_us = 90 * US_PER_S;
enum { HOST_MAX = 16 };

struct row {
    const char *host, *host_id;
    struct view view;
};

struct printer {
    struct ctl *ctl;
    const struct log_records *o;
    struct row *rows; /* of the table: its columns are as wide as the widest */
    size_t n;         /* rows seen */
};

/* ---- a line of agent-worker ---- */

static const char *string_of(struct arena *arena, const json_t *o, const char *key)
{
    return arena_strdup(arena, json_string_value(json_object_get(o, key)));
}

/* What must be there: lists and counts are shown without asking again. */
static const char *needed(struct arena *arena, const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return arena_strdup(arena, value ? value : "");
}

static int64_t number_of(const json_t *o, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(o, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static void take_migrations(struct arena *arena, const json_t *list, struct view *v)
{
    v->n_migrations = json_array_size(list);
    v->migrations = arena_array(arena, v->n_migrations + 1, sizeof *v->migrations);
    for (size_t i = 0; i < v->n_migrations; i++) {
        const json_t *m = json_array_get(list, i);
        v->migrations[i] = (struct migration_record){.step = needed(arena, m, "step"),
                                                     .version = needed(arena, m, "version"),
                                                     .name = needed(arena, m, "name"),
                                                     .state = needed(arena, m, "state"),
                                                     .schema = string_of(arena, m, "schema"),
                                                     .took_us = number_of(m, "took_us", -1),
                                                     .rows = number_of(m, "rows_changed", -1)};
    }
}

static void take_lists(struct arena *arena, const json_t *o, struct view *v)
{
    const json_t *images = json_object_get(o, "images"), *services = json_object_get(o, "services"),
                 *schemas = json_object_get(o, "schemas");
    v->n_images = json_array_size(images);
    v->images = arena_array(arena, v->n_images + 1, sizeof *v->images);
    for (size_t i = 0; i < v->n_images; i++) {
        const json_t *one = json_array_get(images, i);
        v->images[i] = (struct image_record){needed(arena, one, "service"), needed(arena, one, "reference"),
                                             string_of(arena, one, "digest")};
    }
    v->n_services = json_array_size(services);
    v->services = arena_array(arena, v->n_services + 1, sizeof *v->services);
    for (size_t i = 0; i < v->n_services; i++) {
        const json_t *one = json_array_get(services, i);
        v->services[i] = (struct service_record){.service = needed(arena, one, "name"),
                                                 .action = needed(arena, one, "action"),
                                                 .state = needed(arena, one, "state"),
                                                 .note = string_of(arena, one, "note")};
    }
    v->n_schemas = json_array_size(schemas);
    v->schemas = arena_array(arena, v->n_schemas + 1, sizeof *v->schemas);
    for (size_t i = 0; i < v->n_schemas; i++) {
        const json_t *one = json_array_get(schemas, i);
        v->schemas[i] = (struct schema_record){needed(arena, one, "step"), string_of(arena, one, "schema"),
                                               needed(arena, one, "before"), needed(arena, one, "after")};
    }
    take_migrations(arena, json_object_get(o, "migrations"), v);
}

static int take_row(struct arena *arena, const json_t *o, struct row *ret, struct error *err)
{
    struct row row = {.host = needed(arena, o, "host"), .host_id = needed(arena, o, "host_id")};
    struct deployment *d = &row.view.d;
    *d = (struct deployment){.id = number_of(o, "id", 0),
                             .stack = needed(arena, o, "stack"),
                             .commit = needed(arena, o, "commit_id"),
                             .branch = string_of(arena, o, "branch"),
                             .subject = string_of(arena, o, "subject"),
                             .author = string_of(arena, o, "author"),
                             .reason = string_of(arena, o, "reason"),
                             .requested_us = number_of(o, "requested_us", 0),
                             .started_us = number_of(o, "started_us", 0),
                             .finished_us = number_of(o, "finished_us", 0)};
    if (deployment_state_parse(needed(arena, o, "state"), &d->state) < 0 ||
        trigger_parse(needed(arena, o, "trigger_name"), &d->trigger) < 0)
        return error_set(
            err, ERR_INTERNAL, 0,
            "the records have a state or a trigger that this program does not know: upgrade this host");
    row.view.failed_with = string_of(arena, o, "failed_with");
    take_lists(arena, o, &row.view);
    *ret = row;
    return 0;
}

/* ---- printing ---- */

static void print_json(struct printer *p, const struct row *row)
{
    cleanup_json json_t *o = view_json(&row->view);
    json_object_set_new(o, "host", json_text(row->host));
    json_object_set_new(o, "host_id", json_text(row->host_id));
    fputs(p->n ? ",\n" : "[\n", stdout);
    json_dumpf(o, stdout, JSON_COMPACT | JSON_PRINT);
}

static int take_line(struct printer *p, const char *line, size_t len, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    struct row row;
    if (!json_is_object(o))
        return error_set(err, ERR_INTERNAL, 0, "agent-worker wrote a line that is no JSON object");
    if (take_row(p->o->json ? &arena : &p->ctl->arena, o, &row, err) < 0)
        return -1;
    if (p->o->json) {
        print_json(p, &row);
    } else {
        p->rows = arena_grow(&p->ctl->arena, p->rows, p->n, sizeof *p->rows);
        p->rows[p->n] = row;
    }
    p->n++;
    return ferror(stdout) ? error_errno(err, "writing the output") : 0;
}

/* Complete lines; ret_rest: what is behind them. */
static int take_lines(struct printer *p, const char *text, size_t len, size_t *ret_rest, struct error *err)
{
    for (const char *newline; (newline = memchr(text, '\n', len));) {
        size_t line = (size_t)(newline - text);
        if (take_line(p, text, line, err) < 0)
            return -1;
        text += line + 1;
        len -= line + 1;
    }
    *ret_rest = len;
    return 0;
}

static bool several_stacks(const struct printer *p)
{
    for (size_t i = 1; i < p->n; i++)
        if (!str_eq(p->rows[i].view.d.stack, p->rows[0].view.d.stack))
            return true;
    return false;
}

static void print_table(struct printer *p)
{
    struct arena *arena = &p->ctl->arena;
    bool with_stack = several_stacks(p);
    struct table t = view_table(arena, with_stack);
    table_put_first(&t, "HOST", HOST_MAX);
    t.wide = p->o->wide;
    for (size_t i = 0; i < p->n; i++) {
        struct table one = view_table(arena, with_stack);
        struct cell cells[TABLE_COLUMNS_MAX] = {{text_safe(arena, p->rows[i].host), COLOUR_NONE}};
        view_add_row(&one, &p->rows[i].view);
        memcpy(cells + 1, one.rows[0], one.n_columns * sizeof *cells);
        table_add(&t, cells);
    }
    table_print(&t, true);
}

static void print_end(struct printer *p)
{
    if (p->o->json)
        fputs(p->n ? "\n]\n" : "[]\n", stdout);
    else if (p->n == 0)
        fputs("agentctl: no deployments\n", stderr);
    else
        print_table(p);
}

/* ---- agent-worker ---- */

static int read_all(struct printer *p, int fd, struct error *err)
{
    cleanup_str struct str text = {0};
    char buffer[64 * 1024];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) != 0;) {
        size_t rest;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, "reading from agent-worker");
        str_append_n(&text, buffer, (size_t)n);
        if (take_lines(p, text.data, text.len, &rest, err) < 0)
            return -1;
        memmove(text.data, text.data + text.len - rest, rest);
        text.len = rest;
    }
    return 0;
}

static int start_worker(struct ctl *ctl, const struct log_records *o, pid_t *ret_pid, int *ret_fd,
                        struct error *err)
{
    const char *argv[12] = {proc_sibling(&ctl->arena, "agent-worker"), "--config", ctl->config_path,
                            "records"};
    size_t n = 4;
    int fds[2];
    if (o->stack)
        argv[n++] = o->stack;
    if (o->state) {
        argv[n++] = "--state";
        argv[n++] = o->state;
    }
    if (o->since_us) {
        argv[n++] = "--since";
        argv[n++] = arena_printf(&ctl->arena, "%lld", (long long)o->since_us);
    }
    if (o->limit) {
        argv[n++] = "-n";
        argv[n++] = arena_printf(&ctl->arena, "%u", o->limit);
    }
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, "a pipe for agent-worker");
    const struct proc_options spawn = {
        .argv = argv, .stdout_fd = fds[1], .stderr_fd = -1, .die_with_parent = true, .no_journal = true};
    int r = proc_spawn(&spawn, ret_pid, err);
    close(fds[1]);
    if (r < 0)
        close(fds[0]);
    else
        *ret_fd = fds[0];
    return r;
}

static int from_worker(struct printer *p)
{
    struct error err = {0};
    pid_t pid;
    int fd, status = 0;
    if (start_worker(p->ctl, p->o, &pid, &fd, &err) < 0)
        return ctl_fail(&err);
    int r = read_all(p, fd, &err);
    close(fd); /* before the wait: who writes into it ends */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return ctl_fail(&err);
    if (!WIFEXITED(status))
        return ctl_misuse("agent-worker was ended by signal %d", WTERMSIG(status)), EXIT_FAILED;
    if (WEXITSTATUS(status) == EXIT_GOOD)
        print_end(p);
    return WEXITSTATUS(status); /* it has said why */
}

static int from_agentd(struct printer *p)
{
    struct error err = {0};
    const struct log_records *o = p->o;
    cleanup_json json_t *reply = NULL;
    json_t *args = json_pack("{s:s*, s:s*, s:I, s:I}", "stack", o->stack, "state", o->state, "since_us",
                             (json_int_t)o->since_us, "limit", (json_int_t)o->limit);
    int code = ctl_call(p->ctl, "records", NULL, args, ask_timeout_us, &reply);
    if (code != EXIT_GOOD)
        return code;
    const char *output = json_string_value(json_object_get(reply, "output")),
               *message = json_string_value(json_object_get(reply, "message"));
    size_t rest = 0;
    fputs(message ? message : "", stderr);
    code = (int)json_integer_value(json_object_get(reply, "exit")) & 0xff;
    if (code != EXIT_GOOD)
        return code;
    if (take_lines(p, output ? output : "", output ? strlen(output) : 0, &rest, &err) < 0)
        return ctl_fail(&err);
    if (rest)
        return ctl_misuse("that is more than agentd hands on: use -n or --since, or a user who may read %s",
                          p->ctl->config_path),
               EXIT_FAILED;
    print_end(p);
    return EXIT_GOOD;
}

/* The configuration, and the file with the URL where it names one. */
static bool may_read_configuration(const struct ctl *ctl)
{
    const char *file = ctl->config.records_postgres_file;
    return ctl->has_config && (!file || access(file, R_OK) == 0);
}

int log_records(struct ctl *ctl, const struct log_records *options)
{
    struct printer p = {.ctl = ctl, .o = options};
    return may_read_configuration(ctl) ? from_worker(&p) : from_agentd(&p);
}

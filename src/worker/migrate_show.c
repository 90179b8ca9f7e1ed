/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "worker/migrate.h"

/* agent-worker migrate status: the database beside the folder. */

static const char *clean(struct arena *arena, const char *text)
{
    return text ? str_clean(arena, text, strlen(text), true, 0) : NULL;
}

/* The attempt that did not end well. */
static bool is_open(const struct migration_log *log)
{
    return log->state == MIGRATION_RUNNING || log->state == MIGRATION_FAILED;
}

/* ---- JSON ---- */

static json_t *applied_json(const struct migrate_found *f)
{
    json_t *array = json_array();
    for (size_t i = 0; i < f->history.n_versions; i++)
        json_array_append_new(array, json_string(f->history.versions[i].version));
    return array;
}

static json_t *pending_json(const struct migrate_found *f)
{
    json_t *array = json_array();
    for (size_t i = 0; i < f->diff.n_pending; i++)
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:s}", "version", f->diff.pending[i]->version, "name",
                                        f->diff.pending[i]->name, "file", f->diff.pending[i]->file));
    return array;
}

static json_t *attempts_json(struct arena *arena, const struct migrate_found *f)
{
    json_t *array = json_array();
    for (size_t i = 0; i < f->history.n_logs; i++) {
        const struct migration_log *log = &f->history.logs[i];
        if (is_open(log))
            json_array_append_new(array, json_pack("{s:s, s:s?, s:s, s:i, s:i, s:s?}", "version",
                                                   log->version, "file", log->file, "state",
                                                   log->state == MIGRATION_RUNNING ? "running" : "failed",
                                                   "done", (int)log->done, "total", (int)log->total, "error",
                                                   clean(arena, log->error)));
    }
    return array;
}

json_t *migrate_found_json(struct arena *arena, const struct migrate_found *f)
{
    const struct migration_diff *d = &f->diff;
    json_t *o = json_pack("{s:s, s:s?, s:s, s:s, s:o, s:o, s:o}", "step", f->step->name, "schema",
                          f->step->schema, "dir", f->step->folder, "table", f->history.table, "applied",
                          applied_json(f), "pending", pending_json(f), "attempts", attempts_json(arena, f));
    json_object_set_new(o, "refused", f->refusal ? json_string(f->refusal) : json_null());
    json_object_set_new(o, "before", json_string(d->before ? d->before : ""));
    json_object_set_new(o, "after", json_string(d->after ? d->after : ""));
    json_object_set_new(o, "ahead", json_strings(d->ahead));
    json_object_set_new(o, "modified", json_strings(d->modified));
    json_object_set_new(o, "not_adopted", json_strings(d->adopted));
    json_object_set_new(o, "warnings", json_strings(d->warnings));
    return o;
}

/* ---- text ---- */

static void print_list(const char *word, const char *const *items)
{
    if (!items || !items[0])
        return;
    printf("  %-12s", word);
    for (size_t i = 0; items[i]; i++)
        printf(" %s", items[i]);
    putchar('\n');
}

static void print_attempts(struct arena *arena, const struct migrate_found *f)
{
    for (size_t i = 0; i < f->history.n_logs; i++) {
        const struct migration_log *log = &f->history.logs[i];
        if (!is_open(log))
            continue;
        printf("  %-12s %s, %u of %u statements are in the database%s%s\n",
               log->state == MIGRATION_RUNNING ? "begun" : "failed", log->file ? log->file : log->version,
               log->done, log->total, log->error ? ": " : "", log->error ? clean(arena, log->error) : "");
    }
}

static void print_lines(const char *word, const char *text)
{
    for (const char *line = text; *line; word = "") {
        size_t len = strcspn(line, "\n");
        printf("  %-12s %.*s\n", word, (int)len, line);
        line += len + (line[len] == '\n');
    }
}

void migrate_found_print(struct arena *arena, const struct migrate_found *f)
{
    const struct migration_diff *d = &f->diff;
    printf("%s (%s, table %s): %zu applied", f->where, f->step->folder, f->history.table,
           f->history.n_versions);
    if (d->before && *d->before)
        printf(", at %s", d->before);
    if (!f->refusal)
        printf(", %zu pending", d->n_pending);
    putchar('\n');
    for (size_t i = 0; i < d->n_pending; i++)
        printf("  %-12s %s\n", i == 0 ? "pending" : "", d->pending[i]->file);
    print_attempts(arena, f);
    print_list("no file", d->ahead);
    print_list("edited", d->modified);
    print_list("not adopted", d->adopted);
    for (size_t i = 0; d->warnings && d->warnings[i]; i++)
        printf("  %-12s %s\n", "warning", clean(arena, d->warnings[i]));
    if (f->refusal)
        print_lines("REFUSED", f->refusal);
}

int migrate_show(struct migrating *m, const struct migrate_step *step, const char *where, struct error *err)
{
    struct arena *arena = &m->work.arena;
    struct migrate_found f = {.step = step, .where = where};
    if (migrate_plan(arena, step, &f.set, &f.history, &f.diff, err) < 0) {
        if (err->kind != ERR_INVALID || !f.history.table)
            return error_wrap(err, "%s", where);
        f.refusal = arena_strdup(arena, err->text);
        m->refused = true;
    }
    if (m->request.json)
        json_array_append_new(m->shown, migrate_found_json(arena, &f));
    else
        migrate_found_print(arena, &f);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/migration.h"

#include <string.h>

#include "base/str.h"
#include "sql/complaints.h"
#include "sql/diff_internal.h"
#include "sql/standing.h"

void migration_wants(const struct migration_set *set, const struct migration_history *history, bool *ret_want)
{
    cleanup_history_index struct history_index index;
    history_index_init(&index, history);
    for (size_t i = 0; i < set->n; i++) {
        const struct migration_log *log = history_log(&index, set->items[i].number);
        enum standing standing = migration_standing(set, i, &index);
        bool edited = log && log->blob && !str_eq(log->blob, set->items[i].blob);
        ret_want[i] = standing == STANDS_PENDING || standing == STANDS_BEGUN || standing == STANDS_LOST ||
                      (standing == STANDS_APPLIED && edited);
    }
}

/* ---- lists of the result ---- */

static void add(struct diff *d, struct text_list *list, const char *text)
{
    list->items = arena_grow(d->arena, list->items, list->n, sizeof *list->items);
    list->items[list->n++] = text;
}

static const char **list_end(struct diff *d, struct text_list *list)
{
    list->items = arena_grow(d->arena, list->items, list->n, sizeof *list->items);
    list->items[list->n] = NULL;
    return list->items;
}

void diff_warn(struct diff *d, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add(d, &d->warnings, arena_vprintf(d->arena, format, ap));
    va_end(ap);
}

/* ---- files that were applied ---- */

static void check_edited(struct diff *d, const struct migration *m, const struct migration_log *log)
{
    if (!m->version[0] || !log->blob || str_eq(log->blob, m->blob))
        return;
    if (m->read && log->hash && str_eq(log->hash, m->summary.hash)) {
        diff_warn(d, "%s: only blanks or comments changed since it was applied", m->file);
        return;
    }
    add(d, &d->modified, m->version);
    if (d->rules->on_edited == EDITED_ERROR)
        complain(&d->complaints,
                 "%s was applied as blob %.12s and is another file now (%.12s): what is applied does not run "
                 "again; put it back, and write the change into a new file",
                 m->file, log->blob, m->blob);
    else if (d->rules->on_edited == EDITED_WARN)
        diff_warn(d, "%s was applied as blob %.12s and is another file now (%.12s)", m->file, log->blob,
                  m->blob);
}

static void check_applied(struct diff *d, const struct migration *m)
{
    const struct migration_log *log = history_log(&d->index, m->number);
    const struct migration_version *row = history_version(&d->index, m->number);
    if (log) {
        check_edited(d, m, log);
        if (log->file && !str_eq(log->file, m->file))
            diff_warn(d, "%s was applied under the name %s", m->file, log->file);
        return;
    }
    add(d, &d->adopted, m->version);
    if (row && row->name && row->name[0] && !migration_is_called(m, row->name))
        diff_warn(d, "%s is applied under the name '%s'", m->file, row->name);
}

/* ---- files that were not ---- */

static void make_pending(struct diff *d, struct migration *m)
{
    d->ret.pending = arena_grow(d->arena, d->ret.pending, d->ret.n_pending, sizeof(void *));
    d->ret.pending[d->ret.n_pending++] = m;
}

static void check_begun(struct diff *d, struct migration *m)
{
    if (d->ret.partial) {
        complain(&d->complaints,
                 "%s and %s have both been begun: agentctl migrate resolve says which is done",
                 d->ret.partial->file, m->file);
        return;
    }
    d->ret.partial = m;
    d->ret.partial_log = history_log(&d->index, m->number);
    make_pending(d, m);
}

static bool is_accepted(const struct diff *d, const struct migration *m)
{
    for (size_t i = 0; d->rules->accept_duplicates && d->rules->accept_duplicates[i]; i++) {
        const char *version = d->rules->accept_duplicates[i];
        version += strspn(version, "0");
        if (strcmp(version, m->version + strspn(m->version, "0")) == 0)
            return true;
    }
    return false;
}

/* Its version is applied, and two files have it. */
static void check_shadowed(struct diff *d, size_t i, enum standing standing)
{
    const struct migration *m = &d->set->items[i];
    const struct migration_version *row = history_version(&d->index, m->number);
    size_t first;
    if (standing == STANDS_UNKNOWN) {
        if (migration_group(d->set, i, &first) && i != first)
            return; /* said once for all of them */
        const char *text =
            arena_printf(d->arena,
                         "version %s is applied%s%s%s, but two files have it (%s, %s): nobody can say which "
                         "of them ran",
                         m->version, row && row->name ? " as '" : "", row && row->name ? row->name : "",
                         row && row->name ? "'" : "", m->file, d->set->items[i + 1].file);
        if (is_accepted(d, m))
            diff_warn(d, "%s (accepted)", text);
        else
            complain(&d->complaints, "%s; accept_duplicates: [\"%s\"] leaves it at that", text, m->version);
        return;
    }
    if (is_accepted(d, m))
        diff_warn(d, "%s never ran: version %s is applied, by another file (accepted)", m->file, m->version);
    else
        complain(&d->complaints,
                 "%s never ran: version %s is applied, by another file; give it a version of its own, or "
                 "accept_duplicates: [\"%s\"]",
                 m->file, m->version, m->version);
}

static void sort_one(struct diff *d, size_t i)
{
    struct migration *m = &d->set->items[i];
    enum standing standing = migration_standing(d->set, i, &d->index);
    switch (standing) {
    case STANDS_PENDING:
        make_pending(d, m);
        break;
    case STANDS_BEGUN:
        check_begun(d, m);
        break;
    case STANDS_APPLIED:
        check_applied(d, m);
        break;
    case STANDS_LOST:
        complain(&d->complaints,
                 "%s was applied by deploy-agent, but %s has no row of it any more: agentctl migrate resolve "
                 "STACK %s done puts it back, again lets the file run again",
                 m->file, d->history->table ? d->history->table : "the table of versions", m->version);
        break;
    case STANDS_NEVER_RAN:
    case STANDS_UNKNOWN:
        check_shadowed(d, i, standing);
        break;
    }
}

/* What was begun is finished before anything else. */
static void put_partial_first(struct diff *d)
{
    for (size_t i = d->ret.n_pending; d->ret.partial && i-- > 1;)
        if (d->ret.pending[i] == d->ret.partial) {
            memmove(d->ret.pending + 1, d->ret.pending, i * sizeof(void *));
            d->ret.pending[0] = d->ret.partial;
            return;
        }
}

/* ---- the database's side ---- */

static bool has_file(const struct migration_set *set, int64_t number)
{
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->n && set->items[low].number == number;
}

static void check_history(struct diff *d)
{
    const struct history_index *index = &d->index;
    for (size_t i = 0; i < index->n_versions; i++)
        if (!has_file(d->set, index->versions[i]->number))
            add(d, &d->ahead, index->versions[i]->version);
    for (size_t i = 0; i < index->n_logs; i++) {
        const struct migration_log *log = index->logs[i];
        if (log->state == MIGRATION_RUNNING || log->state == MIGRATION_FAILED)
            if (!history_has(index, log->number) || log->done > 0)
                add(d, &d->failed, log->version);
    }
    const struct migration_version *newest =
        index->n_versions ? index->versions[index->n_versions - 1] : NULL;
    d->newest = newest ? newest->number : -1;
    d->ret.before = newest ? newest->version : "";
    if (d->history->shape == MIGRATION_ONE_ROW && d->history->up_to > d->newest) {
        d->newest = d->history->up_to;
        d->ret.before = arena_printf(d->arena, "%lld", (long long)d->newest);
    }
    d->ret.after = d->ret.before;
    for (size_t i = 0; i < d->ret.n_pending; i++)
        if (d->ret.pending[i]->version[0] &&
            (i == 0 || d->ret.pending[i]->number > d->ret.pending[i - 1]->number) &&
            d->ret.pending[i]->number > d->newest)
            d->ret.after = d->ret.pending[i]->version;
}

int migration_diff(struct arena *arena, const struct migration_set *set,
                   const struct migration_history *history, const struct migration_rules *rules,
                   struct migration_diff *ret, struct error *err)
{
    bool versioned = set->n == 0 || set->items[0].version[0];
    struct diff d = {.arena = arena, .set = set, .history = history, .rules = rules};
    history_index_init(&d.index, history);
    if (versioned)
        diff_check_table(&d);
    if (d.complaints.n == 0) { /* a table that cannot be read makes every file look pending */
        for (size_t i = 0; i < set->n; i++)
            sort_one(&d, i);
        put_partial_first(&d);
        if (versioned)
            check_history(&d);
        else
            d.ret.before = d.ret.after = "";
        diff_check_pending(&d);
    }
    d.ret.adopted = list_end(&d, &d.adopted);
    d.ret.ahead = list_end(&d, &d.ahead);
    d.ret.modified = list_end(&d, &d.modified);
    d.ret.failed = list_end(&d, &d.failed);
    d.ret.warnings = list_end(&d, &d.warnings);
    int r = complaints_end(&d.complaints, err);
    if (r == 0)
        *ret = d.ret;
    complaints_release(&d.complaints);
    history_index_release(&d.index);
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/session.h"

/*
 * First contact with a table that others have filled: each of its versions that has a file gets a row with
 * the file as it is now; what it was when it was applied, nobody knows. Tables of other tools stay as they
 * are, ours is made beside them.
 */

static bool applied(const struct books *b, const struct migration *m)
{
    const struct migration_history *h = &b->history;
    const struct migration_log *log = books_log(b, m->number);
    if (log && migration_is_begun(log))
        return false;
    if (h->shape == MIGRATION_ONE_ROW && m->number <= h->up_to)
        return true;
    return books_has_version(b, m->number);
}

static const char *recorded_name(const struct books *b, int64_t number)
{
    for (size_t i = 0; i < b->history.n_versions; i++)
        if (b->history.versions[i].number == number)
            return b->history.versions[i].name;
    return NULL;
}

static bool same_version(const struct migration_set *set, size_t i, size_t k)
{
    return k < set->n && set->items[i].number == set->items[k].number;
}

/* Of two files with one version the one whose name is in the table is meant; the other never ran. */
static bool is_meant(const struct books *b, const struct migration_set *set, size_t i)
{
    const char *name = recorded_name(b, set->items[i].number);
    size_t first = i, last = i;
    while (first > 0 && same_version(set, i, first - 1))
        first--;
    while (same_version(set, i, last + 1))
        last++;
    if (first == last)
        return true;
    for (size_t k = first; name && k <= last; k++)
        if (str_eq(set->items[k].name, name))
            return k == i;
    return i == first;
}

static void adopt_one(struct session *s, struct arena *arena, struct migration *m, struct str *sql)
{
    const struct log_entry e = {
        .migration = m, .mode = "adopted", .state = "applied", .started_us = wall_us(), .finished = true};
    plan_summarise(s, m);
    if (s->books.found_sql)
        str_append(sql, record_version_sql(s, arena, m));
    str_append(sql, record_log_sql(s, arena, &e));
}

int adopt_versions(struct session *s, struct migration_set *set, unsigned *ret_n, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_str struct str sql = {0};
    struct books *b = &s->books;
    unsigned n = 0;
    str_printf(&sql, "BEGIN; " SESSION_OURS);
    if (b->found_sql)
        str_append(&sql, record_table_sql(s, &arena));
    for (size_t i = 0; i < set->n; i++) {
        struct migration *m = &set->items[i];
        const struct migration_log *log = books_log(b, m->number);
        if (!applied(b, m) || (log && log->state != MIGRATION_FAILED) || !is_meant(b, set, i))
            continue;
        adopt_one(s, &arena, m, &sql);
        n++;
    }
    *ret_n = n;
    if (n == 0)
        return 0;
    str_append(&sql, "COMMIT");
    if (pg_ask(&s->conn, "taking the versions of the table over", NULL, err, str_text(&sql), 0, NULL) < 0) {
        struct error ignored = {0};
        if (session_rollback(s, &ignored) < 0)
            pg_conn_close(&s->conn);
        return -1;
    }
    return b->found_sql ? books_look(s, err) : 0;
}

static int adopt(struct session *s, unsigned *ret_adopted, struct error *err)
{
    struct migration_set set = {0};
    const struct migrate_step *step = s->step;
    if (migration_set_read(s->arena, step->folder, step->entries, step->n_entries, step->versioned, &set,
                           err) < 0 ||
        session_open(s, 0, err) < 0 || books_open(s, err) < 0 || lock_acquire(s, err) < 0 ||
        books_open(s, err) < 0 || history_read(s, err) < 0)
        return -1;
    if (s->books.history.shape == MIGRATION_NO_TABLE)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no table %s to take over", s->books.table_sql);
    if (s->books.history.dirty)
        return error_set(
            err, ERR_CONFLICT, 0,
            "table %s says that version %s failed half way (dirty): mend the database by hand and set "
            "dirty to false first",
            s->books.found_sql, s->books.history.versions[0].version);
    return books_make_log(s, err) < 0 ? -1 : adopt_versions(s, &set, ret_adopted, err);
}

int migrate_adopt(struct arena *arena, const struct migrate_step *step, unsigned *ret_adopted,
                  struct error *err)
{
    cleanup_session struct session s = {
        .target = &step->target, .step = step, .arena = arena, .deadline_us = mono_us() + step->timeout_us};
    return adopt(&s, ret_adopted, err);
}

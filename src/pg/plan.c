/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/apply.h"

/* What is to be done: the folder beside the history. Everything that may run is read to its end before
 * anything runs. */

int plan_read_file(const struct migrate_step *step, struct arena *arena, const struct migration *m,
                   const char **ret, size_t *ret_len, struct error *err)
{
    if (step->read(step->userdata, arena, m, ret, ret_len, err) < 0)
        return error_wrap(err, "reading %s", m->file);
    return 0;
}

void plan_summarise(struct session *s, struct migration *m)
{
    cleanup_arena struct arena arena = {0};
    struct error ignored = {0};
    const char *text;
    size_t len;
    if (!m->read && plan_read_file(s->step, &arena, m, &text, &len, &ignored) == 0 &&
        sql_summarise(s->arena, m->file, text, len, m->version, &m->summary, &ignored) == 0)
        m->read = true;
}

/* What is committed of a file cannot be changed by editing it. */
static int check_partial(struct session *s, const struct migration_diff *diff, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const struct migration *m = diff->partial;
    const struct migration_log *log = diff->partial_log;
    char prefix[SQL_HASH_SIZE];
    const char *text;
    size_t len;
    if (log->done == 0)
        return 0;
    if (plan_read_file(s->step, &arena, m, &text, &len, err) < 0 ||
        resume_prefix(m->file, text, len, log->done, prefix, err) < 0)
        return -1;
    if (str_eq(prefix, log->prefix_hash))
        return 0;
    return error_set(
        err, ERR_INVALID, 0,
        "%s: statements 1 to %u of it are committed, by an earlier run that failed later, and they have "
        "been changed since. Restore them and change only what follows, or say what holds: agentctl "
        "migrate resolve STACK %s done|again",
        m->file, log->done, m->version);
}

int plan_read(struct session *s, struct migration_set *set, struct migration_diff *diff, struct error *err)
{
    const struct migrate_step *step = s->step;
    bool any = false;
    if (!set->items && migration_set_read(s->arena, step->folder, step->entries, step->n_entries,
                                          step->versioned, set, err) < 0)
        return -1;
    bool *want = arena_array(s->arena, set->n + 1, sizeof *want);
    migration_wants(set, &s->books.history, want);
    for (size_t i = 0; i < set->n; i++)
        any |= want[i];
    if (migration_set_summarise(s->arena, set, want, step->read, step->userdata, err) < 0 ||
        (any && history_read_names(s, err) < 0))
        return -1;
    if (migration_diff(s->arena, set, &s->books.history, &step->rules, diff, err) < 0)
        return -1;
    return diff->partial ? check_partial(s, diff, err) : 0;
}

int plan_look(struct session *s, struct migration_set *set, struct migration_diff *diff, struct error *err)
{
    struct error first = {0};
    if (plan_read(s, set, diff, &first) == 0)
        return 0;
    if (first.kind == ERR_INVALID && books_open(s, err) == 0 && history_read(s, err) == 0)
        return plan_read(s, set, diff, err);
    *err = first;
    return -1;
}

int migrate_plan(struct arena *arena, const struct migrate_step *step, struct migration_set *ret_set,
                 struct migration_history *ret_history, struct migration_diff *ret_diff, struct error *err)
{
    cleanup_session struct session s = {
        .target = &step->target, .step = step, .arena = arena, .deadline_us = mono_us() + step->timeout_us};
    struct migration_set set = {0};
    struct migration_diff diff = {0};
    *ret_history = (struct migration_history){0};
    if (session_open(&s, 0, err) < 0 || books_open(&s, err) < 0 || history_read(&s, err) < 0)
        return -1;
    int r = plan_look(&s, &set, &diff, err);
    *ret_history = s.books.history;
    if (r < 0)
        return -1;
    *ret_set = set;
    *ret_diff = diff;
    return 0;
}

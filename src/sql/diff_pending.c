/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "sql/diff_internal.h"
#include "sql/names.h"

void diff_check_table(struct diff *d)
{
    const struct migration_history *h = d->history;
    if (h->shape == MIGRATION_ONE_ROW && h->dirty)
        complain(&d->complaints,
                 "%s says that version %lld is dirty: golang-migrate failed half way. Find out what of it is "
                 "in the database, mend that by hand, then set dirty = false there (and version to the "
                 "last one that is whole)",
                 h->table, (long long)h->up_to);
    if (h->shape == MIGRATION_FOREIGN && h->n_logs == 0)
        complain(&d->complaints,
                 "%s was written by another tool: agentctl migrate adopt takes over what it applied",
                 h->table);
}

/* ---- order ---- */

static void check_order(struct diff *d, const struct migration *m)
{
    const struct migration *partial = d->ret.partial;
    bool after_partial = partial && m->number < partial->number;
    if (m == partial || (m->number > d->newest && !after_partial))
        return;
    const char *newest = after_partial ? partial->version : d->ret.before;
    if (m->read && m->summary.out_of_order)
        diff_warn(d, "%s runs after %s, out of order", m->file, newest);
    else
        complain(&d->complaints,
                 "%s would run after %s, which is %s: give it a higher version, or write -- deploy: "
                 "out-of-order into it; if it is in the database already: agentctl migrate resolve STACK %s "
                 "done",
                 m->file, newest, after_partial ? "begun" : "applied", m->version);
}

static void check_duplicate(struct diff *d, size_t i)
{
    const struct migration *m = d->ret.pending[i];
    for (size_t j = i + 1; j < d->ret.n_pending && d->ret.pending[j]->number == m->number; j++)
        complain(&d->complaints, "%s and %s have the same version: give one of them another", m->file,
                 d->ret.pending[j]->file);
}

/* ---- what the table takes ---- */

static void check_version_fits(struct diff *d, const struct migration *m)
{
    const struct migration_history *h = d->history;
    if (h->shape == MIGRATION_NO_TABLE)
        return;
    if (h->version_is_number && h->version_max > 0 && m->number > h->version_max)
        complain(&d->complaints,
                 "%s: its version does not fit into the column version of %s, which takes numbers up to %lld",
                 m->file, h->table, (long long)h->version_max);
    if (!h->version_is_number && h->version_length > 0 && strlen(m->version) > h->version_length)
        complain(&d->complaints,
                 "%s: its version does not fit into the column version of %s, which takes %u characters",
                 m->file, h->table, h->version_length);
}

/* ---- lints ---- */

static bool names_table(const char *const *list, const char *table)
{
    for (size_t i = 0; list && list[i]; i++)
        if (sql_name_same(list[i], table))
            return true;
    return false;
}

static bool is_listed(const char *const *list, const char *name)
{
    for (size_t i = 0; list[i]; i++)
        if (str_eq(list[i], name))
            return true;
    return false;
}

/* Does the lint's table hold rows of users before this file runs? Not asked: it may. */
static bool table_is_old(const struct diff *d, size_t i, const char *table)
{
    for (size_t j = 0; j <= i; j++)
        if (d->ret.pending[j]->read && names_table(d->ret.pending[j]->summary.tables, table))
            return false;
    return !d->history->tables || names_table(d->history->tables, table);
}

static bool role_is_there(const struct diff *d, size_t i, const char *role)
{
    for (size_t j = 0; j < i; j++)
        if (d->ret.pending[j]->read && d->ret.pending[j]->summary.roles &&
            is_listed(d->ret.pending[j]->summary.roles, role))
            return true;
    return d->history->roles && is_listed(d->history->roles, role);
}

/* Whether there is a role that a step before this one may make, nobody knows yet; so where nobody was asked.
 */
static bool refuses(const struct diff *d, const struct sql_lint *lint)
{
    if (lint->role && (d->rules->roles_may_come || !d->history->roles))
        return false;
    return d->rules->lint_errors && is_listed(d->rules->lint_errors, lint->rule);
}

static void check_lints(struct diff *d, size_t i)
{
    const struct migration *m = d->ret.pending[i];
    for (size_t k = 0; k < m->summary.n_lints; k++) {
        const struct sql_lint *lint = &m->summary.lints[k];
        if ((lint->table && !table_is_old(d, i, lint->table)) ||
            (lint->role && role_is_there(d, i, lint->role)))
            continue;
        if (refuses(d, lint))
            complain(&d->complaints, "%s:%u: %s: %s", m->file, lint->line, lint->rule, lint->text);
        else
            diff_warn(d, "%s:%u: %s: %s", m->file, lint->line, lint->rule, lint->text);
    }
}

void diff_check_pending(struct diff *d)
{
    if (d->ret.n_pending > 0 && d->history->required && d->ret.pending[0]->version[0])
        complain(&d->complaints,
                 "the column %s of %s is NOT NULL without a default, and deploy-agent does not know what "
                 "belongs there: give it a default, or the step a table of its own",
                 d->history->required, d->history->table);
    for (size_t i = 0; i < d->ret.n_pending; i++) {
        const struct migration *m = d->ret.pending[i];
        if (m->version[0]) {
            check_duplicate(d, i);
            check_order(d, m);
            check_version_fits(d, m);
        }
        if (!m->read)
            continue;
        check_lints(d, i);
    }
}

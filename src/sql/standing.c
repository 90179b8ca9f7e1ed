/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/standing.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* ---- looking things up: folders of 10,000 files are compared each time something is deployed ---- */

static int compare(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_version(const void *left, const void *right)
{
    const struct migration_version *const *a = left, *const *b = right;
    return compare((*a)->number, (*b)->number);
}

static int by_log(const void *left, const void *right)
{
    const struct migration_log *const *a = left, *const *b = right;
    int order = compare((*a)->number, (*b)->number);
    return order ? order : compare((*a)->id, (*b)->id);
}

static void *pointers(size_t n)
{
    void *ret = calloc(n + 1, sizeof(void *));
    if (!ret)
        abort();
    return ret;
}

void history_index_init(struct history_index *ret, const struct migration_history *history)
{
    struct history_index index = {.history = history,
                                  .versions = pointers(history->n_versions),
                                  .logs = pointers(history->n_logs),
                                  .n_versions = history->n_versions};
    for (size_t i = 0; i < history->n_versions; i++)
        index.versions[i] = &history->versions[i];
    qsort(index.versions, index.n_versions, sizeof *index.versions, by_version);
    for (size_t i = 0; i < history->n_logs; i++)
        index.logs[i] = &history->logs[i];
    qsort(index.logs, history->n_logs, sizeof *index.logs, by_log);
    for (size_t i = 0; i < history->n_logs; i++) {
        bool newer_follows = i + 1 < history->n_logs && index.logs[i + 1]->number == index.logs[i]->number;
        if (!newer_follows)
            index.logs[index.n_logs++] = index.logs[i];
    }
    *ret = index;
}

void history_index_release(struct history_index *index)
{
    free(index->versions);
    free(index->logs);
    *index = (struct history_index){0};
}

const struct migration_version *history_version(const struct history_index *index, int64_t number)
{
    const struct migration_version key = {.number = number}, *key_p = &key;
    const struct migration_version **found =
        bsearch(&key_p, index->versions, index->n_versions, sizeof *index->versions, by_version);
    return found ? *found : NULL;
}

struct migration_log *history_log(const struct history_index *index, int64_t number)
{
    size_t low = 0, high = index->n_logs;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->logs[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->n_logs && index->logs[low]->number == number ? index->logs[low] : NULL;
}

bool history_has(const struct history_index *index, int64_t number)
{
    if (index->history->shape == MIGRATION_ONE_ROW && number <= index->history->up_to)
        return true;
    return history_version(index, number) != NULL;
}

/* ---- which file is meant ---- */

/* "Add user-name" and "add_user_name" are one name: people type them by hand. */
static bool same_words(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char x = isalnum((unsigned char)a[i]) ? (char)tolower((unsigned char)a[i]) : '_';
        char y = isalnum((unsigned char)b[i]) ? (char)tolower((unsigned char)b[i]) : '_';
        if (x != y)
            return false;
    }
    return true;
}

bool migration_is_called(const struct migration *migration, const char *name)
{
    size_t len = strlen(name);
    if (str_ends(name, ".sql"))
        len -= strlen(".sql");
    const char *const whole = migration->file, *const part = migration->name;
    if (len == strlen(part) && same_words(name, part, len))
        return true;
    return len == strlen(whole) - strlen(".sql") && same_words(name, whole, len);
}

static bool log_means(const struct migration_log *log, const struct migration *migration)
{
    return str_eq(log->file, migration->file) || (log->blob && str_eq(log->blob, migration->blob));
}

size_t migration_group(const struct migration_set *set, size_t i, size_t *ret_first)
{
    size_t first = i, end = i + 1;
    int64_t number = set->items[i].number;
    while (first > 0 && set->items[first - 1].number == number)
        first--;
    while (end < set->n && set->items[end].number == number)
        end++;
    *ret_first = first;
    return end - first;
}

/* Which of the files of one version ran; -1: cannot be said. */
static ssize_t the_one_that_ran(const struct migration_set *set, size_t first, size_t n,
                                const struct history_index *index)
{
    int64_t number = set->items[first].number;
    const struct migration_log *log = history_log(index, number);
    const struct migration_version *row = history_version(index, number);
    for (size_t i = first; log && i < first + n; i++)
        if (log_means(log, &set->items[i]))
            return (ssize_t)i;
    for (size_t i = first; row && row->name && i < first + n; i++)
        if (migration_is_called(&set->items[i], row->name))
            return (ssize_t)i;
    return -1;
}

bool migration_is_begun(const struct migration_log *log)
{
    if (log->state != MIGRATION_RUNNING && log->state != MIGRATION_FAILED)
        return false;
    if (str_eq(log->mode, "no_tx"))
        return log->done > 0 || log->state == MIGRATION_RUNNING;
    return str_eq(log->mode, "multi_tx") && log->done > 0;
}

bool migration_left_something(const struct migration_log *log)
{
    if (log->state != MIGRATION_FAILED || str_eq(log->mode, "tx"))
        return log->state == MIGRATION_RUNNING;
    /* a statement of its own transaction may leave an invalid index also when it fails */
    return !str_eq(log->mode, "multi_tx") || log->done > 0;
}

enum standing migration_standing(const struct migration_set *set, size_t i, const struct history_index *index)
{
    const struct migration *m = &set->items[i];
    if (!m->version[0])
        return STANDS_PENDING;
    const struct migration_log *log = history_log(index, m->number);
    bool begun = log && migration_is_begun(log), has = history_has(index, m->number);
    bool logged = log && (log->state == MIGRATION_APPLIED || log->state == MIGRATION_RESOLVED);
    if (!begun && !has && !logged)
        return STANDS_PENDING;
    size_t first, n = migration_group(set, i, &first);
    if (n > 1) {
        ssize_t ran = the_one_that_ran(set, first, n, index);
        if (ran < 0)
            return STANDS_UNKNOWN;
        if ((size_t)ran != i)
            return STANDS_NEVER_RAN;
    }
    if (begun)
        return STANDS_BEGUN;
    /* what was below the version of a table of one row never had a row of its own */
    return has || str_eq(log->mode, "baseline") ? STANDS_APPLIED : STANDS_LOST;
}

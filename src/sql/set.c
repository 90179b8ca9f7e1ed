/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/migration.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sql/complaints.h"

/* What int64_t holds for certain. */
enum { VERSION_DIGITS_MAX = 18 };

static bool ends_in_any_case(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcasecmp(name + len - end_len, end) == 0;
}

/* Is it meant to be SQL, whatever the letters and the blanks behind it? */
static bool looks_like_sql(const char *name)
{
    size_t len = strlen(name);
    while (len > 0 && name[len - 1] == ' ')
        len--;
    return len >= 4 && strncasecmp(name + len - 4, ".sql", 4) == 0;
}

/* Begins with a number as migrations do, or as those of Flyway do: V3__x.sql. */
static bool looks_numbered(const char *name)
{
    name += strspn(name, " ");
    if (isdigit((unsigned char)name[0]))
        return true;
    return strchr("VvUu", name[0]) && isdigit((unsigned char)name[1]) && strstr(name, "__");
}

/* Characters that would reach a terminal, or a column of text, as something else. */
static bool is_clean(const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return str_is_utf8(name, strlen(name));
}

/* ---- one name ---- */

enum verdict { TAKEN, IGNORED, REFUSED };

static enum verdict judge_versioned(const struct migration_entry *entry, struct complaints *complaints)
{
    const char *name = entry->name;
    if (!looks_like_sql(name) || !looks_numbered(name))
        return IGNORED;
    size_t digits = strspn(name, "0123456789");
    size_t rest = strlen(name + digits);
    if (digits == 0 || name[digits] != '_' || rest < strlen("_x.sql") || !str_ends(name, ".sql")) {
        complain(complaints, "%s: migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it",
                 name);
        return REFUSED;
    }
    if (digits > VERSION_DIGITS_MAX) {
        complain(complaints, "%s: a version of more than %d digits", name, VERSION_DIGITS_MAX);
        return REFUSED;
    }
    return TAKEN;
}

static enum verdict judge_plain(const struct migration_entry *entry, struct complaints *complaints)
{
    if (!looks_like_sql(entry->name))
        return IGNORED;
    if (str_ends(entry->name, ".sql") && strlen(entry->name) > strlen(".sql"))
        return TAKEN;
    complain(complaints, "%s: SQL files are called NAME.sql: rename it", entry->name);
    return REFUSED;
}

static enum verdict judge(const struct migration_entry *entry, bool versioned, struct complaints *complaints)
{
    if (entry->kind == MIGRATION_FOLDER)
        return IGNORED;
    if (!is_clean(entry->name)) {
        if (!ends_in_any_case(entry->name, ".sql"))
            return IGNORED;
        cleanup_arena struct arena arena = {0};
        complain(complaints, "%s: a name with control characters, or not in UTF-8",
                 str_clean(&arena, entry->name, strlen(entry->name), true, 100));
        return REFUSED;
    }
    if (entry->kind == MIGRATION_LINK) {
        complain(complaints, "%s: a symlink or a submodule; put the file itself there", entry->name);
        return REFUSED;
    }
    enum verdict verdict = versioned ? judge_versioned(entry, complaints) : judge_plain(entry, complaints);
    if (verdict == TAKEN && entry->size > SQL_FILE_MAX) {
        complain(complaints, "%s: larger than %d MiB", entry->name, SQL_FILE_MAX >> 20);
        return REFUSED;
    }
    return verdict;
}

/* ---- the folder ---- */

static struct migration make(struct arena *arena, const struct migration_entry *entry, bool versioned)
{
    const char *file = arena_strdup(arena, entry->name);
    size_t digits = versioned ? strspn(file, "0123456789") : 0;
    const char *name = file + digits + (versioned ? 1 : 0);
    size_t len = strlen(name) - strlen(str_ends(name, ".up.sql") ? ".up.sql" : ".sql");
    return (struct migration){
        .file = file,
        .version = arena_strndup(arena, file, digits),
        .name = arena_strndup(arena, name, len),
        .number = digits ? strtoll(file, NULL, 10) : 0,
        .blob = arena_strdup(arena, entry->blob),
        .size = entry->size,
    };
}

static int by_number_and_name(const void *left, const void *right)
{
    const struct migration *a = left, *b = right;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return strcmp(a->file, b->file);
}

/* The other half of golang-migrate's pair NNN_x.up.sql, NNN_x.down.sql. */
static bool has_up_file(const struct migration_set *set, const struct migration *down)
{
    size_t stem = strlen(down->file) - strlen(".down.sql");
    const struct migration *other = down;
    while (other > set->items && other[-1].number == down->number)
        other--;
    for (; other < set->items + set->n && other->number == down->number; other++)
        if (strncmp(other->file, down->file, stem) == 0 && strcmp(other->file + stem, ".up.sql") == 0)
            return true;
    return false;
}

/* Ways back are never run: those of pairs are left out, others refused, for they would run as migrations. */
static void sort_out_ways_back(struct migration_set *set, size_t *n_ignored, struct complaints *complaints)
{
    bool *down = calloc(set->n + 1, sizeof *down);
    if (!down)
        abort();
    for (size_t i = 0; i < set->n; i++) {
        const struct migration *m = &set->items[i];
        down[i] = m->version[0] && str_ends(m->file, ".down.sql");
        if (down[i] && !has_up_file(set, m))
            complain(complaints,
                     "%s: a way back is never run, and here it would be taken for a migration: "
                     "move it into a folder of its own (rollback/)",
                     m->file);
    }
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        if (down[i])
            set->ignored[(*n_ignored)++] = set->items[i].file;
        else
            set->items[n++] = set->items[i];
    set->n = n;
    free(down);
}

int migration_set_read(struct arena *arena, const char *folder, const struct migration_entry *entries,
                       size_t n_entries, bool versioned, struct migration_set *ret, struct error *err)
{
    cleanup_complaints struct complaints complaints = {0};
    struct migration_set set = {.items = arena_array(arena, n_entries, sizeof *set.items),
                                .ignored = arena_array(arena, n_entries + 1, sizeof *set.ignored)};
    size_t n_ignored = 0;
    for (size_t i = 0; i < n_entries; i++) {
        const struct migration_entry *entry = &entries[i];
        enum verdict verdict = judge(entry, versioned, &complaints);
        if (verdict == TAKEN)
            set.items[set.n++] = make(arena, entry, versioned);
        else if (verdict == IGNORED)
            set.ignored[n_ignored++] =
                arena_printf(arena, "%s%s", str_clean(arena, entry->name, strlen(entry->name), true, 100),
                             entry->kind == MIGRATION_FOLDER ? "/" : "");
    }
    if (set.n > 0)
        qsort(set.items, set.n, sizeof *set.items, by_number_and_name);
    sort_out_ways_back(&set, &n_ignored, &complaints);
    if (set.n > MIGRATION_FILES_MAX)
        complain(&complaints, "more than %d files", MIGRATION_FILES_MAX);
    if (complaints_end(&complaints, err) < 0)
        return error_wrap(err, "%s", folder);
    *ret = set;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/migration.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static void expect_text(const char *want, const char *got, const char *of)
{
    if (strcmp(want, got) != 0)
        fail_msg("%s\n--- got\n%s\n--- want\n%s\n---", of, got, want);
}

/* ---- folders, from text: "001_a.sql 002_b.sql=b2 rollback/ link@ big.sql*" ---- */

static struct migration_entry *entries_of(struct arena *arena, const char *text, size_t *ret_n)
{
    char **words = words_split(arena, text, ret_n);
    struct migration_entry *entries = arena_array(arena, *ret_n + 1, sizeof *entries);
    for (size_t i = 0; i < *ret_n; i++) {
        struct migration_entry *e = &entries[i];
        char *word = words[i], *blob = strchr(word, '=');
        if (blob)
            *blob = '\0';
        size_t len = strlen(word);
        char last = word[len - 1];
        e->kind = last == '/' ? MIGRATION_FOLDER : last == '@' ? MIGRATION_LINK : MIGRATION_FILE;
        e->size = last == '*' ? (uint64_t)SQL_FILE_MAX + 1 : 10;
        e->name = strchr("/@*", last) ? arena_strndup(arena, word, len - 1) : word;
        for (char *c = word; (c = strchr(c, '~'));) /* a blank */
            *c = ' ';
        if (strchr("/@*", last))
            e->name = arena_strndup(arena, word, len - 1);
        e->blob = blob ? blob + 1 : arena_printf(arena, "blob-of-%s", e->name);
    }
    return entries;
}

static void folders(void **state)
{
    (void)state;
    static const struct {
        bool versioned;
        const char *entries, *want; /* version:name number | ignored, or the error */
    } cases[] = {
        {true, "", "|"},
        /* 1: in the order of numbers, what is not a migration left alone */
        {true, "016_add.sql 000_schema.sql 9_x.sql TEMPLATE.sql README.md rollback/ 100_z.sql",
         "000:schema 9:x 016:add 100:z | TEMPLATE.sql README.md rollback/"},
        {true, "20260823140200_add_users.sql 1_a.b.sql", "1:a.b 20260823140200:add_users |"},
        {true, "018_x.sql.bak 018_x.sql~~ 17",
         "dir: 018_x.sql  : migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it"},
        {true, "1_a.up.sql 1_a.down.sql 2_b.up.sql", "1:a 2:b | 1_a.down.sql"},
        {true, "2_x.sql 2_x.down.sql",
         "dir: 2_x.down.sql: a way back is never run, and here it would be taken for a migration: move it "
         "into a folder of its own (rollback/)"},
        {true, "02_a.sql 2_b.sql", "02:a 2:b |"},
        {true, "123456789012345678_a.sql 1234567890123456789_a.sql",
         "dir: 1234567890123456789_a.sql: a version of more than 18 digits"},
        /* 12: near misses, a line each */
        {true, "17-x.sql 018~x.sql 019_x.SQL 020.sql 021_.sql V3__init.sql ok.sql 022_a.sql",
         "dir: 17-x.sql: migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it\n"
         "018 x.sql: migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it\n"
         "019_x.SQL: migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it\n"
         "020.sql: migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it\n"
         "021_.sql: migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it\n"
         "V3__init.sql: migrations are called NUMBER_name.sql, as 016_add_users.sql: rename it"},
        {true, "Vacuum.sql users.sql", "| Vacuum.sql users.sql"},
        {true, "1_a.sql@", "dir: 1_a.sql: a symlink or a submodule; put the file itself there"},
        {true, "1_a.sql*", "dir: 1_a.sql: larger than 64 MiB"},
        {true, "1_a.sql/", "| 1_a.sql/"},
        {true, "dump.bin*", "| dump.bin"},
        {true, "1_\x1b[2J.sql", "dir: 1_[2J.sql: a name with control characters, or not in UTF-8"},
        {true, "1_\xff.sql", "dir: 1_\xef\xbf\xbd.sql: a name with control characters, or not in UTF-8"},
        {false, "roles.sql 20_ext.sql 017~x.sql README.md V1__a.sql sub/",
         ":017 x :20_ext :V1__a :roles | README.md sub/"},
        {false, "roles.SQL .sql",
         "dir: roles.SQL: SQL files are called NAME.sql: rename it\n"
         ".sql: SQL files are called NAME.sql: rename it"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str got = {0};
        struct error err = {0};
        struct migration_set set;
        size_t n;
        struct migration_entry *entries = entries_of(&arena, cases[i].entries, &n);
        if (migration_set_read(&arena, "dir", entries, n, cases[i].versioned, &set, &err) < 0) {
            assert_int_equal(err.kind, ERR_INVALID);
            str_append(&got, err.text);
        } else {
            for (size_t k = 0; k < set.n; k++)
                str_printf(&got, "%s:%s ", set.items[k].version, set.items[k].name);
            str_append(&got, "|");
            for (size_t k = 0; set.ignored[k]; k++)
                str_printf(&got, " %s", set.ignored[k]);
        }
        expect_text(cases[i].want, str_text(&got), cases[i].entries);
    }
}

static void folder_limits(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    size_t n = MIGRATION_FILES_MAX + 1;
    struct migration_entry *entries = arena_array(&arena, n, sizeof *entries);
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct migration_entry){arena_printf(&arena, "%zu_x.sql", i), MIGRATION_FILE, "b", 1};
    struct error err = {0};
    struct migration_set set;
    assert_int_equal(migration_set_read(&arena, "dir", entries, n, true, &set, &err), -1);
    expect_text("dir: more than 10000 files", err.text, "limit");
    assert_int_equal(migration_set_read(&arena, "dir", entries, n - 1, true, &set, &err), 0);
    assert_int_equal(set.n, n - 1);

    /* a text that is too long is cut, and says how many there are */
    for (size_t i = 0; i < n; i++)
        entries[i].name = arena_printf(&arena, "%zu-x.sql", i);
    assert_int_equal(migration_set_read(&arena, "dir", entries, n, true, &set, &err), -1);
    assert_true(str_ends(err.text, "…\n(10001 in all)") || str_ends(err.text, "\n… (10001 in all)"));
}

/* ---- the difference ---- */

/*
 * files: as above, and behind each what was read of it: ":hash", "!" out of order.
 * rows: "016 017/name". logs: "016,file,blob,hash,mode,state,done"
 */
struct difference {
    const char *what, *files, *rows, *logs;
    const char *want;
    struct migration_rules rules;
    struct migration_history table;
};

static const char *const accept_040[] = {"40", NULL};

static struct migration_log read_log(char *word)
{
    static const char *const states[] = {"running", "applied", "failed", "resolved"};
    char *part[7] = {0};
    size_t n = 0;
    for (char *p = word; p && n < 7; n++) {
        part[n] = p;
        p = strchr(p, ',');
        if (p)
            *p++ = '\0';
    }
    assert_int_equal(n, 7);
    struct migration_log log = {.version = part[0],
                                .number = atoll(part[0]),
                                .file = part[1],
                                .blob = part[2],
                                .hash = part[3],
                                .mode = part[4],
                                .done = (unsigned)atoi(part[6])};
    size_t s = 0;
    while (s < ARRAY_SIZE(states) && strcmp(states[s], part[5]) != 0)
        s++;
    assert_true(s < ARRAY_SIZE(states));
    log.state = (enum migration_log_state)s;
    return log;
}

static struct migration_history history_of(struct arena *arena, const struct difference *c)
{
    struct migration_history h = c->table;
    if (!h.table)
        h.table = "public.schema_migrations";
    if (h.shape == MIGRATION_NO_TABLE && c->rows)
        h.shape = MIGRATION_ROWS;
    char **rows = words_split(arena, c->rows ? c->rows : "", &h.n_versions);
    h.versions = arena_array(arena, h.n_versions + 1, sizeof *h.versions);
    for (size_t i = 0; i < h.n_versions; i++) {
        char *name = strchr(rows[i], '/');
        if (name)
            *name++ = '\0';
        for (char *blank = name; blank && (blank = strchr(blank, '~'));)
            *blank = ' ';
        h.versions[i] = (struct migration_version){rows[i], atoll(rows[i]), name};
    }
    char **logs = words_split(arena, c->logs ? c->logs : "", &h.n_logs);
    h.logs = arena_array(arena, h.n_logs + 1, sizeof *h.logs);
    for (size_t i = 0; i < h.n_logs; i++) {
        h.logs[i] = read_log(logs[i]);
        h.logs[i].id = (int64_t)i;
    }
    return h;
}

/* "001_a.sql=blob:hash!": what would be read of it, and whether migration_wants() asks for that. */
static void read_wanted(struct arena *arena, struct migration_set *set,
                        const struct migration_history *history)
{
    const char **read = arena_array(arena, set->n + 1, sizeof *read);
    bool *want = arena_array(arena, set->n + 1, sizeof *want);
    for (size_t i = 0; i < set->n; i++) {
        struct migration *m = &set->items[i];
        size_t blob = strcspn(m->blob, ":");
        read[i] = m->blob[blob] ? m->blob + blob + 1 : "";
        m->blob = arena_strndup(arena, m->blob, blob);
    }
    migration_wants(set, history, want);
    for (size_t i = 0; i < set->n; i++) {
        struct migration *m = &set->items[i];
        if (!want[i])
            continue;
        m->read = true;
        m->summary.n_statements = 1;
        m->summary.out_of_order = strchr(read[i], '!') != NULL;
        (void)snprintf(m->summary.hash, sizeof m->summary.hash, "%.*s", (int)strcspn(read[i], "!"), read[i]);
    }
}

static void dump(struct str *out, const char *word, const char *const *list, const char *separator)
{
    for (size_t i = 0; list[i]; i++)
        str_printf(out, "%s%s", i ? separator : word, list[i]);
    if (list[0])
        str_append(out, "\n");
}

static void differences(void **state)
{
    (void)state;
    static const struct difference cases[] = {
        {.what = "1 fresh", .files = "001_a.sql 000_s.sql", .want = "pending 000_s.sql 001_a.sql\n→ 001\n"},
        {.what = "2 second run",
         .files = "000_s.sql=b0 001_a.sql=b1",
         .rows = "000 001",
         .logs = "000,000_s.sql,b0,h,tx,applied,1 001,001_a.sql,b1,h,tx,applied,1",
         .want = "001 → 001\n"},
        {.what = "3 gaps",
         .files = "000_s.sql 001_a.sql 011_b.sql",
         .rows = "000 001",
         .want = "pending 011_b.sql\nadopted 000 001\n001 → 011\n"},
        {.what = "4 duplicate pending",
         .files = "040_a.sql 040_b.sql",
         .want = "040_a.sql and 040_b.sql have the same version: give one of them another"},
        {.what = "4 the same number in other digits",
         .files = "40_a.sql 040_b.sql",
         .want = "040_b.sql and 40_a.sql have the same version: give one of them another"},
        {.what = "5 duplicate, one applied",
         .files = "040_add_single_task_type.sql 040_add_user_name_fields.sql",
         .rows = "040/add_user_name_fields",
         .want = "040_add_single_task_type.sql never ran: version 040 is applied, by another file; give it a "
                 "version of its own, or accept_duplicates: [\"040\"]"},
        {.what = "5 accepted",
         .files = "040_add_single_task_type.sql 040_add_user_name_fields.sql 041_x.sql",
         .rows = "040/Add~user-name_fields",
         .rules = {.accept_duplicates = accept_040},
         .want =
             "pending 041_x.sql\nadopted 040\nwarning 040_add_single_task_type.sql never ran: version 040 "
             "is applied, by another file (accepted)\n040 → 041\n"},
        {.what = "5 our log knows which",
         .files = "040_a.sql=a 040_b.sql=b",
         .rows = "040/nothing",
         .logs = "040,040_b.sql,b,h,adopted,applied,0",
         .want =
             "040_a.sql never ran: version 040 is applied, by another file; give it a version of its own, "
             "or accept_duplicates: [\"040\"]"},
        {.what = "5 nobody knows which",
         .files = "040_a.sql 040_b.sql 041_c.sql",
         .rows = "040",
         .want = "version 040 is applied, but two files have it (040_a.sql, 040_b.sql): nobody can say which "
                 "of them ran; accept_duplicates: [\"040\"] leaves it at that"},
        {.what = "5 nobody knows which, accepted",
         .files = "040_a.sql 040_b.sql",
         .rows = "040/c",
         .rules = {.accept_duplicates = accept_040},
         .want =
             "warning version 040 is applied as 'c', but two files have it (040_a.sql, 040_b.sql): nobody "
             "can say which of them ran (accepted)\n040 → 040\n"},
        {.what = "6 bigint",
         .files = "016_a.sql 017_b.sql",
         .rows = "16",
         .table = {.shape = MIGRATION_ROWS, .version_is_number = true, .version_max = INT64_MAX},
         .want = "pending 017_b.sql\nadopted 016\n16 → 017\n"},
        {.what = "7 out of order",
         .files = "001_a.sql 003_b.sql 005_c.sql",
         .rows = "001 005",
         .want = "003_b.sql would run after 005, which is applied: give it a higher version, or write -- "
                 "deploy: out-of-order into it; if it is in the database already: agentctl migrate resolve "
                 "STACK 003 done"},
        {.what = "7 with the directive",
         .files = "001_a.sql 003_b.sql=b:h! 005_c.sql 006_d.sql",
         .rows = "001 005",
         .want = "pending 003_b.sql 006_d.sql\nadopted 001 005\nwarning 003_b.sql runs after 005, out of "
                 "order\n005 → 006\n"},
        {.what = "7 only an older one",
         .files = "003_b.sql=b:h! 005_c.sql",
         .rows = "005",
         .want = "pending 003_b.sql\nadopted 005\nwarning 003_b.sql runs after 005, out of order\n"
                 "005 → 005\n"},
        {.what = "8 edited",
         .files = "001_a.sql=b2:h2",
         .rows = "001",
         .logs = "001,001_a.sql,b1,h1,tx,applied,1",
         .want =
             "001_a.sql was applied as blob b1 and is another file now (b2): what is applied does not run "
             "again; put it back, and write the change into a new file"},
        {.what = "8 edited, warn",
         .files = "001_a.sql=b2:h2",
         .rows = "001",
         .logs = "001,001_a.sql,b1,h1,tx,applied,1",
         .rules = {.on_edited = EDITED_WARN},
         .want = "modified 001\nwarning 001_a.sql was applied as blob b1 and is another file now (b2)\n"
                 "001 → 001\n"},
        {.what = "8 edited, ignore",
         .files = "001_a.sql=b2:h2",
         .rows = "001",
         .logs = "001,001_a.sql,b1,h1,tx,applied,1",
         .rules = {.on_edited = EDITED_IGNORE},
         .want = "modified 001\n001 → 001\n"},
        {.what = "9 cosmetic",
         .files = "001_a.sql=b2:h1",
         .rows = "001",
         .logs = "001,001_a.sql,b1,h1,tx,applied,1",
         .want = "warning 001_a.sql: only blanks or comments changed since it was applied\n001 → 001\n"},
        {.what = "10 renamed",
         .files = "001_new.sql=b1:h1",
         .rows = "001",
         .logs = "001,001_a.sql,b1,h1,tx,applied,1",
         .want = "warning 001_new.sql was applied under the name 001_a.sql\n001 → 001\n"},
        {.what = "10 renamed before the first contact",
         .files = "001_new.sql",
         .rows = "001/old",
         .want = "adopted 001\nwarning 001_new.sql is applied under the name 'old'\n001 → 001\n"},
        {.what = "11 missing file",
         .files = "001_a.sql 003_c.sql",
         .rows = "001 002",
         .want = "pending 003_c.sql\nadopted 001\nahead 002\n002 → 003\n"},
        {.what = "30 self-inserting: one row, our log too",
         .files = "018_a.sql=b",
         .rows = "018/a",
         .logs = "018,018_a.sql,b,h,tx,applied,3",
         .want = "018 → 018\n"},
        {.what = "33 failed clean runs again",
         .files = "018_a.sql=b",
         .rows = "",
         .logs = "018,018_a.sql,b,h,tx,failed,0",
         .want = "pending 018_a.sql\nfailed 018\n→ 018\n"},
        {.what = "33 only the newest row of the log counts",
         .files = "018_a.sql=b",
         .rows = "018",
         .logs = "018,018_a.sql,b,h,tx,failed,0 018,018_a.sql,b,h,tx,applied,0",
         .want = "018 → 018\n"},
        {.what = "34 begun: finished first",
         .files = "017_z.sql=z:h! 018_a.sql=b 019_b.sql",
         .rows = "016",
         .logs = "018,018_a.sql,b,h,multi_tx,failed,3",
         .want = "pending 018_a.sql 017_z.sql 019_b.sql\npartial 018_a.sql 3\nahead 016\nfailed 018\n"
                 "warning 017_z.sql runs after 018, out of order\n016 → 019\n"},
        {.what = "34 begun, and an older one came",
         .files = "017_z.sql 018_a.sql=b",
         .rows = "016",
         .logs = "018,018_a.sql,b,h,multi_tx,failed,3",
         .want = "017_z.sql would run after 018, which is begun: give it a higher version, or write -- "
                 "deploy: out-of-order into it; if it is in the database already: agentctl migrate resolve "
                 "STACK 017 done"},
        {.what = "34 it inserted its row before it failed",
         .files = "018_a.sql=b",
         .rows = "018",
         .logs = "018,018_a.sql,b,h,multi_tx,running,3",
         .want = "pending 018_a.sql\npartial 018_a.sql 3\nfailed 018\n018 → 018\n"},
        {.what = "no_tx: one statement may have run",
         .files = "018_a.sql=b",
         .rows = "",
         .logs = "018,018_a.sql,b,h,no_tx,running,0",
         .want = "pending 018_a.sql\npartial 018_a.sql 0\nfailed 018\n→ 018\n"},
        {.what = "two begun",
         .files = "018_a.sql=b 019_b.sql=c",
         .rows = "",
         .logs = "018,018_a.sql,b,h,no_tx,running,0 019,019_b.sql,c,h,multi_tx,failed,1",
         .want = "018_a.sql and 019_b.sql have both been begun: agentctl migrate resolve says which is done"},
        {.what = "failed, and applied by hand since",
         .files = "018_a.sql=b",
         .rows = "018",
         .logs = "018,018_a.sql,b,h,tx,failed,0",
         .want = "018 → 018\n"},
        {.what = "the row was taken away",
         .files = "018_a.sql=b",
         .rows = "017",
         .logs = "018,018_a.sql,b,h,tx,applied,1",
         .want = "018_a.sql was applied by deploy-agent, but public.schema_migrations has no row of it any "
                 "more: agentctl migrate resolve STACK 018 done puts it back, again lets the file run again"},
        {.what = "61 too long",
         .files = "20260823140200_a.sql",
         .rows = "",
         .table = {.shape = MIGRATION_ROWS, .version_length = 10},
         .want = "20260823140200_a.sql: its version does not fit into the column version of "
                 "public.schema_migrations, which takes 10 characters"},
        {.what = "61 too large",
         .files = "2147483647_a.sql 20260823140200_b.sql",
         .rows = "",
         .table = {.shape = MIGRATION_ROWS, .version_is_number = true, .version_max = INT32_MAX},
         .want = "20260823140200_b.sql: its version does not fit into the column version of "
                 "public.schema_migrations, which takes numbers up to 2147483647"},
        {.what = "61 an unknown column",
         .files = "001_a.sql",
         .rows = "",
         .table = {.shape = MIGRATION_ROWS, .required = "checksum"},
         .want = "the column checksum of public.schema_migrations is NOT NULL without a default, and "
                 "deploy-agent does not know what belongs there: give it a default, or the step a table of "
                 "its own"},
        {.what = "61 nothing to write, nothing wrong",
         .files = "001_a.sql",
         .rows = "001",
         .table = {.shape = MIGRATION_ROWS, .required = "checksum"},
         .want = "adopted 001\n001 → 001\n"},
        {.what = "62 golang-migrate",
         .files = "1_a.sql 2_b.sql 3_c.sql",
         .table = {.shape = MIGRATION_ONE_ROW, .up_to = 2},
         .want = "pending 3_c.sql\nadopted 1 2\n2 → 3\n"},
        {.what = "62 golang-migrate, before its first",
         .files = "0_s.sql 1_a.sql",
         .table = {.shape = MIGRATION_ONE_ROW, .up_to = -1},
         .want = "pending 0_s.sql 1_a.sql\n→ 1\n"},
        {.what = "62 and ours since",
         .files = "1_a.sql 2_b.sql 3_c.sql 4_d.sql",
         .rows = "3",
         .logs = "3,3_c.sql,blob-of-3_c.sql,h,tx,applied,1",
         .table = {.shape = MIGRATION_ONE_ROW, .up_to = 2},
         .want = "pending 4_d.sql\nadopted 1 2\n3 → 4\n"},
        {.what = "62 dirty",
         .files = "1_a.sql 2_b.sql",
         .table = {.shape = MIGRATION_ONE_ROW, .up_to = 2, .dirty = true},
         .want =
             "public.schema_migrations says that version 2 is dirty: golang-migrate failed half way. Find "
             "out what of it is in the database, mend that by hand, then set dirty = false there (and "
             "version to the last one that is whole)"},
        {.what = "another tool's",
         .files = "1_a.sql",
         .rows = "1",
         .table = {.shape = MIGRATION_FOREIGN, .table = "public.flyway_schema_history"},
         .want =
             "public.flyway_schema_history was written by another tool: agentctl migrate adopt takes over "
             "what it applied"},
        {.what = "64 somebody applied it meanwhile",
         .files = "017_a.sql 018_b.sql 019_c.sql",
         .rows = "017 018",
         .want = "pending 019_c.sql\nadopted 017 018\n018 → 019\n"},
        {.what = "all at once",
         .files = "001_a.sql=b2:h2 002_b.sql 004_c.sql 004_d.sql",
         .rows = "001 003",
         .logs = "001,001_a.sql,b1,h1,tx,applied,1",
         .want =
             "001_a.sql was applied as blob b1 and is another file now (b2): what is applied does not run "
             "again; put it back, and write the change into a new file\n"
             "002_b.sql would run after 003, which is applied: give it a higher version, or write -- "
             "deploy: out-of-order into it; if it is in the database already: agentctl migrate resolve "
             "STACK 002 done\n"
             "004_c.sql and 004_d.sql have the same version: give one of them another"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct difference *c = &cases[i];
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str got = {0};
        struct error err = {0};
        size_t n;
        struct migration_entry *entries = entries_of(&arena, c->files, &n);
        struct migration_set set;
        struct migration_diff diff;
        if (migration_set_read(&arena, "dir", entries, n, true, &set, &err) < 0)
            fail_msg("%s: %s", c->what, err.text);
        struct migration_history history = history_of(&arena, c);
        read_wanted(&arena, &set, &history);
        if (migration_diff(&arena, &set, &history, &c->rules, &diff, &err) < 0) {
            assert_int_equal(err.kind, ERR_INVALID);
            str_append(&got, err.text);
        } else {
            for (size_t k = 0; k < diff.n_pending; k++)
                str_printf(&got, "%s%s", k ? " " : "pending ", diff.pending[k]->file);
            str_append(&got, diff.n_pending ? "\n" : "");
            if (diff.partial)
                str_printf(&got, "partial %s %u\n", diff.partial->file, diff.partial_log->done);
            dump(&got, "adopted ", diff.adopted, " ");
            dump(&got, "ahead ", diff.ahead, " ");
            dump(&got, "modified ", diff.modified, " ");
            dump(&got, "failed ", diff.failed, " ");
            dump(&got, "warning ", diff.warnings, "\nwarning ");
            str_printf(&got, "%s%s→ %s\n", diff.before, diff.before[0] ? " " : "", diff.after);
        }
        expect_text(c->want, str_text(&got), c->what);
    }
}

/* Idempotent files: all of them each time, whatever was logged. */
static void unversioned(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    size_t n;
    struct migration_entry *entries = entries_of(&arena, "roles.sql=r 1_ext.sql=e", &n);
    struct migration_set set;
    struct migration_diff diff;
    struct error err = {0};
    assert_int_equal(migration_set_read(&arena, "dir", entries, n, false, &set, &err), 0);
    struct migration_log log = {.version = "", .file = "roles.sql", .blob = "r", .mode = "tx"};
    log.state = MIGRATION_APPLIED;
    const struct migration_history history = {
        .shape = MIGRATION_ROWS, .logs = &log, .n_logs = 1, .required = "checksum", .table = "t"};
    const struct migration_rules rules = {0};
    bool want[2] = {false, false};
    migration_wants(&set, &history, want);
    assert_true(want[0] && want[1]);
    assert_int_equal(migration_diff(&arena, &set, &history, &rules, &diff, &err), 0);
    assert_int_equal(diff.n_pending, 2);
    assert_string_equal(diff.pending[0]->file, "1_ext.sql");
    assert_string_equal(diff.before, "");
    assert_string_equal(diff.after, "");
    assert_null(diff.adopted[0]);
    assert_null(diff.failed[0]);
}

/* A lint about a table counts only where rows of users can be in it. */
static void lints(void **state)
{
    (void)state;
    static const char *exist[] = {"public.users", "roles", NULL}, *roles[] = {"postgres", NULL};
    static const char *made_by_first[] = {"tasks", NULL}, *made_by_second[] = {"public.late", NULL};
    static const char *const index_rule[] = {"index-without-concurrently", NULL}, *const drop_rule[] = {
                                                                                      "x", "drop-table",
                                                                                      NULL};
    static const char *roles_made[] = {"app", NULL}, *late_roles[] = {"late_app", NULL};
    static const struct {
        const char *table;
        bool not_asked; /* the database has not been */
        const char *const *errors;
        const char *want, *role;
        bool may_come; /* by a step before this one */
    } cases[] = {
        {NULL, false, NULL, "warning 1_a.sql:7: drop-table: gone", "root", false},
        {NULL, false, drop_rule, "1_a.sql:7: drop-table: gone", "root", false},
        {NULL, false, drop_rule, "warning 1_a.sql:7: drop-table: gone", "root", true},
        {NULL, true, drop_rule, "warning 1_a.sql:7: drop-table: gone", "root", false},
        {NULL, false, drop_rule, "", "app", false}, /* made by an earlier file */
        {NULL, true, drop_rule, "", "app", false},
        {NULL, false, drop_rule, "1_a.sql:7: drop-table: gone", "late_app", false}, /* by a later one */
        {NULL, false, drop_rule, "1_a.sql:7: drop-table: gone", NULL, true},
        {NULL, false, NULL, "", "postgres", false},
        {NULL, true, NULL, "warning 1_a.sql:7: drop-table: gone", "postgres", false},
        {NULL, false, NULL, "warning 1_a.sql:7: drop-table: gone", NULL, false},
        {"users", false, NULL, "warning 1_a.sql:7: drop-table: gone", NULL, false},
        {"public.users", false, NULL, "warning 1_a.sql:7: drop-table: gone", NULL, false},
        {"audit.users", false, NULL, "", NULL, false},
        {"audit.roles", false, NULL, "warning 1_a.sql:7: drop-table: gone", NULL, false},
        {"nobodys", false, NULL, "", NULL, false},
        {"nobodys", true, NULL, "warning 1_a.sql:7: drop-table: gone", NULL, false},
        {"tasks", true, NULL, "", NULL, false},                                   /* made by the same file */
        {"late", true, NULL, "warning 1_a.sql:7: drop-table: gone", NULL, false}, /* made by a later one */
        {"users", false, index_rule, "warning 1_a.sql:7: drop-table: gone", NULL, false},
        {"nobodys", false, drop_rule, "", NULL, false},
        {"users", false, drop_rule, "1_a.sql:7: drop-table: gone", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct sql_lint lint = {"drop-table", 7, "gone", cases[i].table, cases[i].role};
        struct migration items[3] = {
            {.file = "0_roles.sql", .version = "0", .number = 0, .blob = "r", .read = true},
            {.file = "1_a.sql", .version = "1", .number = 1, .blob = "a", .read = true},
            {.file = "2_b.sql", .version = "2", .number = 2, .blob = "b", .read = true}};
        items[0].summary = (struct sql_summary){.n_statements = 1, .roles = roles_made};
        items[1].summary =
            (struct sql_summary){.n_statements = 1, .tables = made_by_first, .lints = &lint, .n_lints = 1};
        items[2].summary =
            (struct sql_summary){.n_statements = 1, .tables = made_by_second, .roles = late_roles};
        const struct migration_set set = {.items = items, .n = 3};
        const struct migration_history history = {.tables = cases[i].not_asked ? NULL : exist,
                                                  .roles = cases[i].not_asked ? NULL : roles};
        const struct migration_rules rules = {.lint_errors = cases[i].errors,
                                              .roles_may_come = cases[i].may_come};
        struct migration_diff diff;
        struct error err = {0};
        cleanup_str struct str got = {0};
        if (migration_diff(&arena, &set, &history, &rules, &diff, &err) < 0)
            str_append(&got, err.text);
        else
            for (size_t k = 0; diff.warnings[k]; k++)
                str_printf(&got, "warning %s", diff.warnings[k]);
        expect_text(cases[i].want, str_text(&got), cases[i].table ? cases[i].table : "always");
    }
}

static void left_behind(void **state)
{
    (void)state;
    static const struct {
        struct migration_log log;
        bool want;
    } cases[] = {
        {{.state = MIGRATION_RUNNING, .mode = "tx"}, true},
        {{.state = MIGRATION_FAILED, .mode = "tx"}, false},
        {{.state = MIGRATION_FAILED, .mode = "multi_tx", .total = 4}, false},
        {{.state = MIGRATION_FAILED, .mode = "multi_tx", .done = 2, .total = 4}, true},
        {{.state = MIGRATION_FAILED, .mode = "no_tx", .total = 1}, true}, /* an invalid index */
        {{.state = MIGRATION_FAILED, .mode = "no_tx", .done = 1, .total = 2}, true},
        {{.state = MIGRATION_APPLIED, .mode = "no_tx", .done = 1, .total = 1}, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (migration_left_something(&cases[i].log) != cases[i].want)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders),     cmocka_unit_test(folder_limits), cmocka_unit_test(differences),
        cmocka_unit_test(unversioned), cmocka_unit_test(lints),         cmocka_unit_test(left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "journal/db.h"
#include "journal/migrations.h"

/* "dply" in the file's header: sets our file apart from any other SQLite file (file(1) shows it) */
static const int64_t application_id = 0x64706c79;

static int sync_folder(const struct journal *j, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *folder = dirname(arena_strdup(&arena, j->path));
    cleanup_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_errno(err, "syncing %s", folder);
    return 0;
}

/* ---- connecting ---- */

static int read_number(struct journal *j, const char *sql, int64_t *ret, struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(j, err, sql);
    int r = db_next(j, q, err);
    if (r > 0)
        *ret = col_int(q, 0);
    return r < 0 ? -1 : 0;
}

static int check_identity(struct journal *j, int64_t *ret_version, struct error *err)
{
    int64_t app = 0, version = 0, tables = 0;
    if (read_number(j, "PRAGMA application_id", &app, err) < 0 ||
        read_number(j, "PRAGMA user_version", &version, err) < 0 ||
        read_number(j, "SELECT count(*) FROM sqlite_schema", &tables, err) < 0)
        return -1;
    if (app != application_id && (version != 0 || tables != 0))
        return error_set(err, ERR_REFUSED, 0, "%s is no journal of deploy-agent; it is left alone", j->path);
    if (version > journal_schema_version)
        return error_set(err, ERR_REFUSED, 0,
                         "the journal %s was written by a newer deploy-agent (schema %lld, this one knows "
                         "%d); install that "
                         "version again",
                         j->path, (long long)version, journal_schema_version);
    *ret_version = version;
    return 0;
}

static int set_up_writer(struct journal *j, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int on = 1;
    int rc = sqlite3_file_control(j->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    if (rc != SQLITE_OK)
        return db_error(j, rc, err);
    {
        cleanup_query sqlite3_stmt *q = db_query(j, err, "PRAGMA journal_mode = WAL");
        if (db_next(j, q, err) < 0)
            return -1;
        const char *mode = col_text(&arena, q, 0);
        if (!str_eq(mode, "wal"))
            return error_set(err, ERR_UNAVAILABLE, 0,
                             "the journal %s: its file system allows no write-ahead log", j->path);
    }
    /* with a size limit the last close empties the log */
    return db_exec(
        j, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 4194304", err);
}

/* "file:PATH?immutable=1", with what a URI reserves escaped */
static char *immutable_uri(struct arena *arena, const char *path)
{
    cleanup_str struct str uri = {0};
    str_append(&uri, "file:");
    for (const char *p = path; *p; p++)
        if (strchr("?#%", *p))
            str_printf(&uri, "%%%02x", (unsigned char)*p);
        else
            str_append_char(&uri, *p);
    str_append(&uri, "?immutable=1");
    return arena_strdup(arena, str_text(&uri));
}

static int open_database(struct journal *j, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    flags |= j->mode == JOURNAL_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    const char *name = j->path;
    if (j->private_copy) {
        flags |= SQLITE_OPEN_URI;
        name = immutable_uri(&arena, j->path);
    }
    int rc = fault_errno("journal.open") ? SQLITE_CANTOPEN : sqlite3_open_v2(name, &j->db, flags, NULL);
    if (rc != SQLITE_OK)
        return db_error(j, rc, err);
    sqlite3_busy_timeout(j->db, 5000);
    sqlite3_db_config(j->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return db_exec(j, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON", err);
}

int db_connect(struct journal *j, struct error *err)
{
    int64_t version;
    int r = open_database(j, err);
    j->opened = mono_us();
    if (r == 0)
        r = check_identity(j, &version, err);
    if (r == 0 && j->mode != JOURNAL_READ)
        r = set_up_writer(j, err);
    if (r < 0)
        db_disconnect(j);
    return r;
}

void db_disconnect(struct journal *j)
{
    for (size_t i = 0; i < j->n_statements; i++)
        sqlite3_finalize(j->statements[i].stmt);
    j->n_statements = 0;
    sqlite3_close(j->db);
    j->db = NULL;
}

/* ---- migrating ---- */

/* Every migration that is missing, in one transaction: a reader sees the journal it knew, or this one. */
static int migrate(struct journal *j, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int64_t version;
    if (check_identity(j, &version, err) < 0)
        return -1;
    if (version == journal_schema_version)
        return 0;
    if (db_begin(j, err) < 0)
        return -1;
    /* read again: another process may have been faster */
    if (check_identity(j, &version, err) < 0)
        return db_rollback(j);
    for (; version < journal_schema_version; version++) {
        const char *number = arena_printf(&arena, "PRAGMA application_id = %lld; PRAGMA user_version = %lld",
                                          (long long)application_id, (long long)version + 1);
        if (db_exec(j, journal_migrations_sql[version], err) < 0 || db_exec(j, number, err) < 0) {
            error_wrap(err, "bringing the journal to schema %lld", (long long)version + 1);
            return db_rollback(j);
        }
        fault_point("journal.migrate");
    }
    return db_commit(j, err);
}

/* ---- opening for writing ---- */

static int connect_and_migrate(struct journal *j, bool alone, struct error *err)
{
    struct stat st;
    bool created = alone && (stat(j->path, &st) < 0 || st.st_size == 0);
    if (created) {
        cleanup_close int fd = file_create(j->path, err);
        if (fd < 0)
            return -1;
    }
    if (db_connect(j, err) < 0 || migrate(j, err) < 0)
        return -1;
    return created ? sync_folder(j, err) : 0;
}

static int open_writer(struct journal *j, struct error *err)
{
    bool alone = false, check = false;
    if (lock_take(j, &alone, &check, err) < 0)
        return -1;
    struct error damage = {0};
    int r = alone && (check || j->mode == JOURNAL_CHECK) ? recover_check(j, &damage) : 0;
    if (r == 0)
        r = connect_and_migrate(j, alone, &damage);
    if (r < 0 && alone && db_is_damage(damage.code)) {
        if (recover_move_away(j, err) < 0 || connect_and_migrate(j, alone, err) < 0)
            return -1;
    } else if (r < 0) {
        *err = damage;
        return -1;
    }
    return alone ? lock_share(j, err) : 0;
}

/* ---- opening for reading ---- */

/*
 * What a reader who may write nothing can use: with -wal and -shm in place SQLite reads through them, also
 * while no writer runs. Without a log, or with an empty one that has no index, the file alone is the whole
 * truth, and SQLite is told so: it would have to create both otherwise.
 */
static bool file_is_all(const struct journal *j)
{
    cleanup_arena struct arena arena = {0};
    struct stat wal, shm;
    bool has_wal = stat(arena_printf(&arena, "%s-wal", j->path), &wal) == 0;
    bool has_shm = stat(arena_printf(&arena, "%s-shm", j->path), &shm) == 0;
    return !has_wal || (!has_shm && wal.st_size == 0);
}

static int check_readable(const struct journal *j, struct error *err)
{
    cleanup_close int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return 0;
    if (errno == ENOENT)
        return error_set(err, ERR_NOT_FOUND, errno,
                         "there is no journal %s yet: agentd makes it when it first starts", j->path);
    if (errno == EACCES)
        return error_set(
            err, ERR_REFUSED, errno,
            "the journal %s may not be read by you: its readers are root and the group deploy-agent",
            j->path);
    return error_errno(err, "%s", j->path);
}

static int connect_reader(struct journal *j, struct error *err)
{
    enum { TRIES = 10 };
    for (unsigned i = 0;; i++) {
        j->private_copy = file_is_all(j);
        if (db_connect(j, err) == 0)
            return 0;
        /* A writer that comes, goes or recovers at this very moment: its files are there a moment later. */
        int primary = err->code & 0xff;
        bool passing = primary == SQLITE_READONLY || primary == SQLITE_CANTOPEN || primary == SQLITE_BUSY ||
                       (j->private_copy && db_is_damage(err->code));
        if (!passing || i == TRIES)
            return -1;
        sleep_us(20000);
    }
}

static int open_reader(struct journal *j, struct error *err)
{
    int64_t version = 0;
    if (check_readable(j, err) < 0 || connect_reader(j, err) < 0 || check_identity(j, &version, err) < 0)
        return -1;
    if (version == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the journal %s is empty: agentd has not finished making it",
                         j->path);
    if (version < journal_schema_version)
        return error_set(err, ERR_REFUSED, 0,
                         "the journal %s has the older schema %lld: restart agentd, it brings it to %d",
                         j->path, (long long)version, journal_schema_version);
    return 0;
}

/* ---- public ---- */

int journal_open(const char *path, enum journal_mode mode, struct journal **ret, struct error *err)
{
    struct journal *j = calloc(1, sizeof *j);
    if (!j || !(j->path = strdup(path)))
        abort();
    j->mode = mode;
    j->lock_fd = -1;
    int r = mode == JOURNAL_READ ? open_reader(j, err) : open_writer(j, err);
    if (r < 0) {
        journal_close(j);
        return -1;
    }
    *ret = j;
    return 0;
}

bool journal_recovered(const struct journal *journal)
{
    return journal->recovered;
}

int64_t journal_data_version(struct journal *journal)
{
    struct error ignored = {0};
    int64_t version = -1;
    return read_number(journal, "PRAGMA data_version", &version, &ignored) < 0 ? -1 : version;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    db_disconnect(j);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    free(j->path);
    free(j);
}

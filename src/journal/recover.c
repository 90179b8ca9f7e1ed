/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who has the file open, is it whole, and what to do when it is not.
 *
 * Every writer holds a shared flock on journal.db.lock while it has the journal open. A writer that gets the
 * lock exclusively is alone: only then may the file be created, checked and moved away. An unclean end is
 * seen by a write-ahead log that is not empty (the last writer's close empties it, PRAGMA
 * journal_size_limit).
 *
 * The lock file's one word is the memory between writers: "complete" once the journal was created, "damaged"
 * when SQLite has met damage while somebody worked, "recovered" from before a damaged file is moved away
 * until journal_recovery_noted(). Readers neither need nor touch it.
 */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "journal/db.h"

static const char word_complete[] = "complete\n", word_damaged[] = "damaged\n",
                  word_recovered[] = "recovered\n";

/* A check of a large file takes a while, and its checker holds the lock exclusively. */
static const int64_t lock_patience_us = 60 * US_PER_S;
/* Of agentd's loop: enough for the moment that an opening without a check holds it. */
static const int64_t loop_patience_us = US_PER_S;

static bool lock_says(const struct journal *j, const char *word)
{
    char text[16] = "";
    ssize_t n = pread(j->lock_fd, text, sizeof text - 1, 0);
    return n > 0 && strcmp(text, word) == 0;
}

static int lock_write(const struct journal *j, const char *word)
{
    ssize_t len = (ssize_t)strlen(word);
    if (ftruncate(j->lock_fd, 0) < 0 || pwrite(j->lock_fd, word, (size_t)len, 0) != len)
        return -1;
    return fsync(j->lock_fd);
}

/* -1: missing */
static int64_t size_of(struct arena *arena, const char *path, const char *suffix)
{
    struct stat st;
    return stat(arena_printf(arena, "%s%s", path, suffix), &st) < 0 ? -1 : (int64_t)st.st_size;
}

static int wait_for_share(struct journal *j, struct error *err)
{
    int64_t deadline = mono_us() + (j->mode == JOURNAL_WRITE ? lock_patience_us : loop_patience_us);
    while (flock(j->lock_fd, LOCK_SH | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_errno(err, "locking %s.lock", j->path);
        if (mono_us() >= deadline)
            return error_set(err, ERR_UNAVAILABLE, 0, "the journal %s is being checked by another process",
                             j->path);
        sleep_us(20000);
    }
    return 0;
}

int file_create(const char *path, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    bool made = fd >= 0;
    struct stat st;
    if (fd < 0 && errno == EEXIST)
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || (made && (fchmod(fd, 0640) < 0 || stat(dirname(arena_strdup(&arena, path)), &st) < 0)) ||
        (made && geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)) {
        error_errno(err, "opening %s for writing", path);
        err->kind = ERR_UNAVAILABLE;
        return -1;
    }
    return TAKE_FD(fd);
}

int lock_take(struct journal *j, bool *ret_alone, bool *ret_check, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    j->lock_fd = file_create(arena_printf(&arena, "%s.lock", j->path), err);
    if (j->lock_fd < 0)
        return -1;
    bool alone = flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0;
    if (!alone && wait_for_share(j, err) < 0)
        return -1;
    int64_t size = size_of(&arena, j->path, "");
    bool recovered = lock_says(j, word_recovered);
    bool emptied = size <= 0 && lock_says(j, word_complete);
    bool unclean = j->mode != JOURNAL_AGAIN && size_of(&arena, j->path, "-wal") > 0;
    *ret_alone = alone;
    *ret_check = alone && (emptied || recovered || lock_says(j, word_damaged) || unclean);
    j->recovered = recovered;
    return 0;
}

static int lock_note(struct journal *j, const char *word, struct error *err)
{
    if (lock_says(j, word) || lock_write(j, word) == 0)
        return 0;
    error_errno(err, "writing %s.lock", j->path);
    err->kind = ERR_UNAVAILABLE;
    return -1;
}

int lock_share(struct journal *j, struct error *err)
{
    if (!lock_says(j, word_recovered) && lock_note(j, word_complete, err) < 0)
        return -1;
    return flock(j->lock_fd, LOCK_SH) < 0 ? error_errno(err, "locking %s.lock", j->path) : 0;
}

void lock_mark_damage(struct journal *j)
{
    if (j->lock_fd >= 0 && !lock_says(j, word_damaged) && !lock_says(j, word_recovered) &&
        lock_write(j, word_damaged) < 0)
        return; /* the disk is beyond remembering; the damage will be met again */
}

static int quick_check(struct journal *j, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_query sqlite3_stmt *q = db_query(j, err, "PRAGMA quick_check(1)");
    int r = db_next(j, q, err);
    if (r < 0)
        return -1;
    const char *verdict = r ? col_text(&arena, q, 0) : "no answer";
    if (str_eq(verdict, "ok"))
        return 0;
    return error_set(err, ERR_FAILED, SQLITE_CORRUPT, "the journal %s is damaged: %s", j->path,
                     text_line(&arena, verdict, TEXT_LINE_MAX));
}

int recover_check(struct journal *j, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int64_t size = size_of(&arena, j->path, "");
    if (size <= 0 && !lock_says(j, word_complete))
        return 0; /* about to be created */
    if (size <= 0)
        return error_set(err, ERR_FAILED, SQLITE_CORRUPT, "the journal %s is %s", j->path,
                         size < 0 ? "gone" : "empty");
    if (db_connect(j, err) < 0)
        return -1;
    int r = quick_check(j, err);
    db_disconnect(j);
    return r;
}

/* A name that is free for all three files, so that SQLite finds them together when somebody looks into them.
 */
static const char *broken_name(struct arena *arena, const struct journal *j)
{
    char stamp[32];
    time_t now = (time_t)(wall_us() / US_PER_S);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    const char *name = arena_printf(arena, "%s.broken-%s", j->path, stamp);
    for (unsigned i = 2; size_of(arena, name, "") >= 0; i++)
        name = arena_printf(arena, "%s.broken-%s-%u", j->path, stamp, i);
    return name;
}

int recover_move_away(struct journal *j, struct error *err)
{
    static const char *const suffixes[] = {"-wal", "-shm", ""};
    cleanup_arena struct arena arena = {0};
    const char *to = broken_name(&arena, j);
    db_disconnect(j);
    /* first of all: who dies in the middle leaves a new journal of which nobody would know that it is one */
    if (lock_note(j, word_recovered, err) < 0)
        return -1;
    j->recovered = true;
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        const char *from = arena_printf(&arena, "%s%s", j->path, suffixes[i]);
        if (rename(from, arena_printf(&arena, "%s%s", to, suffixes[i])) < 0 && errno != ENOENT) {
            error_errno(err, "moving the damaged journal %s to %s", from, to);
            err->kind = ERR_UNAVAILABLE;
            return -1;
        }
    }
    return 0;
}

int journal_recovery_noted(struct journal *journal, struct error *err)
{
    if (lock_note(journal, word_complete, err) < 0)
        return -1;
    journal->recovered = false;
    return 0;
}

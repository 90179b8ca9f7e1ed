/* SPDX-License-Identifier: Apache-2.0 */

/* What happens to the journal when processes die, disks fill and files are damaged; and who may read it. */

#include "journal_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#define TEST(name)   cmocka_unit_test_setup_teardown(name, fixture_open, fixture_free)
#define CLOSED(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)

/* ---- processes ---- */

/* Runs fn in a process of its own, on a journal it opens itself; its result is the exit status. */
static pid_t start(struct fixture *f, int (*fn)(struct fixture *, void *), void *userdata)
{
    pid_t pid = fork();
    if (pid == 0) {
        f->journal = NULL; /* the parent's: not to be used here, not even closed */
        _exit(fn(f, userdata));
    }
    assert_true(pid > 0);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* In a child no assertion may be used: they belong to the parent's test. */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        if ((call) < 0) {                                                                                    \
            fprintf(stderr, "%s: %s\n", #call, f->err.text);                                                 \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

enum { EACH = 200 };

static int write_many(struct fixture *f, void *userdata)
{
    struct deployment_request r = {.stack = userdata, .commit = commit_a, .trigger = TRIGGER_POLL};
    int64_t id;
    TRY(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    for (unsigned i = 0; i < EACH; i++)
        TRY(journal_request(f->journal, &r, &id, &f->err));
    journal_close(f->journal);
    return 0;
}

static size_t count(struct fixture *f)
{
    struct deployment *rows;
    size_t n;
    OK(journal_deployments(f->journal, &f->arena, &(struct deployment_filter){0}, &rows, &n, &f->err));
    return n;
}

/* Both begin with a file that does not exist yet. */
static void two_writers(void **state)
{
    struct fixture *f = *state;
    char shop[] = "shop", blog[] = "blog";
    pid_t a = start(f, write_many, shop), b = start(f, write_many, blog);
    assert_int_equal(wait_for(a), 0);
    assert_int_equal(wait_for(b), 0);
    OK(journal_open(f->path, JOURNAL_CHECK, &f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    assert_int_equal(count(f), 2 * EACH);
}

struct hung {
    int ready; /* write end of a pipe: a byte after each commit */
};

/* Commits for ever, each time a deployment with a plan of many rows. */
static int write_for_ever(struct fixture *f, void *userdata)
{
    struct hung *h = userdata;
    enum { STEPS = 400 };
    static struct step steps[STEPS];
    for (unsigned i = 0; i < STEPS; i++)
        steps[i] = (struct step){.seq = i + 1, .kind = "run", .name = "step", .params = "{}"};
    struct deployment_request r = {.stack = "shop", .commit = commit_a, .trigger = TRIGGER_POLL};
    TRY(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    for (;;) {
        int64_t id;
        TRY(journal_request(f->journal, &r, &id, &f->err));
        TRY(journal_save_plan(f->journal, id,
                              &(struct plan_rows){.plan = "{}", .steps = steps, .n_steps = STEPS}, &f->err));
        if (write(h->ready, "x", 1) != 1)
            return 1;
    }
}

/* kill -9 at many moments: what was acknowledged is there, no half plan is. */
static void killed_writer(void **state)
{
    struct fixture *f = *state;
    size_t acknowledged = 0;
    for (unsigned round = 0; round < 10; round++) {
        int fds[2];
        char byte;
        assert_int_equal(pipe(fds), 0);
        struct hung h = {fds[1]};
        pid_t pid = start(f, write_for_ever, &h);
        close(fds[1]);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(read(fds[0], &byte, 1), 1);
        sleep_us(300 * round);
        kill(pid, SIGKILL);
        assert_int_equal(wait_for(pid), -SIGKILL);
        acknowledged += 3;
        while (read(fds[0], &byte, 1) == 1)
            acknowledged++;
        close(fds[0]);

        OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err)); /* checks: the end was unclean */
        assert_false(journal_recovered(f->journal));
        struct deployment *rows;
        size_t n, planned = 0;
        OK(journal_deployments(f->journal, &f->arena, &(struct deployment_filter){0}, &rows, &n, &f->err));
        for (size_t i = 0; i < n; i++) {
            struct step *steps;
            size_t n_steps;
            OK(journal_steps(f->journal, &f->arena, rows[i].id, &steps, &n_steps, &f->err));
            assert_true(n_steps == 0 || n_steps == 400);
            planned += n_steps == 400;
        }
        assert_true(planned >= acknowledged);
        journal_close(f->journal);
        f->journal = NULL;
    }
}

/* ---- readers ---- */

enum { STRANGER = 65534, READERS = 65533 };

/* Becomes a user who may only read, and reads. */
static int read_as_stranger(struct fixture *f, void *userdata)
{
    size_t n, *want = userdata;
    struct deployment *rows;
    gid_t group = READERS;
    if (setgroups(1, &group) < 0 || setgid(STRANGER) < 0 || setuid(STRANGER) < 0)
        return 2;
    TRY(journal_open(f->path, JOURNAL_READ, &f->journal, &f->err));
    TRY(journal_deployments(f->journal, &f->arena, &(struct deployment_filter){0}, &rows, &n, &f->err));
    bool readable = journal_data_version(f->journal) >= 0;
    journal_close(f->journal);
    arena_release(&f->arena);
    if (n != *want)
        fprintf(stderr, "the reader sees %zu rows, not %zu\n", n, *want);
    return n == *want && readable ? 0 : 3;
}

static void assert_stranger_reads(struct fixture *f, size_t want)
{
    assert_int_equal(wait_for(start(f, read_as_stranger, &want)), 0);
}

static void remove_file(const struct fixture *f, const char *suffix)
{
    char path[100];
    snprintf(path, sizeof path, "%s%s", f->path, suffix);
    assert_int_equal(unlink(path), 0);
}

static void read_only_user(void **state)
{
    struct fixture *f = *state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(f->folder, 0, READERS), 0);
    assert_int_equal(chmod(f->folder, 0750), 0);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    assert_stranger_reads(f, 0); /* while the writer is there */
    for (size_t i = 1; i <= 5; i++) {
        request(f, "shop", commit_a);
        assert_stranger_reads(f, i); /* and right after each of its commits */
    }
    journal_close(f->journal);
    f->journal = NULL;
    assert_stranger_reads(f, 5); /* after a clean end */

    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    assert_stranger_reads(f, 5);
    request(f, "shop", commit_a); /* the first commit into an empty log */
    assert_stranger_reads(f, 6);
    journal_close(f->journal);
    f->journal = NULL;

    remove_file(f, "-shm");
    assert_stranger_reads(f, 6);
    remove_file(f, "-wal");
    assert_stranger_reads(f, 6);
}

/* A writer that was killed leaves a log with commits in it: a reader sees them without being able to recover
 * it. */
static void read_only_user_after_a_crash(void **state)
{
    struct fixture *f = *state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(f->folder, 0, READERS), 0);
    assert_int_equal(chmod(f->folder, 0750), 0);
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    struct hung h = {fds[1]};
    pid_t pid = start(f, write_for_ever, &h);
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    wait_for(pid);
    close(fds[0]);
    struct error err = {0};
    OK(journal_open(f->path, JOURNAL_READ, &f->journal, &err));
    size_t n = count(f);
    assert_true(n >= 1);
    journal_close(f->journal);
    f->journal = NULL;
    assert_stranger_reads(f, n);
}

static int open_as_outsider(struct fixture *f, void *userdata)
{
    (void)userdata;
    if (setgroups(0, NULL) < 0 || setgid(STRANGER) < 0 || setuid(STRANGER) < 0)
        return 2;
    if (journal_open(f->path, JOURNAL_READ, &f->journal, &f->err) == 0)
        return 3;
    return f->err.kind == ERR_REFUSED && strstr(f->err.text, "group deploy-agent") ? 0 : 4;
}

static void reading_refused(void **state)
{
    struct fixture *f = *state;
    FAILS(journal_open("/nonexistent/journal.db", JOURNAL_READ, &f->journal, &f->err), ERR_NOT_FOUND);
    char path[100];
    snprintf(path, sizeof path, "%s/none.db", f->folder);
    struct journal *j;
    FAILS(journal_open(path, JOURNAL_READ, &j, &f->err), ERR_NOT_FOUND);
    if (geteuid() != 0)
        return;
    assert_int_equal(chmod(f->folder, 0755), 0);
    assert_int_equal(wait_for(start(f, open_as_outsider, NULL)), 0);
}

static void readers_cannot_write(void **state)
{
    struct fixture *f = *state;
    struct journal *j = NULL;
    OK(journal_open(f->path, JOURNAL_READ, &j, &f->err));
    FAILS(journal_audit(j, 0, 1, "x", NULL, &f->err), ERR_INTERNAL);
    journal_close(j);
}

static void modes(void **state)
{
    struct fixture *f = *state;
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    mode_t old = umask(0);
    umask(old);
    for (size_t i = 0; i < 4; i++) {
        struct stat st;
        char path[100];
        snprintf(path, sizeof path, "%s%s", f->path, suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
    }
}

/* ---- full disks ---- */

static void fill(const char *path, size_t keep)
{
    static char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) == sizeof zeros)
        ;
    off_t size = lseek(fd, 0, SEEK_END);
    assert_int_equal(ftruncate(fd, size - (off_t)keep), 0);
    close(fd);
}

static void disk_full(void **state)
{
    struct fixture *f = *state;
    if (geteuid() != 0 || mount("tmpfs", f->folder, "tmpfs", MS_NOSUID | MS_NODEV, "size=2m") < 0)
        skip();
    char filler[80];
    snprintf(filler, sizeof filler, "%s/filler", f->folder);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    int64_t id = request(f, "shop", commit_a);
    struct step step = {.seq = 1, .kind = "run", .name = "x"};
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){.steps = &step, .n_steps = 1}, &f->err));
    fill(filler, 4096);
    static char text[8192];
    memset(text, 'x', sizeof text - 1);
    int r = 0;
    for (unsigned i = 0; i < 100 && r == 0; i++)
        r = journal_step_append_output(f->journal, id, 1, text, sizeof text - 1, &f->err);
    assert_int_equal(r, -1);
    assert_int_equal(f->err.kind, ERR_UNAVAILABLE);
    assert_non_null(strstr(f->err.text, "production is not affected"));
    assert_int_equal(get(f, id).state, DEPLOYMENT_PLANNED); /* reading goes on */

    unlink(filler); /* and so does writing once there is room, without a restart */
    OK(journal_step_append_output(f->journal, id, 1, "later\n", 6, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_FAILED, "x", &f->err));
    journal_close(f->journal);
    f->journal = NULL;
    OK(journal_open(f->path, JOURNAL_CHECK, &f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    journal_close(f->journal);
    f->journal = NULL;

    remove_file(f, "");
    remove_file(f, "-wal");
    remove_file(f, "-shm");
    fill(filler, 0);
    FAILS(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err),
          ERR_UNAVAILABLE); /* nothing to begin with */
    assert_non_null(strstr(f->err.text, "production is not affected"));
    f->journal = NULL;
    umount(f->folder);
}

/* ---- damage ---- */

static size_t broken_files(const struct fixture *f)
{
    size_t n = 0;
    DIR *d = opendir(f->folder);
    for (struct dirent *e; (e = readdir(d));)
        n += str_starts(e->d_name, "journal.db.broken-") && !strstr(e->d_name, "-wal") &&
             !strstr(e->d_name, "-shm");
    closedir(d);
    return n;
}

static void overwrite(const struct fixture *f, off_t at, size_t len)
{
    static const char garbage[8192] = {[0 ... 8191] = '\xa5'};
    int fd = open(f->path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, garbage, len, at), len);
    close(fd);
}

static void break_header(const struct fixture *f)
{
    overwrite(f, 0, 100);
}
static void break_page_1(const struct fixture *f)
{
    overwrite(f, 100, 3996);
}
static void break_middle(const struct fixture *f)
{
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    /* behind the schema, and far enough to meet rows and not only indexes */
    off_t at = st.st_size / 4096 * 7 / 8 * 4096;
    overwrite(f, at, 8192);
    overwrite(f, at + 8192, 8192);
}
static void halve(const struct fixture *f)
{
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(truncate(f->path, st.st_size / 2), 0);
}
static void cut_within_a_page(const struct fixture *f)
{
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(truncate(f->path, st.st_size - 3000), 0);
}
static void empty(const struct fixture *f)
{
    assert_int_equal(truncate(f->path, 0), 0);
}
static void break_index(const struct fixture *f)
{
    char path[100];
    snprintf(path, sizeof path, "%s-shm", f->path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    static const char garbage[32768] = {[0 ... 32767] = '\x5a'};
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, 0), sizeof garbage);
    close(fd);
}
static void break_log(const struct fixture *f)
{
    char path[100];
    snprintf(path, sizeof path, "%s-wal", f->path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    static const char garbage[50000] = {[0 ... 49999] = '\x5a'};
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, 0), sizeof garbage);
    close(fd);
}
static void nothing(const struct fixture *f)
{
    (void)f;
}

static void damage(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        void (*apply)(const struct fixture *);
        bool recovered; /* by a writer, which checks because it was asked to */
        bool readable;  /* by a reader, which never checks the whole */
    } cases[] = {
        {"header", break_header, true, false},  {"page 1", break_page_1, true, false},
        {"middle", break_middle, true, true},   {"half", halve, true, false},
        {"cut", cut_within_a_page, true, true}, {"empty", empty, true, false},
        {"index", break_index, false, true},    {"log", break_log, false, true},
        {"nothing", nothing, false, true},
    };
    size_t broken = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
        for (unsigned k = 0; k < 200; k++)
            request(f, "shop", commit_a);
        size_t had = count(f);
        journal_close(f->journal);
        f->journal = NULL;
        cases[i].apply(f);

        struct journal *reader = NULL;
        int r = journal_open(f->path, JOURNAL_READ, &reader, &f->err);
        if ((r == 0) != cases[i].readable)
            fail_msg("%s: a reader gets %d, %s", cases[i].name, r, f->err.text);
        if (r < 0)
            assert_true(f->err.text[0]);
        journal_close(reader);

        OK(journal_open(f->path, JOURNAL_CHECK, &f->journal, &f->err));
        if (journal_recovered(f->journal) != cases[i].recovered)
            fail_msg("%s: recovered is %d", cases[i].name, journal_recovered(f->journal));
        broken += cases[i].recovered;
        assert_int_equal(broken_files(f), broken);
        assert_int_equal(count(f), cases[i].recovered ? 0 : had);
        OK(journal_recovery_noted(f->journal, &f->err));
        request(f, "shop", commit_a);
        journal_close(f->journal);
        f->journal = NULL;
    }
}

/* Damage met while working is remembered: the next writer that is alone checks, though the end was clean. */
static void damage_is_remembered(void **state)
{
    struct fixture *f = *state;
    for (unsigned k = 0; k < 500; k++)
        request(f, "shop", commit_a);
    journal_close(f->journal);
    f->journal = NULL;
    break_middle(f);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err)); /* not noticed yet */
    assert_false(journal_recovered(f->journal));
    struct deployment *rows;
    size_t n;
    FAILS(journal_deployments(f->journal, &f->arena, &(struct deployment_filter){0}, &rows, &n, &f->err),
          ERR_UNAVAILABLE);
    assert_non_null(strstr(f->err.text, "damaged"));
    struct journal *second = NULL;
    OK(journal_open(f->path, JOURNAL_WRITE, &second, &f->err)); /* not alone: the file stays where it is */
    assert_false(journal_recovered(second));
    journal_close(second);
    journal_close(f->journal);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    assert_true(journal_recovered(f->journal));
    assert_int_equal(broken_files(f), 1);
}

static int end_uncleanly(struct fixture *f, void *userdata)
{
    struct deployment_request r = {.stack = "shop", .commit = commit_a, .trigger = TRIGGER_POLL};
    int64_t id;
    (void)userdata;
    TRY(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    TRY(journal_request(f->journal, &r, &id, &f->err));
    return 0; /* without closing it */
}

/* agentd opens it anew in its loop: the whole file is read only when damage was met. */
static void opened_again(void **state)
{
    struct fixture *f = *state;
    for (unsigned k = 0; k < 500; k++)
        request(f, "shop", commit_a);
    journal_close(f->journal);
    f->journal = NULL;
    assert_int_equal(wait_for(start(f, end_uncleanly, NULL)), 0);
    break_middle(f);
    OK(journal_open(f->path, JOURNAL_AGAIN, &f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    struct deployment *rows;
    size_t n;
    FAILS(journal_deployments(f->journal, &f->arena, &(struct deployment_filter){0}, &rows, &n, &f->err),
          ERR_UNAVAILABLE);
    journal_close(f->journal);
    OK(journal_open(f->path, JOURNAL_AGAIN, &f->journal, &f->err));
    assert_true(journal_recovered(f->journal));
    assert_int_equal(broken_files(f), 1);
}

/* Holds and pauses went with the file: each writer is told until one says that it is noted. */
static void recovery_is_remembered(void **state)
{
    struct fixture *f = *state;
    request(f, "shop", commit_a);
    journal_close(f->journal);
    f->journal = NULL;
    empty(f);
    for (unsigned i = 0; i < 2; i++) {
        struct journal *second = NULL;
        OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
        OK(journal_open(f->path, JOURNAL_WRITE, &second, &f->err));
        assert_true(journal_recovered(f->journal) && journal_recovered(second));
        journal_close(second);
        journal_close(f->journal);
        f->journal = NULL;
    }
    OK(journal_open(f->path, JOURNAL_CHECK, &f->journal, &f->err));
    assert_true(journal_recovered(f->journal));
    OK(journal_recovery_noted(f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    journal_close(f->journal);
    OK(journal_open(f->path, JOURNAL_CHECK, &f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    assert_int_equal(broken_files(f), 1);
}

static void run_sql(const struct fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void other_schemas(void **state)
{
    struct fixture *f = *state;
    journal_close(f->journal);
    f->journal = NULL;
    run_sql(f, "PRAGMA user_version = 9999");
    FAILS(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err), ERR_REFUSED);
    assert_non_null(strstr(f->err.text, "newer"));
    FAILS(journal_open(f->path, JOURNAL_READ, &f->journal, &f->err), ERR_REFUSED);
    run_sql(f, "PRAGMA user_version = 1; PRAGMA application_id = 7");
    FAILS(journal_open(f->path, JOURNAL_CHECK, &f->journal, &f->err),
          ERR_REFUSED); /* somebody else's: left alone */
    assert_int_equal(broken_files(f), 0);
    f->journal = NULL;
}

/* ---- waiting for each other ---- */

static int hold_lock(struct fixture *f, void *userdata)
{
    struct hung *h = userdata;
    sqlite3 *db;
    if (sqlite3_open(f->path, &db) != SQLITE_OK ||
        sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK || write(h->ready, "x", 1) != 1)
        return 1;
    pause();
    return 0;
}

/* Another process checks the file: agentd's loop does not stand still for that. */
static int check_for_long(struct fixture *f, void *userdata)
{
    struct hung *h = userdata;
    char path[100];
    snprintf(path, sizeof path, "%s.lock", f->path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || write(h->ready, "x", 1) != 1)
        return 1;
    pause();
    return 0;
}

static void being_checked(void **state)
{
    static const enum journal_mode of_agentd[] = {JOURNAL_CHECK, JOURNAL_AGAIN};
    struct fixture *f = *state;
    int fds[2];
    char byte;
    journal_close(f->journal);
    f->journal = NULL;
    assert_int_equal(pipe(fds), 0);
    struct hung h = {fds[1]};
    pid_t pid = start(f, check_for_long, &h);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    for (size_t i = 0; i < ARRAY_SIZE(of_agentd); i++) {
        int64_t before = mono_us();
        FAILS(journal_open(f->path, of_agentd[i], &f->journal, &f->err), ERR_UNAVAILABLE);
        assert_true(mono_us() - before < 15 * US_PER_S);
        assert_non_null(strstr(f->err.text, "is being checked by another process"));
    }
    kill(pid, SIGKILL);
    wait_for(pid);
    OK(journal_open(f->path, JOURNAL_AGAIN, &f->journal, &f->err));
    close(fds[0]);
    close(fds[1]);
}

static void busy(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    struct hung h = {fds[1]};
    pid_t pid = start(f, hold_lock, &h);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    int64_t before = mono_us();
    FAILS(journal_audit(f->journal, 0, 1, "x", NULL, &f->err), ERR_UNAVAILABLE);
    int64_t took = mono_us() - before;
    assert_true(took >= 4 * US_PER_S && took < 20 * US_PER_S);
    kill(pid, SIGKILL);
    wait_for(pid);
    OK(journal_audit(f->journal, 0, 1, "x", NULL, &f->err));
    close(fds[0]);
    close(fds[1]);
}

#ifdef AGENT_FAULTS
static void failing_commit(void **state)
{
    struct fixture *f = *state;
    int64_t id = request(f, "shop", commit_a);
    static const char *const faults[] = {"journal.begin:errno=28", "journal.commit:errno=28",
                                         "journal.commit:errno=5"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        setenv("FAULTS", faults[i], 1);
        FAILS(journal_set_state(f->journal, id, DEPLOYMENT_PLANNED, NULL, &f->err), ERR_UNAVAILABLE);
        unsetenv("FAULTS");
        assert_int_equal(get(f, id).state, DEPLOYMENT_REQUESTED);
    }
    /* after an I/O error the connection is opened anew */
    OK(journal_set_state(f->journal, id, DEPLOYMENT_PLANNED, NULL, &f->err));
    assert_int_equal(get(f, id).state, DEPLOYMENT_PLANNED);
}

/* While the file cannot be opened again, reading is trouble that may pass, as writing is; then it goes on. */
static void file_out_of_reach(void **state)
{
    struct fixture *f = *state;
    char away[100];
    snprintf(away, sizeof away, "%s.away", f->path);
    int64_t id = request(f, "shop", commit_a);
    for (unsigned i = 0; i < 2; i++) {
        struct deployment d, *rows;
        size_t n;
        bool found;
        setenv("FAULTS", "journal.begin:errno=5", 1);
        FAILS(journal_audit(f->journal, 0, 1, "x", NULL, &f->err), ERR_UNAVAILABLE);
        unsetenv("FAULTS");
        assert_int_equal(rename(f->path, away), 0);
        FAILS(journal_audit(f->journal, 0, 1, "x", NULL, &f->err), ERR_UNAVAILABLE);
        FAILS(journal_deployment(f->journal, &f->arena, id, &d, &found, &f->err), ERR_UNAVAILABLE);
        FAILS(journal_deployments(f->journal, &f->arena, &(struct deployment_filter){0}, &rows, &n, &f->err),
              ERR_UNAVAILABLE);
        assert_int_equal(journal_data_version(f->journal), -1);
        assert_int_equal(rename(away, f->path), 0);
        if (i == 0)
            assert_int_equal(count(f), 1);
        assert_int_equal(get(f, id).state, DEPLOYMENT_REQUESTED);
        OK(journal_audit(f->journal, 0, 1, "x", NULL, &f->err));
    }
}

/* Killed before the commit: nothing happened. Killed after it: it did, and a reader knows as well. */
static int change_state(struct fixture *f, void *userdata)
{
    setenv("FAULTS", userdata, 1);
    TRY(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    TRY(journal_set_state(f->journal, 1, DEPLOYMENT_CANCELLED, NULL, &f->err));
    return 0;
}

static void killed_at_commit(void **state)
{
    struct fixture *f = *state;
    char before[] = "journal.commit:kill", after[] = "journal.committed:kill";
    int64_t id = request(f, "shop", commit_a);
    journal_close(f->journal);
    assert_int_equal(wait_for(start(f, change_state, before)), -SIGKILL);
    OK(journal_open(f->path, JOURNAL_READ, &f->journal, &f->err));
    assert_int_equal(get(f, id).state, DEPLOYMENT_REQUESTED);
    journal_close(f->journal);
    assert_int_equal(wait_for(start(f, change_state, after)), -SIGKILL);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    assert_int_equal(get(f, id).state, DEPLOYMENT_CANCELLED);
}

static int create(struct fixture *f, void *userdata)
{
    setenv("FAULTS", userdata, 1);
    TRY(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    return 0;
}

static void killed_while_recovering(void **state)
{
    struct fixture *f = *state;
    char faults[] = "journal.migrate:kill";
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    request(f, "shop", commit_a);
    journal_close(f->journal);
    f->journal = NULL;
    empty(f);
    assert_int_equal(wait_for(start(f, create, faults)), -SIGKILL);
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    assert_true(journal_recovered(f->journal));
    assert_int_equal(count(f), 0);
}

static void killed_while_creating(void **state)
{
    struct fixture *f = *state;
    char faults[] = "journal.migrate:kill";
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(wait_for(start(f, create, faults)), -SIGKILL);
    /* all of its migrations, or none: a reader never meets a schema between */
    char late[] = "journal.migrate:kill:nth=4";
    assert_int_equal(wait_for(start(f, create, late)), -SIGKILL);
    FAILS(journal_open(f->path, JOURNAL_READ, &f->journal, &f->err), ERR_NOT_FOUND);
    f->journal = NULL;
    OK(journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err));
    assert_false(journal_recovered(f->journal));
    request(f, "shop", commit_a);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLOSED(two_writers),
        CLOSED(killed_writer),
        CLOSED(read_only_user),
        CLOSED(read_only_user_after_a_crash),
        TEST(reading_refused),
        TEST(readers_cannot_write),
        TEST(modes),
        CLOSED(disk_full),
        CLOSED(damage),
        TEST(damage_is_remembered),
        TEST(opened_again),
        TEST(recovery_is_remembered),
        TEST(other_schemas),
        TEST(being_checked),
        TEST(busy),
#ifdef AGENT_FAULTS
        TEST(failing_commit),
        TEST(file_out_of_reach),
        TEST(killed_at_commit),
        CLOSED(killed_while_creating),
        CLOSED(killed_while_recovering),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

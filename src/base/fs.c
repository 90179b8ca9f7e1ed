/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/fault.h"
#include "base/cleanup.h"

/* The group whose members may read the agent's secrets; see packaging/deploy-agent.sysusers. */
static const char agent_group[] = "deploy-agent";

static int read_descriptor(struct arena *arena, int fd, const char *path, size_t max, char **ret,
                           size_t *ret_len, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_INVALID, 0, "%s: not a regular file", path);
    if ((uint64_t)st.st_size > max)
        return error_set(err, ERR_INVALID, 0, "%s: larger than %zu bytes", path, max);
    size_t size = (size_t)st.st_size, have = 0;
    char *data = arena_alloc(arena, size + 1);
    while (have < size) {
        ssize_t n = fault_errno("fs.read") ? -1 : read(fd, data + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, "reading %s", path);
        if (n == 0)
            break;
        have += (size_t)n;
    }
    data[have] = '\0';
    *ret = data;
    *ret_len = have;
    return 0;
}

int fs_read(struct arena *arena, const char *path, size_t max, char **ret, size_t *ret_len, struct error *err)
{
    /* O_NONBLOCK: a FIFO in the place of a file must not hang us */
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, "%s", path);
    return read_descriptor(arena, fd, path, max, ret, ret_len, err);
}

static int check_private(int fd, const char *path, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, "%s", path);
    const struct group *group = getgrnam(agent_group);
    bool ours = group && st.st_gid == group->gr_gid;
    if (st.st_mode & (S_IROTH | S_IWOTH))
        return error_set(err, ERR_INVALID, 0,
                         "%s: holds secrets and its mode %04o lets every user %s it; mend it with: "
                         "chgrp %s %s && chmod 0640 %s",
                         path, (unsigned)(st.st_mode & 07777), st.st_mode & S_IROTH ? "read" : "write",
                         agent_group, path, path);
    if ((st.st_mode & (S_IRGRP | S_IWGRP)) && !ours && st.st_gid != 0)
        return error_set(
            err, ERR_INVALID, 0,
            "%s: holds secrets and the members of group %u may read it; mend it with: chgrp %s %s", path,
            (unsigned)st.st_gid, agent_group, path);
    return 0;
}

int fs_read_private(struct arena *arena, const char *path, size_t max, char **ret, size_t *ret_len,
                    struct error *err)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, "%s", path);
    if (check_private(fd, path, err) < 0)
        return -1;
    return read_descriptor(arena, fd, path, max, ret, ret_len, err);
}

/* What root makes, running a job by hand, must not keep the service out. false: nothing is to be done. What
 * cannot be given away still works for root. */
static bool other_owner(const char *path, struct stat *ret)
{
    cleanup_free char *copy = strdup(path);
    return geteuid() == 0 && copy && stat(dirname(copy), ret) == 0 && ret->st_uid != 0;
}

static void give_to_folder_owner(const char *path)
{
    struct stat owner;
    if (other_owner(path, &owner))
        (void)!lchown(path, owner.st_uid, owner.st_gid);
}

static struct stat new_owner; /* nftw() hands nothing on */

static int give_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type;
    (void)ftw;
    if (st->st_uid == 0)
        (void)!lchown(path, new_owner.st_uid, new_owner.st_gid);
    return 0;
}

void fs_give_tree(const char *path)
{
    if (other_owner(path, &new_owner))
        nftw(path, give_entry, 16, FTW_PHYS);
}

static int make_folder(const char *path, mode_t mode, struct error *err)
{
    if (!fault_errno("fs.mkdir") && mkdir(path, mode) == 0)
        give_to_folder_owner(path);
    else if (errno != EEXIST)
        return error_errno(err, "creating the folder %s", path);
    return 0;
}

int fs_mkdir(const char *path, unsigned mode, struct error *err)
{
    cleanup_free char *copy = strdup(path);
    if (!copy)
        abort();
    for (char *p = copy + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (make_folder(copy, 0755, err) < 0)
            return -1;
        *p = '/';
    }
    if (make_folder(copy, (mode_t)mode, err) < 0)
        return -1;
    struct stat st;
    if (stat(copy, &st) < 0)
        return error_errno(err, "%s", copy);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, ERR_INVALID, 0, "%s: not a folder", copy);
    return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int sync_folder_of(const char *path)
{
    cleanup_free char *copy = strdup(path);
    if (!copy)
        abort();
    cleanup_close int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

int fs_write_atomic(const char *path, const void *data, size_t len, unsigned mode, struct error *err)
{
    struct arena arena = {0};
    char *temp = arena_printf(&arena, "%s.new-XXXXXX", path);
    cleanup_close int fd = mkostemp(temp, O_CLOEXEC);
    int r = 0;
    if (fd < 0 || fchmod(fd, (mode_t)mode) < 0 || write_all(fd, data, len) < 0 || fsync(fd) < 0 ||
        rename(temp, path) < 0 || sync_folder_of(path) < 0) {
        r = error_errno(err, "writing %s", path);
        if (fd >= 0)
            unlink(temp);
    }
    arena_release(&arena);
    return r;
}

int fs_lock(const char *path, int *ret_fd, struct error *err)
{
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return error_errno(err, "opening the lock %s", path);
    struct stat owner;
    if (other_owner(path, &owner))
        (void)!fchown(fd, owner.st_uid, owner.st_gid);
    char text[32] = "";
    if (fault_errno("fs.lock") || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return error_errno(err, "locking %s", path);
        ssize_t n = pread(fd, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        return error_set(err, ERR_CONFLICT, 0, "%s is held by process %.*s", path, (int)strcspn(text, "\n"),
                         text);
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
        return error_errno(err, "writing the lock %s", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* ---- room ---- */

int fs_space(const char *path, struct fs_space *ret, struct error *err)
{
    struct statvfs fs;
    if (statvfs(path, &fs) < 0)
        return error_errno(err, "%s", path);
    *ret = (struct fs_space){.free = (uint64_t)fs.f_bavail * fs.f_frsize,
                             .total = (uint64_t)fs.f_blocks * fs.f_frsize};
    return 0;
}

bool fs_space_is_low(const struct fs_space *space)
{
    const uint64_t mib = 1 << 20;
    return space->free < 200 * mib || (space->free < space->total / 20 && space->free < 10240 * mib);
}

static char *bytes_text(struct arena *arena, uint64_t bytes)
{
    uint64_t mib = bytes >> 20;
    return mib < 10240 ? arena_printf(arena, "%llu MiB", (unsigned long long)mib)
                       : arena_printf(arena, "%llu GiB", (unsigned long long)(mib >> 10));
}

char *fs_space_text(struct arena *arena, const struct fs_space *space)
{
    return arena_printf(arena, "%s of %s are free", bytes_text(arena, space->free),
                        bytes_text(arena, space->total));
}

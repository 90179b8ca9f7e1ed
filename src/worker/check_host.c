/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "worker/check.h"

/* `check`: what is on this host. */

/* Who owns the record is who the agent runs as; before there is one, the user that the package made. */
static const struct passwd *agent_user(const char *state_dir)
{
    struct stat st;
    return stat(state_dir, &st) == 0 ? getpwuid(st.st_uid) : getpwnam("deploy-agent");
}

static int become(const struct passwd *user)
{
    return initgroups(user->pw_name, user->pw_gid) < 0 ||
                   setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
                   setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0
               ? -1
               : 0;
}

void check_user(struct check *check, const char *config_path)
{
    const struct passwd *user = geteuid() == 0 ? agent_user(check->work.config.state_dir) : NULL;
    struct error err = {0};
    if (!user || user->pw_uid == 0)
        return;
    if (become(user) < 0) {
        check_note(NULL, "tried as root, since user %s cannot be taken: %s; its rights may be fewer",
                   user->pw_name, strerror(errno));
        return;
    }
    check_good("tried as user %s, as the service does", user->pw_name);
    if (access(config_path, R_OK) == 0)
        return;
    (void)error_errno(&err, "%s", config_path);
    check_fail(check, mend_secret_file(&check->work.arena, config_path, &err),
               "configuration: %s, for user %s", err.text, user->pw_name);
}

const char *check_own_name(struct arena *arena)
{
    const struct passwd *user = getpwuid(geteuid());
    return user ? arena_strdup(arena, user->pw_name) : arena_printf(arena, "%u", (unsigned)geteuid());
}

static void check_space(struct work *work)
{
    struct fs_space space;
    struct error ignored = {0};
    if (fs_space(work->config.state_dir, &space, &ignored) == 0 && fs_space_is_low(&space))
        check_note("make room there",
                   "the disk of %s is nearly full: %s; when it is full, nothing is deployed",
                   work->config.state_dir, fs_space_text(&work->arena, &space));
}

void check_state_dir(struct check *check)
{
    struct work *work = &check->work;
    struct error err = {0};
    const char *probe = arena_printf(&work->arena, "%s/.check", work->config.state_dir);
    if (fs_mkdir(work->config.state_dir, 0750, &err) < 0 || fs_write_atomic(probe, "ok\n", 3, 0600, &err) < 0)
        check_fail(check,
                   mend_state_dir(&work->arena, work->config.state_dir, check_own_name(&work->arena), &err),
                   "state_dir: %s", err.text);
    else
        check_good("state_dir %s can be written", work->config.state_dir);
    unlink(probe);
    check_space(work);
}

/* Does anybody answer there? Nothing is asked. */
static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, strlen(path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
}

void check_agentd(struct check *check)
{
    if (answers(config_control_path(&check->work.arena, &check->work.config)))
        check_good("agentd is running");
    else
        check_note("start it with: sudo systemctl enable --now deploy-agent", "agentd is not running");
}

bool check_secret_file(struct check *check, const char *key, const char *path)
{
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    char *text;
    size_t len;
    if (!path)
        return true;
    if (fs_read_private(&arena, path, 1024 * 1024, &text, &len, &err) < 0) {
        check_fail(check, mend_secret_file(&arena, path, &err), "%s: %s", key, err.text);
        return false;
    }
    check_good("%s %s is readable and closed to others", key, path);
    return true;
}

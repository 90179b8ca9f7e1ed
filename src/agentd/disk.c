/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events.h"
#include "agent/log.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/fs.h"

/* A full disk stops deployments (manager_check_room()); this is said while there is time to make room. */
void disk_look(struct manager *manager)
{
    cleanup_arena struct arena arena = {0};
    const char *path = manager->config.state_dir;
    struct fs_space space;
    struct error ignored = {0};
    if (fs_space(path, &space, &ignored) < 0)
        return;
    bool low = fs_space_is_low(&space);
    /* a disk at the edge is no reason to say it again and again: it has to become a tenth better */
    struct fs_space less = {.free = space.free - space.free / 10, .total = space.total};
    if (low && !manager->disk_is_low)
        log_event(LOG_LEVEL_WARNING, MESSAGE_DISK_LOW,
                  "the disk of %s is nearly full: %s; a full one stops deployments", path,
                  fs_space_text(&arena, &space));
    else if (manager->disk_is_low && !fs_space_is_low(&less))
        log_notice("the disk of %s has room again: %s", path, fs_space_text(&arena, &space));
    else
        return;
    manager->disk_is_low = low;
}

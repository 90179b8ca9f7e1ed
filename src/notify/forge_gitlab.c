/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/notifier.h"
#include "base/str.h"

/*
 * https://docs.gitlab.com/api/commits/#set-commit-pipeline-status. The project is one part of the path: its
 * slashes are written %2F. A status that is running can only end; "pending" would not be shown as under way.
 */

static const char *path(struct arena *arena, const char *project, const char *commit)
{
    cleanup_str struct str id = {0};
    for (const char *p = project; *p; p++)
        if (*p == '/')
            str_append(&id, "%2F");
        else
            str_append_char(&id, *p);
    return arena_printf(arena, "projects/%s/statuses/%s", str_text(&id), commit);
}

const struct forge_kind forge_gitlab = {
    .states = {"running", "success", "failed", "canceled"},
    .token_header = "PRIVATE-TOKEN: ",
    .description_max = 140,
    .name_key = "name",
    .path = path,
};

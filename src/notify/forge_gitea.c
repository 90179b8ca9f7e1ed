/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/notifier.h"

/* Gitea and Forgejo, /api/swagger: POST /repos/{owner}/{repo}/statuses/{sha} */

static const char *path(struct arena *arena, const char *project, const char *commit)
{
    return arena_printf(arena, "repos/%s/statuses/%s", project, commit);
}

const struct forge_kind forge_gitea = {
    .states = {"pending", "success", "failure", "error"},
    .token_header = "Authorization: token ",
    .description_max = 140,
    .name_key = "context",
    .path = path,
};

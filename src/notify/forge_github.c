/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/notifier.h"

/* https://docs.github.com/en/rest/commits/statuses: at most 140 characters of description */

static const char *path(struct arena *arena, const char *project, const char *commit)
{
    return arena_printf(arena, "repos/%s/statuses/%s", project, commit);
}

const struct forge_kind forge_github = {
    .states = {"pending", "success", "failure", "error"},
    .token_header = "Authorization: Bearer ",
    .accept = "Accept: application/vnd.github+json",
    .description_max = 140,
    .name_key = "context",
    .path = path,
};

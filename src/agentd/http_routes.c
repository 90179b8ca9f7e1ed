/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agentd/http_request.h"
#include "base/cleanup.h"

/* clang-format off: one row per path */
const struct http_route http_routes[] = {
    {"GET", "/healthz", http_healthz, false},
    {"GET", "/health/database", http_health_database, false},
    {"GET", "/metrics", http_metrics, false},
    {"GET", "/api/v1/deployments", http_api_deployments, true},
    {"GET", "/api/v1/deployments/*", http_api_deployment, true},
    {"GET", "/api/v1/stacks", http_api_stacks, true},
    {"GET", "/api/v1/events", http_events, true},
    {"POST", "/webhook/*", http_webhook, false},
    {"GET", "/", http_page_stacks, true},
    {"GET", "/stacks/*", http_page_stack, true},
    {"GET", "/deployments/*", http_page_deployment, true},
    {"GET", "/assets/*", http_page_asset, false},
};
/* clang-format on */
const size_t n_http_routes = ARRAY_SIZE(http_routes);

/* The word for the pattern's *, "" where it has none; NULL: the path is another's. */
static const char *match(const char *pattern, const char *path)
{
    size_t len = strlen(pattern);
    if (pattern[len - 1] != '*')
        return str_eq(pattern, path) ? "" : NULL;
    const char *word = path + len - 1;
    return strncmp(pattern, path, len - 1) == 0 && *word && !strchr(word, '/') ? word : NULL;
}

const struct http_route *http_route_find(const char *path, const char **ret_word)
{
    for (size_t i = 0; i < n_http_routes; i++) {
        const char *word = match(http_routes[i].pattern, path);
        if (word) {
            *ret_word = word;
            return &http_routes[i];
        }
    }
    *ret_word = "";
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/http.h"
#include "agentd/http_request.h"
#include "agentd/manager.h"

/* /healthz: agentd lives, and has its journal. What is answered here is public: no text of errors, no names
 * of hosts. */
int http_healthz(struct http_request *request)
{
    bool good = request->manager->journal != NULL;
    return http_json(request, good ? HTTP_OK : HTTP_UNAVAILABLE,
                     good ? "{\"status\":\"ok\"}" : "{\"status\":\"unhealthy\",\"journal\":\"unavailable\"}");
}

int http_health_database(struct http_request *request)
{
    struct manager *manager = request->manager;
    const char *stack = http_query(request, "stack"), *body;
    unsigned status;
    if (!stack && manager->config.n_stacks != 1)
        return http_error(request, HTTP_BAD_REQUEST, "which stack? add ?stack=NAME");
    struct watch *watch = manager_watch(manager, stack ? stack : manager->config.stacks[0].name);
    if (!watch)
        return http_error(request, HTTP_NOT_FOUND, "no such stack");
    if (health_database(watch, &status, &body))
        return http_json(request, status, body);
    return http_wait_for(request, watch);
}

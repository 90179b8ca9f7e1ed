/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agentd/http_request.h"
#include "agentd/manager.h"

/*
 * A page from anywhere may let its own name be resolved to our address, and read the record with the browser
 * of somebody who looks at it on this host, or through a tunnel (DNS rebinding). What gives it away is the
 * name that it asks for. So the record is told only to those who ask for an address, for localhost, for this
 * host's name, or for that of [http] link: names that nobody else can point at us.
 */

/* "name", "name:80", "[::1]:80"; NULL: it is none of them. */
static const char *without_port(struct arena *arena, const char *host)
{
    if (*host == '[') {
        const char *end = strchr(host, ']');
        bool is_all = end && (end[1] == '\0' || end[1] == ':');
        return is_all ? arena_strndup(arena, host + 1, (size_t)(end - host - 1)) : NULL;
    }
    return arena_strndup(arena, host, strcspn(host, ":"));
}

static bool is_address(const char *name)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool is_localhost(const char *name)
{
    static const char local[] = "localhost";
    size_t len = strlen(name), n = strlen(local);
    return strcasecmp(name, local) == 0 ||
           (len > n && name[len - n - 1] == '.' && strcasecmp(name + len - n, local) == 0);
}

static bool is_this_host(const char *name)
{
    char host[256] = "";
    return gethostname(host, sizeof host - 1) == 0 && *host && strcasecmp(name, host) == 0;
}

static bool is_linked(struct arena *arena, const char *link, const char *name)
{
    const char *at = link ? strstr(link, "://") : NULL;
    if (!at)
        return false;
    at += strlen("://");
    const char *host = without_port(arena, arena_strndup(arena, at, strcspn(at, "/")));
    return host && strcasecmp(name, host) == 0;
}

bool http_host_is_known(struct arena *arena, const char *host, const char *link)
{
    const char *name = host ? without_port(arena, host) : NULL;
    if (!host) /* HTTP/1.0: no browser */
        return true;
    return name &&
           (is_address(name) || is_localhost(name) || is_this_host(name) || is_linked(arena, link, name));
}

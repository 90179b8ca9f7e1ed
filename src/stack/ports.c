/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "syntax.h"

/* ---- pieces ---- */

static bool parse_port(const char *text, size_t len, uint32_t *ret)
{
    uint32_t value = 0;
    if (!len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
        if (value > 65535)
            return false;
    }
    *ret = value;
    return true;
}

/* "N" or "N-M"; the oracle takes no notice of a third "-K" */
static bool parse_range(const char *text, uint32_t *ret_first, uint32_t *ret_last)
{
    const char *dash = strchr(text, '-');
    if (!dash)
        return parse_port(text, strlen(text), ret_first) && parse_port(text, strlen(text), ret_last);
    return parse_port(text, (size_t)(dash - text), ret_first) &&
           parse_port(dash + 1, strcspn(dash + 1, "-"), ret_last) && *ret_last >= *ret_first;
}

struct spec {
    char *ip, *host, *container, *protocol;
};

static bool is_protocol(const char *text)
{
    return str_eq(text, "tcp") || str_eq(text, "udp") || str_eq(text, "sctp");
}

static bool split_protocol(struct arena *arena, struct spec *spec, const char **ret_problem)
{
    char *slash = strchr(spec->container, '/');
    spec->protocol = arena_strdup(arena, "tcp");
    if (slash) {
        *slash = '\0';
        size_t n = strcspn(slash + 1, "/"); /* what follows a second slash does not count */
        if (n)
            spec->protocol = arena_strndup(arena, slash + 1, n);
    }
    for (char *c = spec->protocol; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c | 0x20);
    if (!*spec->container) {
        *ret_problem = "no port specified";
        return false;
    }
    if (!is_protocol(spec->protocol)) {
        *ret_problem = arena_printf(arena, "invalid proto: %s (tcp, udp or sctp)", spec->protocol);
        return false;
    }
    return true;
}

static bool check_ip(struct arena *arena, char *ip, bool *ret_unspecified, const char **ret_problem)
{
    struct in_addr v4;
    struct in6_addr v6;
    size_t len = strlen(ip);
    char *address = ip;
    if (*ip == '[' && ip[len - 1] == ']')
        address = arena_strndup(arena, ip + 1, len - 2);
    if (!*address) {
        *ret_unspecified = true; /* "[]" is no address */
    } else if (inet_pton(AF_INET, address, &v4) == 1) {
        *ret_unspecified = v4.s_addr == 0;
    } else if (inet_pton(AF_INET6, address, &v6) == 1) {
        *ret_unspecified = IN6_IS_ADDR_UNSPECIFIED(&v6);
    } else {
        *ret_problem = arena_printf(arena, "invalid IP address: %s", ip);
        return false;
    }
    return true;
}

/* ---- the whole ---- */

static void split_colons(struct arena *arena, const char *text, struct spec *ret)
{
    char *copy = arena_strdup(arena, text), *colon = strrchr(copy, ':');
    *ret = (struct spec){.container = copy};
    if (!colon)
        return;
    *colon = '\0';
    ret->container = colon + 1;
    ret->host = copy;
    if (!(colon = strrchr(copy, ':')))
        return;
    *colon = '\0';
    ret->host = colon + 1;
    ret->ip = copy;
}

static int by_text(const void *x, const void *y)
{
    char a[16], b[16];
    snprintf(a, sizeof a, "%u/", ((const struct port *)x)->target);
    snprintf(b, sizeof b, "%u/", ((const struct port *)y)->target);
    return strcmp(a, b);
}

bool ports_parse(struct arena *arena, const char *text, struct port **ret, size_t *ret_count,
                 const char **ret_warning, const char **ret_problem)
{
    struct spec spec;
    bool unspecified = true;
    uint32_t first, last, host_first = 0, host_last = 0;
    *ret_warning = NULL;
    split_colons(arena, text, &spec);
    if (!split_protocol(arena, &spec, ret_problem))
        return false;
    if (spec.ip && *spec.ip && !check_ip(arena, spec.ip, &unspecified, ret_problem))
        return false;
    if (!parse_range(spec.container, &first, &last)) {
        *ret_problem = arena_printf(arena, "invalid containerPort: %s", spec.container);
        return false;
    }
    bool published = spec.host && *spec.host;
    if (published && !parse_range(spec.host, &host_first, &host_last)) {
        *ret_problem = arena_printf(arena, "invalid hostPort: %s", spec.host);
        return false;
    }
    uint32_t targets = last - first + 1, hosts = host_last - host_first + 1;
    if (published && targets != hosts && targets != 1) {
        *ret_problem = arena_printf(arena, "invalid ranges specified for container and host Ports: %s and %s",
                                    spec.container, spec.host);
        return false;
    }
    if (!unspecified)
        *ret_warning = arena_printf(arena, "ignoring IP-address (%s) service will listen on '0.0.0.0'", text);
    size_t n = targets == 1 && published ? hosts : targets;
    struct port *ports = arena_array(arena, n, sizeof *ports);
    for (uint32_t i = 0; i < n; i++) {
        ports[i].target = targets == 1 ? first : first + i;
        ports[i].published = published ? host_first + i : 0;
        ports[i].protocol = spec.protocol;
        ports[i].mode = "ingress";
    }
    if (targets > 1)
        qsort(ports, n, sizeof *ports, by_text);
    *ret = ports;
    *ret_count = n;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "agent/config.h"
#include "agent/deployment.h"
#include "base/cleanup.h"
#include "base/secret.h"
#include "base/str.h"
#include "core/config_table.h"

/* Who is told: receivers of messages, and forges that show a status beside each commit. */

/* ---- URLs ---- */

/* An http URL with a host; what is wrong with it, without repeating it. */
static const char *http_url_fault(const char *url)
{
    const char *host = str_starts(url, "https://") ? url + 8 : str_starts(url, "http://") ? url + 7 : NULL;
    if (!host)
        return "it is https://HOST/…, or http:// on this host";
    if (strlen(url) > 2048)
        return "the URL is longer than 2048 bytes";
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\\\"<>^`{|}#", *p))
            return "a URL has no blanks, no fragment, no characters beyond ASCII and none of \\ \" < > ^ ` { "
                   "| "
                   "}; write them percent-encoded";
    size_t len = strcspn(host, "/?");
    const char *at = memrchr(host, '@', len);
    const char *name = at ? at + 1 : host;
    return name >= host + len || strchr(":.-", *name) ? "the URL names no host" : NULL;
}

/* "hooks/T0/B0/x8Kd…", and no word that texts have: that one would be cut out of all that is said. */
static bool looks_like_token(const char *path)
{
    enum { SHORTEST = 16 };
    return strlen(path) >= SHORTEST && strpbrk(path, "0123456789");
}

const char *config_notify_url_fault(const char *url)
{
    secret_register(url);
    secret_register_url(url);
    const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;
    if (path && looks_like_token(path + 1)) /* where receivers have their tokens */
        secret_register(path + 1);
    return http_url_fault(url);
}

int config_parse_notify_url(struct arena *arena, const char *text, void *ret, struct error *err)
{
    const char *odd = *text ? config_notify_url_fault(text) : NULL;
    if (odd)
        return error_set(err, ERR_INVALID, 0, "%s", odd);
    *(const char **)ret = *text ? arena_strdup(arena, text) : NULL;
    return 0;
}

int config_parse_base_url(struct arena *arena, const char *text, void *ret, struct error *err)
{
    const char *odd = *text ? http_url_fault(text) : NULL;
    size_t len = strlen(text);
    if (odd)
        return error_set(err, ERR_INVALID, 0, "%s", odd);
    if (strpbrk(text, "?@"))
        return error_set(err, ERR_INVALID, 0, "the URL of a base has no user, password or query");
    while (len && text[len - 1] == '/')
        len--;
    *(const char **)ret = *text ? arena_strndup(arena, text, len) : NULL;
    return 0;
}

/* ---- lists ---- */

const char *const config_stack_words[] = {"polls_stalled", "polls_recovered", "approval_needed", NULL};

static bool can_be_told(const char *word)
{
    enum deployment_state state;
    if (deployment_state_parse(word, &state) == 0)
        return true;
    for (const char *const *known = config_stack_words; *known; known++)
        if (str_eq(*known, word))
            return true;
    return false;
}

int config_parse_states(struct arena *arena, const char *text, void *ret, struct error *err)
{
    char **words;
    size_t n;
    if (config_split(arena, text, SIZE_MAX, &words, &n, err) < 0)
        return -1;
    if (n == 0)
        return error_set(err, ERR_INVALID, 0, "at least one state is needed, such as failed");
    for (size_t i = 0; i < n; i++)
        if (!can_be_told(words[i]))
            return error_set(err, ERR_INVALID, 0,
                             "'" SHOWN "' cannot be told; the states of a deployment are requested planned "
                             "running interrupted succeeded failed rolled_back halted cancelled superseded "
                             "stuck, and of a stack itself polls_stalled polls_recovered approval_needed",
                             words[i]);
    *(char ***)ret = words;
    return 0;
}

int config_parse_stacks(struct arena *arena, const char *text, void *ret, struct error *err)
{
    char **words;
    size_t n;
    if (config_split(arena, text, SIZE_MAX, &words, &n, err) < 0)
        return -1;
    *(char ***)ret = words;
    return 0;
}

/* ---- forges ---- */

/* A host or "PREFIX." of one, and where its API is; %s is the host with its port. */
static const struct known_forge {
    const char *host;
    enum forge forge;
    const char *api;
} known_forges[] = {
    {"github.com", FORGE_GITHUB, "https://api.github.com"},
    {"github.", FORGE_GITHUB, "/api/v3"},
    {"gitlab.com", FORGE_GITLAB, "/api/v4"},
    {"gitlab.", FORGE_GITLAB, "/api/v4"},
    {"codeberg.org", FORGE_GITEA, "/api/v1"},
    {"gitea.", FORGE_GITEA, "/api/v1"},
    {"forgejo.", FORGE_GITEA, "/api/v1"},
};

static const struct known_forge *forge_of_host(const char *host, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(known_forges); i++) {
        const char *known = known_forges[i].host;
        size_t n = strlen(known);
        if (known[n - 1] == '.' ? len > n && strncasecmp(host, known, n) == 0
                                : len == n && strncasecmp(host, known, n) == 0)
            return &known_forges[i];
    }
    return NULL;
}

static const struct known_forge *forge_row(enum forge forge)
{
    for (size_t i = ARRAY_SIZE(known_forges); i-- > 0;) /* from the end: self-hosted ones */
        if (known_forges[i].forge == forge)
            return &known_forges[i];
    return NULL;
}

/* OWNER/REPOSITORY of the path; GitLab has groups in groups. NULL: there is no owner. */
static const char *project_of(struct arena *arena, enum forge forge, const char *path, bool is_file)
{
    size_t len = strlen(path);
    while (len && path[len - 1] == '/')
        len--;
    if (len > 4 && strncmp(path + len - 4, ".git", 4) == 0)
        len -= 4;
    char *copy = arena_strndup(arena, path, len), *last = strrchr(copy, '/');
    if (!last || last == copy)
        return NULL;
    if (forge == FORGE_GITLAB && !is_file)
        return copy + (*copy == '/');
    const char *owner = memrchr(copy, '/', (size_t)(last - copy));
    return owner ? owner + 1 : copy;
}

const char *config_find_forge(struct arena *arena, struct stack_config *stack)
{
    const char *url = stack->repository, *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/");
    const char *path = host + len, *at = memrchr(host, '@', len);
    if (at) {
        len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    const char *port = memrchr(host, ':', len);
    size_t name_len = port && !memchr(port, ']', len - (size_t)(port - host)) ? (size_t)(port - host) : len;
    const struct known_forge *known = forge_of_host(host, name_len);
    if (stack->forge == FORGE_NONE && known)
        stack->forge = known->forge;
    if (stack->forge == FORGE_NONE)
        return "the forge is not known by the repository's host; write status_forge";
    if (!known || known->forge != stack->forge)
        known = forge_row(stack->forge);
    if (!stack->status_url && len == 0)
        return "a repository of this host has no forge; write status_url";
    if (!stack->status_url) /* ssh has another port than https */
        stack->status_url =
            *known->api != '/'
                ? known->api
                : arena_printf(arena, "%s://%.*s%s", str_starts(url, "http:") ? "http" : "https",
                               (int)(str_starts(url, "ssh") ? name_len : len), host, known->api);
    stack->project = project_of(arena, stack->forge, path, str_starts(url, "file:"));
    return stack->project ? NULL : "the repository's path is no OWNER/REPOSITORY";
}

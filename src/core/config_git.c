/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "agent/config.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "core/config_table.h"

/* Where a stack's commits come from: the repository's URL, the branch, the user. */

static int invalid(struct error *err, const char *text)
{
    return error_set(err, ERR_INVALID, 0, "%s", text);
}

/* The host of "scheme://[user@]host[:port]/…"; -1 when the authority is not of this form. */
static int split_url(const char *url, size_t *ret_scheme, const char **ret_host, size_t *ret_host_len,
                     bool *ret_user, bool *ret_password)
{
    const char *sep = strstr(url, "://");
    if (!sep || sep == url)
        return -1;
    *ret_scheme = (size_t)(sep - url);
    const char *authority = sep + 3;
    size_t len = strcspn(authority, "/?#");
    const char *at = memrchr(authority, '@', len);
    *ret_user = at != NULL;
    *ret_password = at && memchr(authority, ':', (size_t)(at - authority));
    const char *host = at ? at + 1 : authority;
    size_t host_len = (size_t)(authority + len - host);
    const char *end = host_len && *host == '[' ? memchr(host, ']', host_len) : NULL;
    if (end)
        end++;
    else
        end = memchr(host, ':', host_len);
    *ret_host = host;
    *ret_host_len = end ? (size_t)(end - host) : host_len;
    if (end && *end == ':') {
        size_t digits = strspn(end + 1, "0123456789");
        if (digits == 0 || digits > 5 || end + 1 + digits != host + host_len)
            return -1;
    } else if (end && end != host + host_len) {
        return -1;
    }
    return 0;
}

static bool scheme_is(const char *url, size_t len, const char *scheme)
{
    return strlen(scheme) == len && strncmp(url, scheme, len) == 0;
}

bool config_url_is_insecure(const char *url)
{
    size_t scheme, host_len;
    const char *host;
    bool user, password;
    if (split_url(url, &scheme, &host, &host_len, &user, &password) < 0 || !scheme_is(url, scheme, "http"))
        return false;
    if (strncmp(host, "localhost", host_len) == 0 && host_len == strlen("localhost"))
        return false;
    if (strncmp(host, "[::1]", host_len) == 0 && host_len == strlen("[::1]"))
        return false;
    char text[INET_ADDRSTRLEN] = "";
    struct in_addr address;
    if (host_len >= sizeof text)
        return true;
    memcpy(text, host, host_len);
    return inet_pton(AF_INET, text, &address) != 1 || ntohl(address.s_addr) >> 24 != 127;
}

/* The shape only: src/repo checks the rest when it connects. The URL is not repeated, it may hold a password.
 */
int config_parse_repository(struct arena *arena, const char *text, void *ret, struct error *err)
{
    static const char accepted[] = "https://HOST/PATH, ssh://HOST/PATH or file:///PATH";
    static const char *const schemes[] = {"https", "ssh", "http", "file"};
    size_t scheme = 0, host_len = 0, known = 0;
    const char *host = NULL;
    bool user = false, password = false;
    if (*text == '\0')
        return error_set(err, ERR_INVALID, 0, "a URL is needed: %s", accepted);
    if (strlen(text) > 2048)
        return invalid(err, "the URL is longer than 2048 bytes");
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\\\"<>^`{|}", *p))
            return invalid(err,
                           "a URL has no blanks, no characters beyond ASCII and none of \\ \" < > ^ ` { | }; "
                           "write them percent-encoded");
    if (!strstr(text, "://"))
        return error_set(
            err, ERR_INVALID, 0,
            "not a URL; it is %s (for git@HOST:PATH put ssh:// before it and / in the place of the colon)",
            accepted);
    if (split_url(text, &scheme, &host, &host_len, &user, &password) < 0)
        return error_set(err, ERR_INVALID, 0, "host or port are not understood; it is %s", accepted);
    while (known < ARRAY_SIZE(schemes) && !scheme_is(text, scheme, schemes[known]))
        known++;
    if (known == ARRAY_SIZE(schemes))
        return error_set(err, ERR_INVALID, 0, "'%.*s' is not accepted; it is %s",
                         (int)(scheme < 20 ? scheme : 20), text, accepted);
    bool is_file = str_eq(schemes[known], "file"), is_ssh = str_eq(schemes[known], "ssh");
    if (password || (user && !is_ssh))
        return invalid(err, "no user and password in the URL: use username and token_file");
    if (is_file ? host_len > 0 : host_len == 0 || *host == '-' || *host == '.')
        return error_set(err, ERR_INVALID, 0,
                         is_file ? "file URLs have no host: file:///PATH" : "the URL names no host");
    const char *path = strchr(strstr(text, "://") + 3, '/');
    if (!path || path[1] == '\0')
        return error_set(err, ERR_INVALID, 0, "the URL has no path; it is %s", accepted);
    if (strpbrk(path, "?#"))
        return invalid(err, "the URL of a repository has no ? and no #");
    *(const char **)ret = arena_strdup(arena, text);
    return 0;
}

/* git-check-ref-format(1), with the rules for branches: https://git-scm.com/docs/git-check-ref-format */
static const char *branch_fault(const char *name)
{
    static const size_t max = 244; /* with refs/heads/ and .lock it must be a file name */
    if (*name == '\0')
        return "a branch is needed, such as main";
    if (strlen(name) > max)
        return "longer than 244 bytes";
    if (str_starts(name, "refs/"))
        return "write the branch alone, without refs/heads/";
    if (*name == '-' || str_eq(name, "@") || str_eq(name, "HEAD"))
        return "not a branch";
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("~^:?*[\\", *p))
            return "a branch has no blanks and none of ~ ^ : ? * [ \\";
    if (strstr(name, "..") || strstr(name, "@{") || strstr(name, "//"))
        return "a branch has no .., @{ or //";
    if (*name == '/' || str_ends(name, "/") || str_ends(name, "."))
        return "a branch neither starts nor ends with / and does not end with a dot";
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL) {
        size_t len = strcspn(p, "/");
        if (*p == '.' || (len >= 5 && strncmp(p + len - 5, ".lock", 5) == 0))
            return "no part of a branch starts with a dot or ends with .lock";
    }
    return NULL;
}

int config_parse_branch(struct arena *arena, const char *text, void *ret, struct error *err)
{
    const char *fault = branch_fault(text);
    if (fault)
        return error_set(err, ERR_INVALID, 0, "'" SHOWN "': %s", text, fault);
    *(const char **)ret = arena_strdup(arena, text);
    return 0;
}

int config_parse_username(struct arena *arena, const char *text, void *ret, struct error *err)
{
    if (strlen(text) > 255 || strpbrk(text, " \t:"))
        return invalid(err, "a user name has at most 255 bytes, no blanks and no colon");
    *(const char **)ret = *text ? arena_strdup(arena, text) : NULL;
    return 0;
}

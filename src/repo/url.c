/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define URL_MAX    2048
#define HOST_MAX   253
#define BRANCH_MAX 200

static const struct scheme {
    const char *prefix;
    enum repo_scheme scheme;
    unsigned port;
} schemes[] = {
    {"file://", REPO_FILE, 0},
    {"http://", REPO_HTTP, 80},
    {"https://", REPO_HTTPS, 443},
    {"ssh://", REPO_SSH, 22},
};

static int refuse(struct error *err, const char *why)
{
    return error_set(err, ERR_INVALID, 0, "repository: %s", why);
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (str_eq(host, "localhost"))
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Letters, digits and `also`; not empty, not beginning with "-", which a program could take for an option. */
static bool is_word(const char *s, size_t n, const char *also)
{
    if (n == 0 || s[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isascii(s[i]) || (!isalnum((unsigned char)s[i]) && !strchr(also, s[i])))
            return false;
    return true;
}

static int parse_user(struct arena *arena, const char *s, size_t n, struct repo_url *url, struct error *err)
{
    if (memchr(s, ':', n))
        return refuse(err, "a password does not belong into the address; put it in a file and name that in "
                           "token_file");
    if (!is_word(s, n, "._+-"))
        return refuse(err, "the user name before @ must be letters, digits and . _ + -");
    url->user = arena_strndup(arena, s, n);
    return 0;
}

static int parse_host(struct arena *arena, const char *s, size_t n, struct repo_url *url, struct error *err)
{
    if (n == 0)
        return refuse(err, "the host is missing");
    if (n > HOST_MAX)
        return refuse(err, "the host name is too long");

    if (s[0] == '[') {
        struct in6_addr address;
        url->host = n < 3 || s[n - 1] != ']' ? "" : arena_strndup(arena, s + 1, n - 2);
        if (inet_pton(AF_INET6, url->host, &address) != 1)
            return refuse(err, "what stands in brackets is not an IPv6 address");
    } else if (!is_word(s, n, ".-_") || s[0] == '.') {
        return refuse(err, "the host must be a name or address of letters, digits, . and -");
    }

    char *host = arena_strndup(arena, s[0] == '[' ? s + 1 : s, s[0] == '[' ? n - 2 : n);
    for (char *c = host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    url->host = host;
    return 0;
}

static int parse_port(const char *s, size_t n, unsigned *ret, struct error *err)
{
    unsigned port = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || i >= 5)
            return refuse(err, "the port must be a number from 1 to 65535");
        port = port * 10 + (unsigned)(s[i] - '0');
    }
    if (port < 1 || port > UINT16_MAX)
        return refuse(err, "the port must be a number from 1 to 65535");
    *ret = port;
    return 0;
}

/* [USER@]HOST[:PORT], without the slash that ends it */
static int parse_authority(struct arena *arena, const char *s, size_t n, struct repo_url *url,
                           struct error *err)
{
    const char *end = s + n;
    const char *at = memrchr(s, '@', n);
    if (at) {
        if (parse_user(arena, s, (size_t)(at - s), url, err) < 0)
            return -1;
        s = at + 1;
    }

    if (s < end && *s == '[' && !memchr(s, ']', (size_t)(end - s)))
        return refuse(err, "what stands in brackets is not an IPv6 address");
    const char *bracket = s < end && *s == '[' ? memchr(s, ']', (size_t)(end - s)) : NULL;
    const char *search = bracket ? bracket : s;
    const char *colon = memchr(search, ':', (size_t)(end - search));
    if (colon && parse_port(colon + 1, (size_t)(end - colon - 1), &url->port, err) < 0)
        return -1;
    return parse_host(arena, s, (size_t)((colon ? colon : end) - s), url, err);
}

static int check_path(const struct repo_url *url, struct error *err)
{
    if (url->path[0] == '\0' || str_eq(url->path, "/"))
        return refuse(err, "the path is missing");
    if (url->path[0] == '-')
        return refuse(err, "the path must not begin with -");
    if ((url->scheme == REPO_HTTP || url->scheme == REPO_HTTPS) && strpbrk(url->path, "?#"))
        return refuse(err, "the address must not have a query (?) or fragment (#)");
    /* The server runs the path through a shell: `git-upload-pack 'PATH'`. */
    if (url->scheme == REPO_SSH && strpbrk(url->path, "'\"\\`$!"))
        return refuse(err, "the path must not have quotes, backslashes, $ or !");
    return 0;
}

static void make_text(struct arena *arena, const struct scheme *scheme, struct repo_url *url)
{
    bool v6 = strchr(url->host, ':') != NULL;
    char port[16] = "";
    if (url->port != scheme->port)
        snprintf(port, sizeof port, ":%u", url->port);
    bool user = url->user && url->scheme == REPO_SSH;
    url->text = arena_printf(arena, "%s%s%s%s%s%s%s%s", scheme->prefix, user ? url->user : "",
                             user ? "@" : "", v6 ? "[" : "", url->host, v6 ? "]" : "", port, url->path);
}

/*
 * [USER@]HOST:PATH. A path that begins with "/" means what it means in ssh://; another one starts at the
 * user's home, which only this form can say.
 */
static int parse_short(struct arena *arena, const char *text, struct repo_url *url, struct error *err)
{
    const char *colon = strchr(text, ':'); /* an IPv6 host needs ssh:// */
    const char *slash = strchr(text, '/');
    if (!colon || colon[1] == ':' || (slash && slash < colon)) /* "ext::…" names a helper program in Git */
        return refuse(err, "write https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or file:///PATH");

    url->scheme = REPO_SSH;
    url->port = 22;
    /* USER:PASSWORD@HOST:PATH must not pass for the host USER. */
    const char *late = strchr(colon, '@');
    if (late && strchr(late, ':'))
        return parse_user(arena, text, (size_t)(late - text), url, err);
    const char *at = memrchr(text, '@', (size_t)(colon - text));
    if (at && parse_user(arena, text, (size_t)(at - text), url, err) < 0)
        return -1;
    const char *host = at ? at + 1 : text;
    if (parse_host(arena, host, (size_t)(colon - host), url, err) < 0)
        return -1;
    url->path = arena_strdup(arena, colon + 1);
    if (check_path(url, err) < 0)
        return -1;

    if (!url->user)
        url->user = "git";
    if (url->path[0] == '/')
        make_text(arena, &schemes[REPO_SSH], url);
    else
        url->text = arena_printf(arena, "%s@%s:%s", url->user, url->host, url->path);
    return 0;
}

static int parse_scheme(struct arena *arena, const char *text, const struct scheme *scheme, bool insecure,
                        struct repo_url *url, struct error *err)
{
    const char *rest = text + strlen(scheme->prefix);
    const char *slash = strchr(rest, '/');
    size_t authority = slash ? (size_t)(slash - rest) : strlen(rest);

    url->scheme = scheme->scheme;
    url->port = scheme->port;
    url->path = arena_strdup(arena, slash ? slash : "");
    if (url->scheme == REPO_FILE) {
        if (authority > 0 && !(authority == 9 && str_starts(rest, "localhost")))
            return refuse(err, "a file address has three slashes: file:///PATH");
        url->host = "";
    } else if (parse_authority(arena, rest, authority, url, err) < 0) {
        return -1;
    }
    if (check_path(url, err) < 0)
        return -1;
    if (url->scheme == REPO_HTTP && !insecure && !is_loopback(url->host))
        return refuse(err, "plain http beyond loopback shows everything, the token too, to the network; use "
                           "https, or set insecure = yes");
    if (url->scheme == REPO_SSH && !url->user)
        url->user = "git";
    make_text(arena, scheme, url);
    return 0;
}

int repo_url_parse(struct arena *arena, const char *text, bool insecure, struct repo_url *ret,
                   struct error *err)
{
    size_t n = strlen(text);
    if (n > URL_MAX)
        return refuse(err, "the address is too long");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return refuse(err, "the address has a blank or a control character");
    if (!str_is_utf8(text, n))
        return refuse(err, "the address is not valid UTF-8");
    if (text[0] == '-')
        return refuse(err, "the address must not begin with -");

    struct repo_url url = {0};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) != 0)
            continue;
        if (parse_scheme(arena, text, &schemes[i], insecure, &url, err) < 0)
            return -1;
        *ret = url;
        return 0;
    }

    if (strncasecmp(text, "git://", 6) == 0)
        return refuse(err, "git:// has neither encryption nor a check of the server; use https or ssh");
    if (text[0] == '/')
        return refuse(err, "write a local repository as file:///PATH");
    if (strstr(text, "://"))
        return refuse(err, "the scheme must be https, ssh, file or http");
    if (parse_short(arena, text, &url, err) < 0)
        return -1;
    *ret = url;
    return 0;
}

int repo_branch_check(const char *branch, struct error *err)
{
    size_t n = strlen(branch);
    if (n == 0 || n > BRANCH_MAX)
        return error_set(err, ERR_INVALID, 0, "branch: must have 1 to %d bytes", BRANCH_MAX);
    bool bad = branch[0] == '-' || branch[0] == '/' || branch[n - 1] == '/' || branch[n - 1] == '.' ||
               str_eq(branch, "@") || strstr(branch, "..") || strstr(branch, "//") || strstr(branch, "@{") ||
               strstr(branch, "/.") || strstr(branch, ".lock/") || branch[0] == '.' ||
               str_ends(branch, ".lock") || !str_is_utf8(branch, n);
    for (size_t i = 0; i < n && !bad; i++)
        bad = (unsigned char)branch[i] <= ' ' || branch[i] == 0x7f || strchr("~^:?*[\\", branch[i]);
    if (bad)
        return error_set(err, ERR_INVALID, 0, "branch: not a name that Git allows (git-check-ref-format)");
    return 0;
}

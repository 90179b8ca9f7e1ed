/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/config.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/config_table.h"

static int invalid(struct error *err, const char *text)
{
    return error_set(err, ERR_INVALID, 0, "%s", text);
}

/* ---- words and numbers ---- */

static int parse_choice(const char *text, const char *const *names, size_t n, unsigned *ret,
                        struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(text, names[i])) {
            *ret = (unsigned)i;
            return 0;
        }
    cleanup_str struct str accepted = {0};
    for (size_t i = 0; i < n; i++)
        str_printf(&accepted, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", names[i]);
    return error_set(err, ERR_INVALID, 0, "'" SHOWN "' is not known; it is %s", text, str_text(&accepted));
}

#define DEFINE_CHOICE(function, type, ...)                                                                   \
    int function(struct arena *arena, const char *text, void *ret, struct error *err)                        \
    {                                                                                                        \
        static const char *const names[] = {__VA_ARGS__};                                                    \
        (void)arena;                                                                                         \
        unsigned i;                                                                                          \
        if (parse_choice(text, names, ARRAY_SIZE(names), &i, err) < 0)                                       \
            return -1;                                                                                       \
        *(type *)ret = (type)i;                                                                              \
        return 0;                                                                                            \
    }
/* in the order of the enums in agent/config.h */
DEFINE_CHOICE(config_parse_act, enum act, "leader", "always", "never")
DEFINE_CHOICE(config_parse_resolve_image, enum resolve_image, "always", "changed")
DEFINE_CHOICE(config_parse_on_failure, enum on_failure, "rollback", "halt")
DEFINE_CHOICE(config_parse_drift, enum drift, "ignore", "report", "correct")
DEFINE_CHOICE(config_parse_shape, enum shape, "generic", "slack", "discord", "ntfy")
DEFINE_CHOICE(config_parse_forge, enum forge, "auto", "github", "gitlab", "gitea")

int config_parse_log_level(struct arena *arena, const char *text, void *ret, struct error *err)
{
    (void)arena;
    if (log_level_parse(text, ret) < 0)
        return error_set(err, ERR_INVALID, 0,
                         "'" SHOWN "' is not known; it is err, warning, notice, info or debug", text);
    return 0;
}

int config_parse_bool(struct arena *arena, const char *text, void *ret, struct error *err)
{
    (void)arena;
    if (bool_parse(text, ret, err) < 0)
        return error_set(err, ERR_INVALID, 0, "'" SHOWN "' is neither yes nor no", text);
    return 0;
}

static int parse_number(const char *text, uint64_t min, uint64_t max, unsigned *ret, struct error *err)
{
    uint64_t value = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p) && value <= max; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    if (p == text || *p || value < min || value > max)
        return error_set(err, ERR_INVALID, 0, "'" SHOWN "' is not a whole number from %llu to %llu", text,
                         (unsigned long long)min, (unsigned long long)max);
    *ret = (unsigned)value;
    return 0;
}

int config_parse_parallel(struct arena *arena, const char *text, void *ret, struct error *err)
{
    (void)arena;
    return parse_number(text, 1, 64, ret, err);
}

int config_parse_keep(struct arena *arena, const char *text, void *ret, struct error *err)
{
    (void)arena;
    return parse_number(text, 1, 1000000, ret, err);
}

int config_parse_uids(struct arena *arena, const char *text, void *ret, struct error *err)
{
    struct config *config = ret;
    size_t n;
    char **words = words_split(arena, text, &n);
    unsigned *uids = arena_array(arena, n + 1, sizeof *uids);
    for (size_t i = 0; i < n; i++)
        /* the largest one is (uid_t)-1: nobody */
        if (parse_number(words[i], 0, UINT_MAX - 1, &uids[i], err) < 0)
            return error_wrap(err, "user ids are numbers separated by blanks");
    config->control_uids = uids;
    config->n_control_uids = n;
    return 0;
}

static int parse_duration(const char *text, int64_t min_us, int64_t max_us, const char *bounds, int64_t *ret,
                          struct error *err)
{
    int64_t us;
    if (strlen(text) > 64)
        return error_set(err, ERR_INVALID, 0, "'" SHOWN "…' is not a duration (30s, 5m, 1h30m)", text);
    if (duration_parse(text, &us, err) < 0)
        return -1;
    if (us < min_us || us > max_us)
        return error_set(err, ERR_INVALID, 0, "'%s' is out of bounds: %s", text, bounds);
    *ret = us;
    return 0;
}

int config_parse_poll_interval(struct arena *arena, const char *text, void *ret, struct error *err)
{
    (void)arena;
    return parse_duration(text, US_PER_S, 86400 * US_PER_S, "from 1s to 1d", ret, err);
}

int config_parse_image_wait(struct arena *arena, const char *text, void *ret, struct error *err)
{
    (void)arena;
    return parse_duration(text, 0, 7 * 86400 * US_PER_S, "from 0 to 7d", ret, err);
}

/* ---- paths ---- */

/* Has the path a part that is empty, "." or ".."? A slash at either end makes no empty part. */
static bool has_odd_part(const char *path)
{
    for (const char *p = path; *p;) {
        if (*p == '/') {
            if (p[1] == '/')
                return true;
            p++;
            continue;
        }
        size_t len = strcspn(p, "/");
        if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return true;
        p += len;
    }
    return false;
}

static char *without_last_slash(struct arena *arena, const char *path)
{
    size_t len = strlen(path);
    return arena_strndup(arena, path, len > 1 && path[len - 1] == '/' ? len - 1 : len);
}

int config_parse_absolute(struct arena *arena, const char *text, void *ret, struct error *err)
{
    if (*text == '\0')
        return invalid(err, "a path is needed, such as /var/lib/deploy-agent");
    if (str_starts(text, "credential:"))
        return invalid(err, "credential: is not supported by this version yet; write the path of a file");
    if (*text != '/')
        return error_set(err, ERR_INVALID, 0, "'" SHOWN "' is not an absolute path: it starts with /", text);
    if (strlen(text) >= PATH_MAX)
        return error_set(err, ERR_INVALID, 0, "the path is longer than %d bytes", PATH_MAX - 1);
    if (has_odd_part(text) || str_eq(text, "/"))
        return error_set(err, ERR_INVALID, 0,
                         "'" SHOWN "' is not accepted: write it without //, . and .., and not the root",
                         text);
    *(const char **)ret = without_last_slash(arena, text);
    return 0;
}

int config_parse_optional_path(struct arena *arena, const char *text, void *ret, struct error *err)
{
    if (*text)
        return config_parse_absolute(arena, text, ret, err);
    *(const char **)ret = NULL;
    return 0;
}

int config_parse_docker(struct arena *arena, const char *text, void *ret, struct error *err)
{
    static const char scheme[] = "unix://";
    const char *path;
    if (!str_starts(text, scheme) || text[sizeof scheme - 1] != '/')
        return error_set(err, ERR_INVALID, 0,
                         "'" SHOWN "' is not accepted: the agent speaks to the engine of its own host, "
                         "unix:///var/run/docker.sock",
                         text);
    if (config_parse_absolute(arena, text + sizeof scheme - 1, &path, err) < 0)
        return -1;
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(err, ERR_INVALID, 0, "the path of a socket has at most %zu bytes",
                         sizeof((struct sockaddr_un *)0)->sun_path - 1);
    *(const char **)ret = arena_printf(arena, "%s%s", scheme, path);
    return 0;
}

/* A path inside a commit, as repo_read() takes it. */
static int check_repository_path(const char *path, struct error *err)
{
    if (*path == '/')
        return error_set(err, ERR_INVALID, 0,
                         "'" SHOWN
                         "' starts with /: paths in the repository start at its root, as deploy/stack.yml",
                         path);
    if (has_odd_part(path) || strchr(path, '\\'))
        return error_set(err, ERR_INVALID, 0,
                         "'" SHOWN "' is not accepted: no .., no . and no backslash, as deploy/stack.yml",
                         path);
    for (const char *p = path; *p; p += strspn(p, "/")) {
        size_t len = strcspn(p, "/");
        if (len > 255)
            return error_set(err, ERR_INVALID, 0, "'" SHOWN "…' has a part longer than 255 bytes", path);
        if (len == 4 && strncasecmp(p, ".git", 4) == 0)
            return error_set(err, ERR_INVALID, 0, "'" SHOWN "' leads into .git", path);
        p += len;
    }
    return strlen(path) < PATH_MAX ? 0 : invalid(err, "the path is too long");
}

static const size_t max_words = 64;

int config_split(struct arena *arena, const char *text, size_t max, char ***ret, size_t *ret_n,
                 struct error *err)
{
    char **words = words_split(arena, text, ret_n);
    if (*ret_n > max)
        return error_set(err, ERR_INVALID, 0, "more than %zu values", max);
    for (size_t i = 0; i < *ret_n; i++)
        for (size_t j = 0; j < i; j++)
            if (str_eq(words[i], words[j]))
                return error_set(err, ERR_INVALID, 0, "'" SHOWN "' is there twice", words[i]);
    *ret = words;
    return 0;
}

int config_parse_files(struct arena *arena, const char *text, void *ret, struct error *err)
{
    size_t n;
    char **words;
    if (config_split(arena, text, max_words, &words, &n, err) < 0)
        return -1;
    if (n == 0)
        return invalid(err, "a path in the repository is needed, such as deploy/stack.yml");
    for (size_t i = 0; i < n; i++) {
        if (check_repository_path(words[i], err) < 0)
            return -1;
        if (str_ends(words[i], "/"))
            return error_set(err, ERR_INVALID, 0, "'" SHOWN "' is a folder: name the stack file", words[i]);
    }
    *(char ***)ret = words;
    return 0;
}

int config_parse_paths(struct arena *arena, const char *text, void *ret, struct error *err)
{
    size_t n;
    char **words;
    if (config_split(arena, text, max_words, &words, &n, err) < 0)
        return -1;
    if (n == 0)
        return invalid(err, "a path in the repository is needed; . is all of it");
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(words[i], ".") && check_repository_path(words[i], err) < 0)
            return -1;
        words[i] = without_last_slash(arena, words[i]);
    }
    *(char ***)ret = words;
    return 0;
}

/* ---- the rest ---- */

int config_parse_images(struct arena *arena, const char *text, void *ret, struct error *err)
{
    size_t n;
    char **words;
    if (config_split(arena, text, max_words, &words, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const char *w = words[i], *slash = strrchr(w, '/'), *last = slash ? slash + 1 : w;
        if (strlen(w) > 255 ||
            w[strspn(w, "abcdefghijklmnopqrstuvwxyz0123456789._-/:ABCDEFGHIJKLMNOPQRSTUVWXYZ")] ||
            *w == '/' || *w == '-' || *last == '\0' || strstr(w, "//"))
            return error_set(err, ERR_INVALID, 0,
                             "'" SHOWN "' is not an image repository such as ghcr.io/owner/name", w);
        if (strchr(last, ':'))
            return error_set(err, ERR_INVALID, 0, "'" SHOWN "': write the repository without a tag", w);
    }
    *(char ***)ret = words;
    return 0;
}

int config_parse_freeze(struct arena *arena, const char *text, void *ret, struct error *err)
{
    return freeze_parse(arena, text, ret, err);
}

static bool parse_port(const char *text, uint16_t *ret)
{
    unsigned port = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
        return false;
    for (const char *p = text; *p; p++)
        port = port * 10 + (unsigned)(*p - '0');
    *ret = htons((uint16_t)port);
    return port >= 1 && port <= 65535;
}

int config_listen_address(const char *text, struct sockaddr_storage *ret, unsigned *ret_size,
                          struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool bracketed = len > 2 && *text == '[' && text[len - 1] == ']';
    const char *host =
        bracketed ? arena_strndup(&arena, text + 1, len - 2) : arena_strndup(&arena, text, len);
    if (bracketed && parse_port(colon + 1, &v6->sin6_port) &&
        inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        *ret_size = sizeof *v6;
    } else if (!bracketed && colon && parse_port(colon + 1, &v4->sin_port) &&
               inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        *ret_size = sizeof *v4;
    } else {
        return error_set(err, ERR_INVALID, 0,
                         "'" SHOWN "' is no address and port such as 127.0.0.1:9180 or [::1]:9180", text);
    }
    *ret = address;
    return 0;
}

/* The value is never repeated: it may hold a password. All of it is read by whoever connects. */
int config_parse_postgres(struct arena *arena, const char *text, void *ret, struct error *err)
{
    if (*text && !str_starts(text, "postgresql://") && !str_starts(text, "postgres://"))
        return invalid(err, "a URL is needed that begins with postgresql://");
    *(const char **)ret = *text ? arena_strdup(arena, text) : NULL;
    return 0;
}

int config_parse_listen(struct arena *arena, const char *text, void *ret, struct error *err)
{
    struct sockaddr_storage address;
    unsigned size;
    if (*text && config_listen_address(text, &address, &size, err) < 0)
        return -1;
    *(const char **)ret = *text ? arena_strdup(arena, text) : NULL;
    return 0;
}

bool config_stack_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 48 && *name != '_' && *name != '-' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

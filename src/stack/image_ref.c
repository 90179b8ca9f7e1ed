/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/stack.h"
#include "base/str.h"

/*
 * Docker's grammar of references (github.com/distribution/reference): DOMAIN/PATH:TAG@DIGEST, with docker.io
 * and library/ left out in the familiar form.
 */

static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
static const char hex[] = "0123456789abcdefABCDEF";

enum { MAX_NAME = 255 };

/* ---- each part's grammar ---- */

/* [a-z0-9]+ joined by '.', '_', "__" or any number of '-' */
static bool is_component(const char *s, size_t n)
{
    size_t i = 0;
    for (;;) {
        size_t run = strspn(s + i, lower_digits);
        run = run > n - i ? n - i : run;
        if (!run)
            return false;
        i += run;
        if (i == n)
            return true;
        if (s[i] == '-')
            while (i < n && s[i] == '-')
                i++;
        else if (s[i] == '_')
            i += i + 1 < n && s[i + 1] == '_' ? 2 : 1;
        else if (s[i] == '.')
            i++;
        else
            return false;
        if (i >= n)
            return false;
    }
}

static bool is_path(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, "/");
        if (!is_component(s, n))
            return false;
        if (!s[n])
            return true;
        s += n + 1;
    }
}

static bool is_label(const char *s, size_t n)
{
    if (!n || *s == '-' || s[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr(alnum, s[i]) && s[i] != '-')
            return false;
    return true;
}

static bool is_domain(const char *s)
{
    size_t n;
    if (*s == '[') {
        n = strspn(s + 1, "0123456789abcdefABCDEF:");
        if (n < 2 || s[1 + n] != ']')
            return false;
        s += n + 2;
    } else {
        for (;; s++) {
            n = strcspn(s, ".:");
            if (!is_label(s, n))
                return false;
            s += n;
            if (*s != '.')
                break;
        }
    }
    if (*s != ':')
        return !*s;
    return s[1] && !s[1 + strspn(s + 1, "0123456789")];
}

static bool is_tag(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > 128 || (!strchr(alnum, *s) && *s != '_'))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!strchr(alnum, s[i]) && !strchr("_.-", s[i]))
            return false;
    return true;
}

static const char invalid[] = "invalid reference format";

/* NULL, or what is wrong with ALGORITHM[+._-ALGORITHM…]:HEX; sha256 has 64 digits, sha384 96, sha512 128, in
 * lower case, and others are not supported. */
static const char *digest_problem(const char *s)
{
    static const struct {
        const char *prefix;
        size_t digits;
    } known[] = {{"sha256:", 64}, {"sha384:", 96}, {"sha512:", 128}};
    const char *colon = strchr(s, ':');
    if (!colon || colon == s)
        return invalid;
    for (const char *c = s; c < colon; c++)
        if (!strchr(alnum, *c) && !(strchr("+._-", *c) && c > s && c + 1 < colon))
            return invalid;
    size_t n = strlen(colon + 1);
    if (n < 32 || colon[1 + strspn(colon + 1, hex)])
        return invalid;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!str_starts(s, known[i].prefix))
            continue;
        if (n != known[i].digits)
            return "invalid checksum digest length";
        return colon[1 + strspn(colon + 1, "0123456789abcdef")] ? "invalid checksum digest format" : NULL;
    }
    return "unsupported digest algorithm";
}

/* ---- taking it apart ---- */

static bool looks_like_domain(const char *s)
{
    if (str_eq(s, "localhost") || strpbrk(s, ".:"))
        return true;
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            return true;
    return false;
}

static void split_domain(struct arena *arena, char *name, struct image_ref *ref)
{
    char *slash = strchr(name, '/');
    ref->domain = "docker.io";
    ref->path = name;
    if (slash) {
        *slash = '\0';
        if (looks_like_domain(name)) {
            ref->domain = str_eq(name, "index.docker.io") ? "docker.io" : name;
            ref->path = slash + 1;
        } else {
            *slash = '/';
        }
    }
    if (str_eq(ref->domain, "docker.io") && !strchr(ref->path, '/'))
        ref->path = arena_printf(arena, "library/%s", ref->path);
}

static bool has_upper(const char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            return true;
    return false;
}

static void set_familiar(struct arena *arena, struct image_ref *ref)
{
    const char *path = ref->path;
    bool hub = str_eq(ref->domain, "docker.io");
    if (hub && str_starts(path, "library/") && !strchr(path + 8, '/'))
        path += 8;
    ref->repository = hub ? path : arena_printf(arena, "%s/%s", ref->domain, path);
    const char *tag = ref->tag || ref->digest ? ref->tag : "latest";
    ref->familiar = arena_printf(arena, "%s%s%s%s%s", ref->repository, tag ? ":" : "", tag ? tag : "",
                                 ref->digest ? "@" : "", ref->digest ? ref->digest : "");
}

/* A bare image ID (64 hex digits) names no repository; it is used as it is. */
static bool is_image_id(const char *text)
{
    return strlen(text) == 64 && !text[strspn(text, "0123456789abcdef")];
}

int image_ref_parse(struct arena *arena, const char *text, struct image_ref *ret, struct error *err)
{
    struct image_ref ref = {0};
    if (is_image_id(text)) {
        *ret = (struct image_ref){.familiar = arena_strdup(arena, text),
                                  .repository = arena_strdup(arena, text)};
        return 0;
    }
    char *name = arena_strdup(arena, text), *at = strchr(name, '@');
    if (at) {
        *at = '\0';
        ref.digest = at + 1;
    }
    char *slash = strrchr(name, '/'), *colon = strchr(slash ? slash : name, ':');
    if (colon) {
        *colon = '\0';
        ref.tag = colon + 1;
    }
    split_domain(arena, name, &ref);
    if (has_upper(ref.path))
        return error_set(err, ERR_INVALID, 0,
                         "invalid reference format: repository name (%s) must be lowercase",
                         str_clean(arena, ref.path, strlen(ref.path), true, MAX_NAME));
    /* what is no domain may still be a component of a path without one: x_y.z/app */
    bool domain = is_domain(ref.domain) || is_component(ref.domain, strlen(ref.domain));
    const char *problem = ref.digest ? digest_problem(ref.digest) : NULL;
    if (!domain || !is_path(ref.path) || (ref.tag && !is_tag(ref.tag)))
        problem = invalid;
    if (problem)
        return error_set(err, ERR_INVALID, 0, "%s", problem);
    if (strlen(ref.path) > MAX_NAME)
        return error_set(err, ERR_INVALID, 0, "repository name must not be more than %d characters",
                         MAX_NAME);
    set_familiar(arena, &ref);
    *ret = ref;
    return 0;
}

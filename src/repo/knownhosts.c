/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/knownhosts.h"

#include <ctype.h>
#include <nettle/base64.h>
#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "repo/sshwire.h"

#define RSA_BITS_MIN 3072
#define LINE_MAX_LEN 16384
#define SSH_PORT     22

/* One line of the file, taken apart; the strings are in the arena. */
struct entry {
    bool revoked;
    const char *hosts;
    struct host_key key;
    unsigned line;
};

/* Calls the function for each line that names the host. */
typedef void entry_fn(const struct entry *entry, void *userdata);

/* ---- keys ---- */

static size_t base64_decode(struct arena *arena, const char *text, size_t len, uint8_t **ret)
{
    struct base64_decode_ctx decoder;
    size_t n = BASE64_DECODE_LENGTH(len);
    uint8_t *bytes = arena_alloc(arena, n + 1);
    base64_decode_init(&decoder);
    if (!base64_decode_update(&decoder, &n, bytes, len, text) || !base64_decode_final(&decoder))
        return 0;
    *ret = bytes;
    return n;
}

static char *base64_text(struct arena *arena, const uint8_t *data, size_t len)
{
    char *text = arena_alloc(arena, BASE64_ENCODE_RAW_LENGTH(len) + 1);
    base64_encode_raw(text, len, data);
    return text;
}

static bool key_type(struct host_key key, struct ssh_bytes *ret)
{
    struct ssh_reader reader = {key.blob, key.blob + key.len};
    return ssh_read_string(&reader, ret);
}

static bool same_key(struct host_key a, struct host_key b)
{
    return a.len == b.len && memcmp(a.blob, b.blob, a.len) == 0;
}

static bool same_type(struct host_key a, struct host_key b)
{
    struct ssh_bytes x, y;
    return key_type(a, &x) && key_type(b, &y) && x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

char *host_key_fingerprint(struct arena *arena, struct host_key key)
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    sha256_update(&sha, key.len, key.blob);
    sha256_digest(&sha, sizeof digest, digest);
    char *text = base64_text(arena, digest, sizeof digest);
    text[strcspn(text, "=")] = '\0';
    return arena_printf(arena, "SHA256:%s", text);
}

char *host_key_type(struct arena *arena, struct host_key key)
{
    struct ssh_bytes type;
    if (!key_type(key, &type))
        return arena_strdup(arena, "unknown");
    return str_clean(arena, (const char *)type.data, type.len, true, 64);
}

/* string "ssh-rsa", mpint e, mpint n (RFC 4253, section 6.6) */
static unsigned rsa_bits(struct host_key key)
{
    struct ssh_reader reader = {key.blob, key.blob + key.len};
    struct ssh_bytes type, e, n;
    if (!ssh_read_string(&reader, &type) || !ssh_read_string(&reader, &e) || !ssh_read_string(&reader, &n))
        return 0;
    while (n.len > 0 && n.data[0] == 0) {
        n.data++;
        n.len--;
    }
    return n.len == 0 || n.len > 4096
               ? 0
               : (unsigned)n.len * 8 - (unsigned)__builtin_clz((unsigned)n.data[0] << 24);
}

static bool is_weak(struct host_key key)
{
    struct ssh_bytes type;
    if (!key_type(key, &type))
        return true;
    if (ssh_bytes_is(&type, "ssh-rsa"))
        return rsa_bits(key) < RSA_BITS_MIN;
    return ssh_bytes_is(&type, "ssh-dss");
}

/* ---- names ---- */

static bool wildcard_match(const char *pattern, size_t n, const char *name)
{
    const char *p = pattern, *end = pattern + n, *star = NULL, *mark = NULL;
    while (*name) {
        if (p < end && (*p == '?' || tolower((unsigned char)*p) == *name)) {
            p++;
            name++;
        } else if (p < end && *p == '*') {
            star = ++p;
            mark = name;
        } else if (star) {
            p = star;
            name = ++mark;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

/* |1|base64 of a salt|base64 of HMAC-SHA1(salt, name) */
static bool hashed_match(const char *hosts, const char *name)
{
    cleanup_arena struct arena arena = {0};
    const char *salt_text = hosts + 3;
    const char *bar = strchr(salt_text, '|');
    uint8_t *salt, *hash, digest[SHA1_DIGEST_SIZE];
    if (!bar)
        return false;
    size_t salt_len = base64_decode(&arena, salt_text, (size_t)(bar - salt_text), &salt);
    size_t hash_len = base64_decode(&arena, bar + 1, strlen(bar + 1), &hash);
    if (salt_len == 0 || hash_len != sizeof digest)
        return false;

    struct hmac_sha1_ctx hmac;
    hmac_sha1_set_key(&hmac, salt_len, salt);
    hmac_sha1_update(&hmac, strlen(name), (const uint8_t *)name);
    hmac_sha1_digest(&hmac, sizeof digest, digest);
    return memcmp(digest, hash, sizeof digest) == 0;
}

static bool hosts_match(const char *hosts, const char *name)
{
    if (str_starts(hosts, "|1|"))
        return hashed_match(hosts, name);

    bool matched = false;
    for (const char *p = hosts; *p; p += strcspn(p, ",")) {
        if (*p == ',' && *++p == '\0')
            break;
        bool negated = *p == '!';
        p += negated;
        if (!wildcard_match(p, strcspn(p, ","), name))
            continue;
        if (negated)
            return false;
        matched = true;
    }
    return matched;
}

/* As OpenSSH spells it: the port stands there only when it is not 22. */
static char *host_name(struct arena *arena, const char *host, unsigned port)
{
    char *name = port == SSH_PORT ? arena_strdup(arena, host) : arena_printf(arena, "[%s]:%u", host, port);
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

/* ---- lines ---- */

static const char *next_word(const char **at)
{
    const char *word = *at + strspn(*at, " \t");
    *at = word + strcspn(word, " \t");
    return word;
}

static bool parse_line(struct arena *arena, const char *line, struct entry *ret)
{
    const char *at = line;
    const char *word = next_word(&at);
    size_t n = (size_t)(at - word);
    struct entry entry = {0};

    if (n == 0 || *word == '#')
        return false;
    if (*word == '@') {
        if (n != 8 || memcmp(word, "@revoked", 8) != 0)
            return false;
        entry.revoked = true;
        word = next_word(&at);
        n = (size_t)(at - word);
    }
    entry.hosts = arena_strndup(arena, word, n);

    const char *type = next_word(&at);
    size_t type_len = (size_t)(at - type);
    const char *base64 = next_word(&at);
    size_t base64_len = (size_t)(at - base64);
    if (n == 0 || type_len == 0 || base64_len == 0)
        return false;

    uint8_t *blob;
    entry.key.len = base64_decode(arena, base64, base64_len, &blob);
    if (entry.key.len == 0)
        return false;
    entry.key.blob = blob;
    struct ssh_bytes inside;
    if (!key_type(entry.key, &inside) || inside.len != type_len || memcmp(inside.data, type, type_len) != 0)
        return false;
    *ret = entry;
    return true;
}

static void each_entry(struct arena *arena, const char *text, size_t len, const char *name, entry_fn *fn,
                       void *userdata)
{
    const char *end = text + len;
    unsigned number = 0;
    for (const char *p = text; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((newline ? newline : end) - p);
        const char *line = p;
        struct entry entry;
        p += n + 1;
        number++;
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (n > LINE_MAX_LEN || memchr(line, '\0', n))
            continue;
        if (!parse_line(arena, arena_strndup(arena, line, n), &entry) || !hosts_match(entry.hosts, name))
            continue;
        entry.line = number;
        fn(&entry, userdata);
    }
}

/* ---- the check ---- */

struct check {
    struct host_key key;
    struct host_key_result result;
    bool other_same_type;
};

static void check_entry(const struct entry *entry, void *userdata)
{
    struct check *check = userdata;
    struct host_key_result *result = &check->result;

    if (entry->revoked) {
        if (same_key(entry->key, check->key))
            *result = (struct host_key_result){.verdict = HOST_KEY_REVOKED, .line = entry->line};
        return;
    }
    if (result->verdict == HOST_KEY_REVOKED || result->verdict == HOST_KEY_KNOWN)
        return;
    if (same_key(entry->key, check->key)) {
        *result = (struct host_key_result){.verdict = HOST_KEY_KNOWN, .line = entry->line};
        return;
    }
    bool alike = same_type(entry->key, check->key);
    if (result->verdict == HOST_KEY_UNKNOWN || (alike && !check->other_same_type)) {
        *result = (struct host_key_result){HOST_KEY_CHANGED, entry->line, entry->key};
        check->other_same_type = alike;
    }
}

void known_hosts_check(struct arena *arena, const char *text, size_t len, const char *host, unsigned port,
                       struct host_key key, struct host_key_result *ret)
{
    struct check check = {.key = key, .result.verdict = HOST_KEY_UNKNOWN};
    if (is_weak(key))
        check.result.verdict = HOST_KEY_WEAK;
    else
        each_entry(arena, text, len, host_name(arena, host, port), check_entry, &check);
    *ret = check.result;
}

struct preferred {
    struct host_key key;
    int rank;
};

static void prefer_entry(const struct entry *entry, void *userdata)
{
    static const char *const order[] = {"ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                                        "ecdsa-sha2-nistp521", "ssh-ed25519"};
    struct preferred *best = userdata;
    struct ssh_bytes type;
    if (entry->revoked || is_weak(entry->key) || !key_type(entry->key, &type))
        return;
    for (int i = 0; i < (int)ARRAY_SIZE(order); i++)
        if (ssh_bytes_is(&type, order[i]) && i + 1 > best->rank)
            *best = (struct preferred){entry->key, i + 1};
}

char *known_hosts_preferred(struct arena *arena, const char *text, size_t len, const char *host,
                            unsigned port)
{
    struct preferred best = {0};
    each_entry(arena, text, len, host_name(arena, host, port), prefer_entry, &best);
    if (!best.rank)
        return NULL;
    return arena_printf(arena, "[%s]:%u %s %s\n", host, port, host_key_type(arena, best.key),
                        base64_text(arena, best.key.blob, best.key.len));
}

int known_hosts_require(const char *file, const char *text, size_t len, const char *host, unsigned port,
                        struct host_key key, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct host_key_result result;
    known_hosts_check(&arena, text, len, host, port, key, &result);
    if (result.verdict == HOST_KEY_KNOWN)
        return 0;

    const char *name = host_name(&arena, host, port), *type = host_key_type(&arena, key);
    const char *fingerprint = host_key_fingerprint(&arena, key);
    const char *line = arena_printf(&arena, "%s %s %s", name, type, base64_text(&arena, key.blob, key.len));
    switch (result.verdict) {
    case HOST_KEY_CHANGED:
        return error_set(
            err, ERR_REFUSED, 0,
            "the ssh host key of %s is not the one we know: %s line %u has %s %s, the server shows "
            "%s %s. Somebody may be listening in. If its operator confirms the new key, put this "
            "line there: %s",
            name, file, result.line, host_key_type(&arena, result.other),
            host_key_fingerprint(&arena, result.other), type, fingerprint, line);
    case HOST_KEY_REVOKED:
        return error_set(err, ERR_REFUSED, 0,
                         "the ssh host key of %s, %s %s, is marked @revoked in %s line %u", name, type,
                         fingerprint, file, result.line);
    case HOST_KEY_WEAK:
        return error_set(
            err, ERR_REFUSED, 0,
            "the ssh host key of %s, %s %s, is too weak: RSA keys need %d bits; the server should "
            "offer ed25519",
            name, type, fingerprint, RSA_BITS_MIN);
    default:
        return error_set(
            err, ERR_REFUSED, 0,
            "the ssh host key of %s is unknown: the server shows %s %s and %s has no key for this "
            "host. If the fingerprint is the one its operator publishes, add this line: %s",
            name, type, fingerprint, file, line);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/webhook.h"

#include <nettle/base64.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/secret.h"
#include "base/str.h"

enum { SECRET_MAX = 4096, KEY_MAX = 1024, SIGNATURES_MAX = 8 };

/* ---- signatures ---- */

struct digest {
    uint8_t bytes[SHA256_DIGEST_SIZE];
};

static bool same(const struct digest *a, const struct digest *b)
{
    return memeql_sec(a->bytes, b->bytes, sizeof a->bytes) != 0;
}

/* Exactly 64 hex digits. */
static bool read_hex(const char *text, struct digest *ret)
{
    if (!text || strlen(text) != 2 * sizeof ret->bytes)
        return false;
    for (size_t i = 0; i < sizeof ret->bytes; i++) {
        int high = str_hex_digit(text[2 * i]), low = str_hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* false: no base64, or more than fits. */
static bool read_base64(const char *text, size_t len, uint8_t *ret, size_t max, size_t *ret_len)
{
    struct base64_decode_ctx ctx;
    if (BASE64_DECODE_LENGTH(len) > max)
        return false;
    *ret_len = max;
    base64_decode_init(&ctx);
    return base64_decode_update(&ctx, ret_len, ret, len, text) && base64_decode_final(&ctx);
}

static struct digest hmac(const char *key, size_t key_len, const char *const *parts, const size_t *lens,
                          size_t n)
{
    struct digest digest;
    struct hmac_sha256_ctx ctx;
    hmac_sha256_set_key(&ctx, key_len, (const uint8_t *)key);
    for (size_t i = 0; i < n; i++)
        hmac_sha256_update(&ctx, lens[i], (const uint8_t *)parts[i]);
    hmac_sha256_digest(&ctx, sizeof digest.bytes, digest.bytes);
    explicit_bzero(&ctx, sizeof ctx);
    return digest;
}

/* GitHub, and Gitea without the prefix. */
static bool is_signed(const char *secret, const struct webhook_headers *h, const char *body, size_t len)
{
    static const char prefix[] = "sha256=";
    struct digest hub = {0}, gitea = {0};
    struct digest mine = hmac(secret, strlen(secret), &body, &len, 1);
    bool has_hub = h->hub && str_starts(h->hub, prefix) && read_hex(h->hub + strlen(prefix), &hub);
    bool has_gitea = read_hex(h->gitea, &gitea);
    bool hub_is_good = same(&hub, &mine), gitea_is_good = same(&gitea, &mine);
    return (has_hub && hub_is_good) || (has_gitea && gitea_is_good);
}

/* Lengths differ: digests are compared. */
static bool is_token(const char *secret, const char *token)
{
    const char *given = token ? token : "";
    size_t given_len = strlen(given), len = strlen(secret);
    struct digest a = hmac("", 0, &given, &given_len, 1), b = hmac("", 0, &secret, &len, 1);
    bool good = same(&a, &b);
    return token && good;
}

static size_t standard_key(const char *secret, uint8_t key[KEY_MAX])
{
    static const char prefix[] = "whsec_";
    size_t len = strlen(secret), n;
    if (str_starts(secret, prefix) &&
        read_base64(secret + strlen(prefix), len - strlen(prefix), key, KEY_MAX, &n))
        return n;
    n = len < KEY_MAX ? len : KEY_MAX;
    memcpy(key, secret, n);
    return n;
}

/* One of "v1,BASE64 v1,BASE64 …": there are several while a secret is being replaced. */
static bool has_signature(const char *list, const struct digest *mine)
{
    static const char version[] = "v1,";
    bool good = false;
    for (unsigned n = 0; *list && n < SIGNATURES_MAX; n++) {
        size_t len = strcspn(list, " "), got;
        struct digest given;
        uint8_t bytes[sizeof given.bytes + 3];
        if (len > strlen(version) && str_starts(list, version) &&
            read_base64(list + strlen(version), len - strlen(version), bytes, sizeof bytes, &got) &&
            got == sizeof given.bytes) {
            memcpy(given.bytes, bytes, sizeof given.bytes);
            good |= same(&given, mine);
        }
        list += len + strspn(list + len, " ");
    }
    return good;
}

static bool is_standard(const char *secret, const struct webhook_headers *h, const char *body, size_t len)
{
    uint8_t key[KEY_MAX];
    const char *id = h->id ? h->id : "", *timestamp = h->timestamp ? h->timestamp : "";
    const char *const parts[] = {id, ".", timestamp, ".", body};
    const size_t lens[] = {strlen(id), 1, strlen(timestamp), 1, len};
    size_t key_len = standard_key(secret, key);
    struct digest mine = hmac((const char *)key, key_len, parts, lens, ARRAY_SIZE(parts));
    explicit_bzero(key, sizeof key);
    return h->id && h->timestamp && h->signature && has_signature(h->signature, &mine);
}

bool webhook_verify(const char *secret, const struct webhook_headers *headers, const char *body, size_t len)
{
    /* none is left out because another has decided */
    bool by_signature = is_signed(secret, headers, body, len),
         by_token = is_token(secret, headers->gitlab_token),
         by_standard = is_standard(secret, headers, body, len);
    return by_signature || by_token || by_standard;
}

/* ---- secrets ---- */

int webhook_secret_read(struct arena *arena, const char *path, char **ret, struct error *err)
{
    char *text;
    size_t len;
    if (fs_read_private(arena, path, SECRET_MAX, &text, &len, err) < 0)
        return -1;
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = '\0';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
            return error_set(err, ERR_INVALID, 0, "%s: the secret is one line of letters, digits and signs",
                             path);
    if (len < WEBHOOK_SECRET_MIN)
        return error_set(err, ERR_INVALID, 0,
                         "%s: a secret has at least %d characters; make one with: openssl rand -hex 32", path,
                         WEBHOOK_SECRET_MIN);
    secret_register(text);
    *ret = text;
    return 0;
}

int webhook_secrets_load(struct config *config, struct error *err)
{
    for (size_t i = 0; i < config->n_stacks; i++) {
        struct stack_config *stack = &config->stacks[i];
        if (stack->webhook_secret_file && webhook_secret_read(&config->arena, stack->webhook_secret_file,
                                                              &stack->webhook_secret, err) < 0) {
            err->kind = ERR_INVALID;
            return error_wrap(err, "%s: [stack %s] webhook_secret_file", config->path, stack->name);
        }
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/credentials.h"

#include <nettle/base64.h>
#include <stdint.h>
#include <string.h>

#include "base/fs.h"
#include "base/secret.h"
#include "base/str.h"
#include "repo/sshwire.h"

#define TOKEN_MAX        4096
#define KEY_MAX          ((size_t)16 << 10)
#define DEFAULT_USERNAME "x-access-token"

int credentials_http(struct arena *arena, const struct stack_config *stack, const struct repo_url *url,
                     struct http_credentials *ret, struct error *err)
{
    if (!stack->token_file) {
        *ret = (struct http_credentials){0};
        return 0;
    }

    char *token;
    size_t len;
    if (fs_read_private(arena, stack->token_file, TOKEN_MAX, &token, &len, err) < 0)
        return error_wrap(err, "token_file");
    while (len > 0 && (token[len - 1] == '\n' || token[len - 1] == '\r' || token[len - 1] == ' '))
        token[--len] = '\0';
    if (len == 0)
        return error_set(err, ERR_INVALID, 0, "token_file: %s is empty", stack->token_file);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)token[i] < ' ' || token[i] == 0x7f)
            return error_set(err, ERR_INVALID, 0, "token_file: %s must hold one line, the token",
                             stack->token_file);
    secret_register(token);

    const char *username = stack->username ? stack->username : url->user ? url->user : DEFAULT_USERNAME;
    *ret = (struct http_credentials){username, token};
    return 0;
}

static int unusable(struct error *err, const char *why)
{
    return error_set(err, ERR_INVALID, 0, "%s; make one with: ssh-keygen -t ed25519 -N '' -f FILE", why);
}

/*
 * OpenSSH's own format (its PROTOCOL.key): "openssh-key-v1" NUL, cipher, kdf, kdf options, number of keys,
 * public key, then the private part, which we leave to libssh2.
 */
static int check_openssh(const uint8_t *blob, size_t len, struct error *err)
{
    static const char magic[] = "openssh-key-v1";
    struct ssh_reader reader = {blob, blob + len};
    struct ssh_bytes cipher, kdf, options, public_key, type;
    uint32_t count;

    if (len < sizeof magic || memcmp(blob, magic, sizeof magic) != 0)
        return unusable(err, "it is not an OpenSSH private key");
    reader.at += sizeof magic;
    if (!ssh_read_string(&reader, &cipher) || !ssh_read_string(&reader, &kdf) ||
        !ssh_read_string(&reader, &options) || !ssh_read_u32(&reader, &count) || count != 1 ||
        !ssh_read_string(&reader, &public_key))
        return unusable(err, "the private key is damaged");

    struct ssh_reader inner = {public_key.data, public_key.data + public_key.len};
    if (!ssh_read_string(&inner, &type))
        return unusable(err, "the private key is damaged");
    if (!ssh_bytes_is(&cipher, "none"))
        return unusable(err, "the key has a passphrase, which nobody could type here");
    if (ssh_bytes_is(&type, "ssh-ed25519") || ssh_bytes_is(&type, "ecdsa-sha2-nistp256") ||
        ssh_bytes_is(&type, "ecdsa-sha2-nistp384") || ssh_bytes_is(&type, "ecdsa-sha2-nistp521"))
        return 0;
    return unusable(err,
                    "keys must be ed25519 or ecdsa: our SSH library cannot sign with others in a way that "
                    "servers still take");
}

int ssh_key_check(const char *text, size_t len, struct error *err)
{
    static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    static const char end[] = "-----END OPENSSH PRIVATE KEY-----";

    if (len >= 4 && (memcmp(text, "ssh-", 4) == 0 || memcmp(text, "ecds", 4) == 0))
        return error_set(err, ERR_INVALID, 0, "it is the public key; name the file without .pub");
    if (memmem(text, len, "-----BEGIN RSA", 14) || memmem(text, len, "-----BEGIN DSA", 14))
        return unusable(err, "RSA and DSA keys are not supported");
    if (memmem(text, len, "ENCRYPTED", 9))
        return unusable(err, "the key has a passphrase, which nobody could type here");
    if (memmem(text, len, "-----BEGIN EC PRIVATE KEY-----", 30))
        return 0;

    const char *from = memmem(text, len, begin, sizeof begin - 1);
    if (!from)
        return unusable(err, "it is not a private key that we know");
    from += sizeof begin - 1;
    const char *to = memmem(from, len - (size_t)(from - text), end, sizeof end - 1);
    if (!to)
        return unusable(err, "the private key is cut off");

    uint8_t blob[BASE64_DECODE_LENGTH(KEY_MAX)];
    struct base64_decode_ctx decoder;
    size_t blob_len = sizeof blob, text_len = (size_t)(to - from);
    base64_decode_init(&decoder);
    if (text_len > KEY_MAX || !base64_decode_update(&decoder, &blob_len, blob, text_len, from) ||
        !base64_decode_final(&decoder))
        return unusable(err, "the private key is damaged");
    int r = check_openssh(blob, blob_len, err);
    explicit_bzero(blob, sizeof blob);
    return r;
}

int credentials_ssh(struct arena *arena, const struct stack_config *stack, const char **ret_key,
                    struct error *err)
{
    if (!stack->ssh_key)
        return error_set(err, ERR_INVALID, 0,
                         "a repository over ssh needs ssh_key, the file of a deploy key");

    char *key;
    size_t len;
    if (fs_read_private(arena, stack->ssh_key, KEY_MAX, &key, &len, err) < 0)
        return error_wrap(err, "ssh_key");
    if (memchr(key, '\0', len))
        return error_set(err, ERR_INVALID, 0, "ssh_key: %s is not a private key", stack->ssh_key);
    if (ssh_key_check(key, len, err) < 0)
        return error_wrap(err, "ssh_key: %s", stack->ssh_key);
    *ret_key = key;
    return 0;
}

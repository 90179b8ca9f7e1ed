/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/hash.h"

#include <string.h>

#include "base/hash.h"
#include "sql/token.h"

_Static_assert(SQL_HASH_SIZE == SHA256_HEX_SIZE, "a hash of tokens is a sha256");

void sql_hash_init(struct sql_hash *hash)
{
    sha256_init(&hash->ctx);
    hash->n = 0;
}

static void add(struct sql_hash *hash, const char *bytes, size_t len)
{
    if (len > sizeof hash->bytes - hash->n) {
        sha256_update(&hash->ctx, hash->n, hash->bytes);
        hash->n = 0;
    }
    if (len > sizeof hash->bytes) {
        sha256_update(&hash->ctx, len, (const unsigned char *)bytes);
        return;
    }
    if (len)
        memcpy(hash->bytes + hash->n, bytes, len);
    hash->n += len;
}

static void add_with_nul(struct sql_hash *hash, const char *bytes, size_t len)
{
    const char *end = bytes + len, *cr = bytes;
    while (cr < end && (cr = memchr(cr, '\r', (size_t)(end - cr))) != NULL) {
        if (cr + 1 < end && cr[1] == '\n') {
            add(hash, bytes, (size_t)(cr - bytes));
            bytes = cr + 1;
        }
        cr++;
    }
    add(hash, bytes, (size_t)(end - bytes));
    add(hash, "", 1);
}

void sql_hash_add(struct sql_hash *hash, const struct sql_statement *s)
{
    const char *end = s->text + s->len;
    struct sql_token t = sql_token_of_statement(s->text, end);
    for (; t.kind != SQL_TOKEN_END; t = sql_token_of_statement(sql_token_end(&t), end)) {
        size_t colon = t.kind == SQL_TOKEN_VARIABLE; /* a[1:n] is a[1: n] */
        if (colon)
            add_with_nul(hash, t.text, colon);
        add_with_nul(hash, t.text + colon, t.len - colon);
    }
    add(hash, "", 1);
    if (s->kind == SQL_COPY_IN)
        add_with_nul(hash, s->data, s->data_len);
}

void sql_hash_end(struct sql_hash *hash, char ret[SQL_HASH_SIZE])
{
    sha256_update(&hash->ctx, hash->n, hash->bytes);
    hash->n = 0;
    sha256_end_hex(&hash->ctx, ret);
}

int sql_prefix_hash(const char *file, const char *text, size_t len, unsigned n, char ret[SQL_HASH_SIZE],
                    struct error *err)
{
    struct sql_lexer lexer;
    struct sql_statement s;
    struct sql_hash hash;
    sql_hash_init(&hash);
    sql_lexer_init(&lexer, file, text, len);
    for (int r = 1; n && r; n--) {
        r = sql_next(&lexer, &s, err);
        if (r < 0)
            return -1;
        if (r > 0)
            sql_hash_add(&hash, &s);
    }
    sql_hash_end(&hash, ret);
    return 0;
}

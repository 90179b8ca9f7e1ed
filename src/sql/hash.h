/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What stays the same when only blanks, comments, line ends or a BOM were edited. The formula is frozen: its
 * values are stored in users' databases.
 *
 *     sha256 of, for each statement: each token's bytes as written and a NUL, then another NUL;
 *     for COPY … FROM STDIN then the bytes of its rows and a NUL; every CR LF counts as LF.
 *
 * Tokens are those of src/sql/token.h without comments; :name is two, the semicolon behind a statement is
 * none.
 */

#include <nettle/sha2.h>

#include "agent/sql.h"

struct sql_hash {
    struct sha256_ctx ctx;
    size_t n;
    unsigned char bytes[4096]; /* that were not hashed yet */
};

void sql_hash_init(struct sql_hash *hash);
void sql_hash_add(struct sql_hash *hash, const struct sql_statement *s);
void sql_hash_end(struct sql_hash *hash, char ret[SQL_HASH_SIZE]);

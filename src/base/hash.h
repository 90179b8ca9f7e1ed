/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-256 (nettle), as lower-case hex. */

#include <nettle/sha2.h>
#include <stddef.h>

#define SHA256_HEX_SIZE 65

void sha256_hex(const void *data, size_t len, char ret[SHA256_HEX_SIZE]);
/* of salt, a NUL, data: content labels that cannot be compared across installations */
void sha256_salted_hex(const char *salt, const void *data, size_t len, char ret[SHA256_HEX_SIZE]);
/* the end of what sha256_init() and sha256_update() of nettle began */
void sha256_end_hex(struct sha256_ctx *ctx, char ret[SHA256_HEX_SIZE]);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Standard base64 with padding. */

#include <stddef.h>

#include "base/arena.h"

char *base64_encode(struct arena *arena, const void *data, size_t len);
char *base64_decode(struct arena *arena, const char *text,
                    size_t *ret_len); /* newlines skipped; NULL: invalid */

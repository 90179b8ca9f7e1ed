/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the targets share. A broken promise ends the run like a crash does. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/error.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"

#define PROMISE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Texts of errors reach terminals and the journal: said, UTF-8, and no control characters but newlines. */
static inline void promise_good_error(const struct error *err)
{
    PROMISE(err->kind != ERR_NONE && err->text[0]);
    PROMISE(str_is_utf8(err->text, strlen(err->text)));
    for (const char *c = err->text; *c; c++)
        PROMISE((unsigned char)*c >= ' ' || *c == '\n');
}

/* All of it, NULs included, and one more behind. */
static inline char *copy_of(struct arena *arena, const void *data, size_t size)
{
    char *copy = arena_alloc(arena, size + 1);
    if (size)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

/*
 * The part of the input up to the next line "#%%", NUL-terminated; *data and *size go on behind that line.
 * Stack files of a case stand one after the other like that.
 */
static inline char *next_part(struct arena *arena, const uint8_t **data, size_t *size, size_t *ret_len)
{
    static const char separator[] = "\n#%%\n";
    const uint8_t *end = *size ? memmem(*data, *size, separator, strlen(separator)) : NULL;
    size_t len = end ? (size_t)(end - *data) : *size, skipped = len + (end ? strlen(separator) : 0);
    char *part = copy_of(arena, *data, len);
    *data += skipped;
    *size -= skipped;
    *ret_len = len;
    return part;
}

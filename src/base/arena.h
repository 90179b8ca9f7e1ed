/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory for types full of strings: everything allocated from an arena is freed at once by
 * arena_release(). Allocation never fails: out of memory aborts the process, and resuming after an
 * abort is a tested path. A zeroed arena is empty and valid; releasing twice is harmless.
 * Memory is zeroed and aligned for any type.
 */

#include <stdarg.h>
#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *head;
};

void *arena_alloc(struct arena *arena, size_t size);
void *arena_array(struct arena *arena, size_t count, size_t size);
char *arena_strdup(struct arena *arena, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *arena, const char *s, size_t n);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));

/*
 * Grows an array that lives in the arena: returns room for at least count+1 elements, contents kept.
 * The old array stays in the arena (arrays here are small); capacity doubles.
 *     v = arena_grow(&arena, v, n, sizeof *v); v[n++] = x;
 */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t size);

void arena_release(struct arena *arena);

/* Each program calls it first: jansson, too, ends the process when there is no memory. What json_array() and
   its like could not allocate would else be taken for what is not there: a service that is left out of what
   is asked for would be removed. */
void memory_json_is_sure(void);

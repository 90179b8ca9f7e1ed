/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <jansson.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

static const size_t block_size = 8192;

static void out_of_memory(void)
{
    static const char text[] = "deploy-agent: out of memory\n";
    fputs(text, stderr);
    abort();
}

static void *json_memory(size_t size)
{
    void *ret = malloc(size);
    if (!ret)
        out_of_memory();
    return ret;
}

void memory_json_is_sure(void)
{
    json_set_alloc_funcs(json_memory, free);
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        out_of_memory();
    size = (size + align - 1) & ~(align - 1);
    struct arena_block *block = arena->head;
    if (!block || block->size - block->used < size) {
        size_t room = size > block_size ? size : block_size;
        block = calloc(1, sizeof *block + room);
        if (!block)
            out_of_memory();
        block->size = room;
        block->next = arena->head;
        arena->head = block;
    }
    void *p = block->data + block->used;
    block->used += size;
    return p;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        out_of_memory();
    return arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *s, size_t n)
{
    if (!s)
        return NULL;
    n = strnlen(s, n);
    char *copy = arena_alloc(arena, n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return s ? arena_strndup(arena, s, strlen(s)) : NULL;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    if (n < 0)
        abort();
    char *text = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *text = arena_vprintf(arena, format, ap);
    va_end(ap);
    return text;
}

void *arena_grow(struct arena *arena, void *array, size_t count, size_t size)
{
    /* capacities are powers of two from four on, so the count alone tells when the array is full */
    if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
        return array;
    void *bigger = arena_array(arena, count ? count * 2 : 4, size);
    if (count)
        memcpy(bigger, array, count * size);
    return bigger;
}

void arena_release(struct arena *arena)
{
    while (arena->head) {
        struct arena_block *next = arena->head->next;
        free(arena->head);
        arena->head = next;
    }
}

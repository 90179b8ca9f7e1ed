/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Scope-bound resources. Each type declares its own *_cleanup function beside it. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"

#define CLEANUP(f) __attribute__((cleanup(f)))

static inline void cleanup_free_p(void *p)
{
    free(*(void **)p);
}
static inline void cleanup_close_p(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
static inline void cleanup_json_p(json_t **j)
{
    json_decref(*j);
}

#define cleanup_free  CLEANUP(cleanup_free_p)
#define cleanup_close CLEANUP(cleanup_close_p)
#define cleanup_json  CLEANUP(cleanup_json_p)
#define cleanup_arena CLEANUP(arena_release)

/* Gives the value away: the variable is emptied so that its cleanup does nothing. */
#define TAKE(p)                                                                                              \
    ({                                                                                                       \
        __typeof__(p) taken_ = (p);                                                                          \
        (p) = (__typeof__(p)){0};                                                                            \
        taken_;                                                                                              \
    })
#define TAKE_FD(fd)                                                                                          \
    ({                                                                                                       \
        int taken_ = (fd);                                                                                   \
        (fd) = -1;                                                                                           \
        taken_;                                                                                              \
    })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof *(a))

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The small languages inside a stack file. Parsers that can fail for one
 * reason return false; those with several say which in *ret_problem, in the oracle's words.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "model.h"

/* Whatever the locale. */
static inline bool ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes of the white space character, as Unicode has it, at s; 0: it is none. */
size_t go_space(const char *s);

/* "1h30m", "250ms", "-1.5s", "0": Go's durations, in nanoseconds */
bool go_duration_parse(const char *text, int64_t *ret_ns);

/* "1e3", "1_000.5", "0x1p4": Go's floating-point numbers; false also when out of range */
bool go_float_parse(struct arena *arena, const char *text, double *ret);

/* "64M", "1.5g", "4MiB": go-units, powers of 1024 */
bool memory_parse(struct arena *arena, const char *text, int64_t *ret_bytes, const char **ret_problem);

/* "0.5", "3/2", "1e-1": an exact rational, times 10^9 */
bool cpus_parse(struct arena *arena, const char *text, int64_t *ret_nano, const char **ret_problem);

/* Like a shell without expansion. */
bool shell_split(struct arena *arena, const char *text, struct texts *ret, const char **ret_problem);

/* "[[IP:]HOST:]CONTAINER[/PROTO]" with ranges; *ret_warning: the IP that Swarm cannot bind to, or NULL */
bool ports_parse(struct arena *arena, const char *text, struct port **ret, size_t *ret_count,
                 const char **ret_warning, const char **ret_problem);

/* "[SOURCE:]TARGET[:OPTIONS]"; *ret_ignored: an option that has no meaning, or NULL */
bool mount_parse(struct arena *arena, const char *text, struct mount *ret, const char **ret_ignored,
                 const char **ret_problem);

/* Is this absolute on Unix, or with a drive letter or as UNC path on Windows? */
bool path_is_absolute(const char *path);

/* Joins and cleans: "deploy" + "../x" is "x"; NULL when it leads out, is absolute or starts with "~". */
const char *path_inside(struct arena *arena, const char *folder, const char *path);

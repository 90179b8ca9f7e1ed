/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Text: a growing buffer, and the small parsers and printers that more than one room needs.
 * A zeroed struct str is an empty string; data is NUL-terminated once anything was appended.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

struct str {
    char *data;
    size_t len, cap;
};

void str_append(struct str *s, const char *text);
void str_append_n(struct str *s, const char *bytes, size_t n);
void str_append_char(struct str *s, char c);
void str_printf(struct str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void str_clear(struct str *s); /* keeps the memory */
void str_release(struct str *s);
const char *str_text(const struct str *s); /* never NULL */
#define cleanup_str __attribute__((cleanup(str_release)))

bool str_eq(const char *a, const char *b); /* NULL equals NULL only */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Is the text valid UTF-8 without NUL? */
bool str_is_utf8(const char *s, size_t n);
/* How many bytes of it are, up to the first that is not: n when all are. */
size_t str_utf8_prefix(const char *s, size_t n);

/*
 * Makes untrusted text (commit subjects, task errors, job output) harmless on a terminal and in the
 * journal: C0 but for newline and tab, DEL, C1 and bidirectional controls are dropped, invalid UTF-8
 * becomes U+FFFD; `one_line` turns newlines and tabs into blanks. Cut to `max` bytes at a character's
 * edge (0: no limit).
 */
char *str_clean(struct arena *arena, const char *s, size_t n, bool one_line, size_t max);

/* "30s" "5m" "1h30m" "250ms" "1d12h" "0": systemd's manner, units us ms s m h d w; result in µs. */
int duration_parse(const char *text, int64_t *ret_us, struct error *err) MUST_CHECK;
/* "3m12s", "0m19s", "1h02m"; the TOOK column of agentctl log. Below zero, by a clock that was set back
 * meanwhile: "0m00s". */
char *duration_text(struct arena *arena, int64_t us);

/* "yes no true false on off 1 0" as systemd reads them */
int bool_parse(const char *text, bool *ret, struct error *err) MUST_CHECK;

/* 0 to 15; -1: no hex digit */
int str_hex_digit(char c);
/* %XX as bytes; a percent sign without two hex digits stays. */
char *str_percent_decode(struct arena *arena, const char *text, size_t len);

/* Splits at blanks, NULL-terminated array in the arena. */
char **words_split(struct arena *arena, const char *text, size_t *ret_count);

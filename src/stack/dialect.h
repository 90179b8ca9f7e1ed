/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libyaml 0.2.5 and the oracle's parser, a port of an older libyaml, scan differently in five places:
 *
 *     text               libyaml    oracle
 *     [a:] {a:, b: c}    error      the colon is text
 *     "it\'s"            error      it's
 *     "a\/b"             a/b        error
 *     [a?b]              text       error
 *     BOM in a line      nothing    text
 *
 * It also looks two tokens ahead, and so beyond the end of the document.
 *
 * The first two are brought past libyaml by putting another character in the place of the one it stops at,
 * and taken back in the scalars. Usage: parse `text`; where libyaml fails and dialect_is_patchable(), call
 * dialect_patch() and parse again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "base/arena.h"

struct dialect {
    const char *text; /* what to give to libyaml */
    size_t len;
    bool patched;
    struct dialect_cursor { /* where the last mark was found */
        size_t character, byte;
    } cursor;
};

bool dialect_is_patchable(const yaml_parser_t *parser);

/* Patches all such places of the first document; false: there are too many of them, or none can be. */
bool dialect_patch(struct dialect *d, struct arena *arena, unsigned max_depth);

/* Undoes the patches in a scalar's text. */
const char *dialect_restore(const struct dialect *d, struct arena *arena, const char *text, size_t *len);

/* Where a byte order mark starts a line before the end of the document (not the file); len: nowhere. */
size_t dialect_stray_mark(struct dialect *d, const yaml_event_t *end);

/* NULL, or what the oracle's scanner has against the two tokens behind the one that ends the document. */
const char *dialect_problem_behind(struct dialect *d, struct arena *arena, const yaml_event_t *end,
                                   size_t *ret_at);

/* NULL, or what the oracle has against a scalar. closing: ']' or '}' inside of one, else 0. */
const char *dialect_problem(struct dialect *d, const yaml_event_t *scalar, char closing);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTML, written from top to bottom into a growing buffer.
 *
 *     html(h, "<a href=\"/deployments/%lld\">#%lld</a> %s", id, id, subject);
 *
 * Formats are literals and hold the markup; whatever comes in through %s is text: cleaned of control and
 * bidirectional characters and escaped, in elements as in quoted attributes. There is no other way in, so
 * there is nothing to forget. Attributes are always quoted; no text ever goes into a script, a style or a
 * URL's scheme.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum {
    HTML_TEXT_MAX = 8 * 1024, /* bytes of one text; what is longer ends in "…" */
    HTML_FULL = 320 * 1024,   /* lists of a page that is longer than this end */
};

struct html {
    struct str out;
    struct arena *arena; /* for what is made on the way */
};

/* Knows %s (one line of text; NULL is none), %d, %u, %zu, %lld and %%: anything else ends the process. */
void html(struct html *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text whose line breaks stay, for <pre>: its last lines, of at most `max` bytes. */
void html_lines(struct html *h, const char *text, size_t max);
/* Loops over rows ask before each: a page stays a page, however long a record is. */
bool html_is_full(const struct html *h);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A last line that is drawn again and again, on a terminal; anywhere else a line for each change, without
 * control sequences. Lines above it are written between live_clear() and the next live_show().
 */

#include <stdbool.h>
#include <stdio.h>

#include "agentctl/text.h"

struct live {
    FILE *to;
    bool terminal; /* it can be drawn over */
    bool shown;
    struct arena arena;
    const char *said; /* where it cannot: the newest line */
};

void live_open(struct live *live, FILE *to);
/* On a terminal `text` is what is drawn, cut to its width; else `change` is printed once: NULL, nothing. */
void live_show(struct live *live, const char *text, const char *change);
void live_clear(struct live *live);
void live_close(struct live *live); /* clears */

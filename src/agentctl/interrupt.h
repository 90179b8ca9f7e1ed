/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Ctrl-C while something is watched: the terminal is left in order first, then the process dies of it. */

#include <stdbool.h>

void interrupt_catch(void);
bool interrupt_seen(void);
void interrupt_die(void); /* of the signal that was seen */

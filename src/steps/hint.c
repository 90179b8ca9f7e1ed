/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/hint.h"

#include <stdio.h>

#include "base/cleanup.h"

void hint(json_t *message)
{
    cleanup_free char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    printf("%s\n", text);
    fflush(stdout);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/hint.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"

static const int64_t alive_interval_us = 60 * US_PER_S;
/* Every wait and every request gives signs of life, so this is for what lies between: a large stack file, a
 * slow disk, a host that swaps. */
static const int64_t silence_us = 300 * US_PER_S;

/* Hints are shown by `status`: their words may be foreign ones. */
static void redact(json_t *message)
{
    cleanup_arena struct arena arena = {0};
    for (void *i = json_object_iter(message); i; i = json_object_iter_next(message, i)) {
        const char *text = json_string_value(json_object_iter_value(i));
        if (text)
            json_object_iter_set_new(message, i, json_string(secret_redact(&arena, text)));
    }
}

json_t *hint_text(const char *text)
{
    cleanup_arena struct arena arena = {0};
    return text ? json_string(str_clean(&arena, text, strlen(text), false, 0)) : json_null();
}

void hint(json_t *message)
{
    redact(message);
    cleanup_free char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    printf("%s\n", text);
    fflush(stdout);
}

void hint_alive(void)
{
    static int64_t next_us;
    if (mono_us() < next_us)
        return;
    next_us = mono_us() + alive_interval_us;
    hint(json_pack("{s:I}", "alive_s", (json_int_t)(silence_us / US_PER_S)));
}

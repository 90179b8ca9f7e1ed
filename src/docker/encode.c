/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "docker/client.h"

static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._~", c);
}

void percent_encode(struct str *ret, const char *text, const char *keep)
{
    for (const unsigned char *p = (const void *)text; *p; p++) {
        if (is_unreserved(*p) || strchr(keep, *p))
            str_append_char(ret, (char)*p);
        else
            str_printf(ret, "%%%02X", *p);
    }
}

void call_query(struct call *call, const char *name, const char *value)
{
    if (call->query.len)
        str_append_char(&call->query, '&');
    str_append(&call->query, name);
    str_append_char(&call->query, '=');
    percent_encode(&call->query, value, "");
}

void call_filter(struct call *call, const char *key, const char *value)
{
    if (!value)
        return;
    json_t *filters = json_pack("{s:[s]}", key, value);
    char *text = filters ? json_dumps(filters, JSON_COMPACT) : NULL;
    if (!text)
        abort(); /* not UTF-8; going on without the filter would list everybody's objects as ours */
    call_query(call, "filters", text);
    free(text);
    json_decref(filters);
}

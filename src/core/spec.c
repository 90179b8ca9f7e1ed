/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/spec.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* ---- reading ---- */

static const json_t *follow(const json_t *object, va_list ap)
{
    for (const char *key; object && (key = va_arg(ap, const char *));)
        object = json_object_get(object, key);
    return object;
}

const json_t *json_path(const json_t *object, ...)
{
    va_list ap;
    va_start(ap, object);
    object = follow(object, ap);
    va_end(ap);
    return object;
}

const char *json_path_string(const json_t *object, ...)
{
    va_list ap;
    va_start(ap, object);
    object = follow(object, ap);
    va_end(ap);
    return json_string_value(object);
}

json_int_t json_path_integer(const json_t *object, json_int_t fallback, const char *key, const char *key2,
                             const char *key3)
{
    object = json_object_get(object, key);
    if (key2)
        object = json_object_get(object, key2);
    if (key3)
        object = json_object_get(object, key3);
    return json_is_integer(object) ? json_integer_value(object) : fallback;
}

json_t *json_strings(const char *const *items)
{
    json_t *array = json_array();
    for (size_t i = 0; items && items[i]; i++)
        json_array_append_new(array, json_string(items[i]));
    return array;
}

const char *spec_label(const json_t *spec, const char *label)
{
    return json_path_string(spec, "Labels", label, NULL);
}

int64_t label_own_deployment(const char *label, const char *host_id)
{
    size_t len = strlen(host_id);
    return label && strncmp(label, host_id, len) == 0 && label[len] == '/'
               ? strtoll(label + len + 1, NULL, 10)
               : 0;
}

/* ---- writing ---- */

char *spec_text(const json_t *spec)
{
    char *text = json_dumps(spec, JSON_SORT_KEYS | JSON_COMPACT);
    if (!text)
        abort(); /* a string that is not UTF-8: the stack file and the engine's answers cannot hold one */
    return text;
}

void spec_hash(const json_t *spec, char ret[SHA256_HEX_SIZE])
{
    cleanup_free char *text = spec_text(spec);
    sha256_hex(text, strlen(text), ret);
}

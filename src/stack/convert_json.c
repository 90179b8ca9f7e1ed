/* SPDX-License-Identifier: Apache-2.0 */
#include "convert.h"

void put_new(json_t *object, const char *key, json_t *value)
{
    if (value)
        json_object_set_new_nocheck(object, key, value);
}

void put_text(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        put_new(object, key, json_string_nocheck(text));
}

void put_texts(json_t *object, const char *key, const struct texts *texts)
{
    if (!texts->n)
        return;
    json_t *array = json_array();
    for (size_t i = 0; i < texts->n; i++)
        json_array_append_new(array, json_string_nocheck(texts->items[i]));
    put_new(object, key, array);
}

void put_int(json_t *object, const char *key, int64_t value)
{
    if (value)
        put_new(object, key, json_integer(value));
}

void put_true(json_t *object, const char *key, bool value)
{
    if (value)
        put_new(object, key, json_true());
}

json_t *pairs_json(const struct pairs *pairs)
{
    json_t *object = json_object();
    for (size_t i = 0; i < pairs->n; i++)
        put_new(object, pairs->items[i].key,
                json_string_nocheck(pairs->items[i].value ? pairs->items[i].value : ""));
    return object;
}

void put_pairs(json_t *object, const char *key, const struct pairs *pairs)
{
    if (pairs->n)
        put_new(object, key, pairs_json(pairs));
}

json_t *labels_json(const struct converter *c, const struct pairs *labels)
{
    json_t *object = pairs_json(labels);
    put_new(object, "com.docker.stack.namespace", json_string_nocheck(c->stack));
    return object;
}

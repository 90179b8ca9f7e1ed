/* SPDX-License-Identifier: Apache-2.0 */
#include "view/json.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"

json_t *json_time(int64_t us)
{
    struct arena arena = {0};
    const char *text = rfc3339_utc(&arena, us);
    json_t *value = text ? json_string(text) : json_null();
    arena_release(&arena);
    return value;
}

json_t *json_text(const char *text)
{
    struct arena arena = {0};
    json_t *value = text ? json_string(str_clean(&arena, text, strlen(text), false, 0)) : json_null();
    arena_release(&arena);
    return value;
}

json_t *json_duration(int64_t from_us, int64_t to_us)
{
    if (from_us == 0 || to_us == 0)
        return json_null();
    if (to_us < from_us) /* the clock was set back meanwhile */
        return json_real(0);
    return json_real((double)((to_us - from_us) / 1000) / 1000.0);
}

json_t *json_id(int64_t id)
{
    return id ? json_integer(id) : json_null();
}

/* ---- what readers must not see ---- */

/*
 * Plans and step parameters hold whole service specs, environment included: the journal needs them, readers
 * must not see them. What is hidden: values in lists and maps called Env or Environment, arguments, the Data
 * of configs and secrets, and everything secret_redact() knows (user information in URLs).
 */

static const char hidden[] = "***";

static json_t *hide_value(const json_t *variable)
{
    const char *text = json_string_value(variable), *equals = text ? strchr(text, '=') : NULL;
    if (!text)
        return json_string(hidden);
    if (!equals)
        return json_string(text); /* a name alone */
    return json_sprintf("%.*s=%s", (int)(equals - text), text, hidden);
}

static void hide_environment(json_t *value)
{
    const char *name;
    json_t *one;
    void *next;
    size_t i;
    json_array_foreach (value, i, one) {
        json_array_set_new(value, i, hide_value(one));
    }
    json_object_foreach_safe (value, next, name, one) {
        json_object_set_new(value, name, json_string(hidden));
    }
}

static json_t *redacted_string(const json_t *text)
{
    struct arena arena = {0};
    json_t *value = json_string(secret_redact(&arena, json_string_value(text)));
    arena_release(&arena);
    return value;
}

static bool is_environment(const char *key)
{
    return strcasecmp(key, "env") == 0 || strcasecmp(key, "environment") == 0;
}

/* Arguments may hold what env_file filled in; a migration's command is shown redacted beside it. */
static bool is_arguments(const char *key)
{
    return strcmp(key, "Args") == 0 || strcmp(key, "Command") == 0;
}

static void hide_items(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        json_array_set_new(list, i, json_string(hidden));
}

void json_redact(json_t *value)
{
    const char *key;
    json_t *one;
    void *next;
    size_t i;
    json_array_foreach (value, i, one) {
        if (json_is_string(one))
            json_array_set_new(value, i, redacted_string(one));
        else
            json_redact(one);
    }
    json_object_foreach_safe (value, next, key, one) {
        if (is_environment(key) && (json_is_array(one) || json_is_object(one)))
            hide_environment(one);
        else if (is_arguments(key) && json_is_array(one))
            hide_items(one);
        else if (strcmp(key, "Data") == 0 && json_is_string(one))
            json_object_set_new(value, key, json_string(hidden));
        else if (json_is_string(one))
            json_object_set_new(value, key, redacted_string(one));
        else
            json_redact(one);
    }
}

json_t *json_hidden(const char *text)
{
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (!value)
        return json_null();
    json_redact(value);
    return value;
}

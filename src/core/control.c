/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control.h"

#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

enum { MAX_DEPTH = 16, MAX_VERB = 32, MAX_STACK = 48 };

static bool is_lower_word(const char *s, const char *first, const char *rest, size_t max)
{
    size_t len = strlen(s);
    return len >= 1 && len <= max && strchr(first, s[0]) && strspn(s, rest) == len;
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool is_verb(const char *s)
{
    return is_lower_word(s, LOWER, LOWER "-", MAX_VERB);
}

static bool is_stack(const char *s)
{
    return is_lower_word(s, LOWER DIGITS, LOWER DIGITS "_-", MAX_STACK);
}

/* jansson itself stops at a nesting of 2048, so this recursion is bounded. */
static unsigned depth_of(json_t *value)
{
    unsigned deepest = 0, d;
    const char *key;
    json_t *child;
    size_t i;
    if (!json_is_object(value) && !json_is_array(value))
        return 0;
    json_object_foreach (value, key, child) {
        deepest = (d = depth_of(child)) > deepest ? d : deepest;
    }
    json_array_foreach (value, i, child) {
        deepest = (d = depth_of(child)) > deepest ? d : deepest;
    }
    return deepest + 1;
}

static int check_keys(json_t *root, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach (root, key, value) {
        if (strcmp(key, "verb") != 0 && strcmp(key, "stack") != 0 && strcmp(key, "args") != 0)
            return error_set(err, ERR_INVALID, 0,
                             "the request has an unknown key; known are verb, stack, args");
    }
    return 0;
}

static int check_shape(json_t *root, struct error *err)
{
    const json_t *verb = json_object_get(root, "verb"), *stack = json_object_get(root, "stack"),
                 *args = json_object_get(root, "args");
    if (!json_is_object(root))
        return error_set(err, ERR_INVALID, 0, "the request is no JSON object");
    if (check_keys(root, err) < 0)
        return -1;
    if (!json_is_string(verb) || !is_verb(json_string_value(verb)))
        return error_set(err, ERR_INVALID, 0, "the request's verb is missing or no word");
    if (stack && !json_is_null(stack) && (!json_is_string(stack) || !is_stack(json_string_value(stack))))
        return error_set(err, ERR_INVALID, 0,
                         "the request's stack is no name of a stack ([a-z0-9][a-z0-9_-]*)");
    if (args && !json_is_object(args))
        return error_set(err, ERR_INVALID, 0, "the request's args are no JSON object");
    if (depth_of(root) > MAX_DEPTH)
        return error_set(err, ERR_INVALID, 0, "the request is nested deeper than %d", MAX_DEPTH);
    return 0;
}

int control_request_parse(const char *text, size_t len, struct control_request *ret, struct error *err)
{
    if (len > CONTROL_REQUEST_MAX)
        return error_set(err, ERR_INVALID, 0, "the request is longer than %d bytes", CONTROL_REQUEST_MAX);
    json_error_t where;
    cleanup_json json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root) /* where.text quotes the input: not repeated */
        return error_set(err, ERR_INVALID, 0, "the request is no JSON (byte %d)", where.position);
    if (check_shape(root, err) < 0)
        return -1;
    if (!json_object_get(root, "args") && json_object_set_new(root, "args", json_object()) < 0)
        return error_set(err, ERR_INTERNAL, 0, "out of memory");
    *ret = (struct control_request){
        .verb = json_string_value(json_object_get(root, "verb")),
        .stack = json_string_value(json_object_get(root, "stack")),
        .args = json_object_get(root, "args"),
    };
    ret->root = TAKE(root);
    return 0;
}

void control_request_release(struct control_request *request)
{
    json_decref(request->root);
    *request = (struct control_request){0};
}

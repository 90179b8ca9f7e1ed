/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A whole stack from memory. The input holds one stack file, or several with lines "#%%" between them; the
 * last of several is what every file read (env_file, configs, secrets) holds. Whatever comes in: an answer,
 * and either bodies that are JSON or a refusal that can be shown.
 */

#include "agent/stack.h"
#include "fuzz.h"

struct content {
    const char *text;
    size_t len;
};

static int read_content(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                        size_t *ret_len, struct error *err)
{
    const struct content *content = userdata;
    PROMISE(*path && *path != '/' && !strstr(path, "/../") && !str_starts(path, "../"));
    if (strstr(path, "missing"))
        return error_set(err, ERR_NOT_FOUND, 0, "%s: not there", path);
    *ret_data = copy_of(arena, content->text, content->len);
    *ret_len = content->len;
    return 0;
}

static void promise_good_stack(const struct stack *stack)
{
    json_t *object = stack_render(stack);
    char *text = json_dumps(object, 0);
    PROMISE(text); /* NULL: a text that is not UTF-8 */
    free(text);
    json_decref(object);
    for (size_t i = 0; i < stack->n_services; i++) {
        const struct stack_service *s = &stack->services[i];
        PROMISE(s->key && s->name && *s->image && s->spec && s->environment && s->at);
        PROMISE(stack_service(stack, s->key) == s);
    }
    for (size_t i = 0; i < stack->n_warnings; i++)
        PROMISE(str_is_utf8(stack->warnings[i], strlen(stack->warnings[i])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct variable variables[] = {{"TAG", "1.2"}, {"EMPTY", ""},        {"N", "3"},
                                                {"T", "true"},  {"HOME", "/srv/ops"}, {"DOLLAR", "$TAG"}};
    static const char *const names[] = {"a/a.yml", "a/b.yml", "c.yml"};
    cleanup_arena struct arena arena = {0};
    struct stack_source files[ARRAY_SIZE(names)];
    struct content content = {"A=1\nB=\nTAG\n", 12};
    size_t n = 0;
    do {
        files[n] = (struct stack_source){.path = names[n]};
        files[n].text = next_part(&arena, &data, &size, &files[n].len);
        n++;
    } while (size && n < ARRAY_SIZE(names));
    if (n > 1) {
        n--;
        content = (struct content){files[n].text, files[n].len};
    }
    const struct stack_input input = {
        .name = "fuzz",
        .files = files,
        .n_files = n,
        .variables = variables,
        .n_variables = ARRAY_SIZE(variables),
        .read = read_content,
        .userdata = &content,
    };
    struct stack *stack = NULL;
    struct error err = {0};
    if (stack_load(&input, &stack, &err) == 0)
        promise_good_stack(stack);
    else
        promise_good_error(&err);
    stack_free(stack);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each folder of tests/stack/cases is a stack file with the bodies that the docker CLI made of it
 * (expected.json, recorded by tests/stack/record); ours must be equal. Each folder of tests/stack/refused is
 * one that both refuse: expected.txt is our text, oracle.txt the CLI's. tests/stack/stricter holds those that
 * only we refuse. tests/stack/README.md has the format.
 *
 *     test_stack_cases                   all of them
 *     test_stack_cases --render DIR...   what we make of these folders, in the form of expected.json
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "agent/stack.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

enum { MAX_FILE = 8 << 20 };

/* ---- one case ---- */

struct case_input {
    struct arena arena;
    const char *folder;
    struct stack_source files[8];
    struct stack_input input;
};

static int read_case_file(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                          size_t *ret_len, struct error *err)
{
    const struct case_input *c = userdata;
    char *data;
    if (fs_read(arena, arena_printf(arena, "%s/%s", c->folder, path), MAX_FILE, &data, ret_len, err) < 0)
        return -1;
    *ret_data = data;
    return 0;
}

static int add_file(struct case_input *c, const char *name, struct error *err)
{
    char *text;
    struct stack_source *file = &c->files[c->input.n_files];
    file->path = name;
    if (fs_read(&c->arena, arena_printf(&c->arena, "%s/%s", c->folder, name), MAX_FILE, &text, &file->len,
                err) < 0)
        return -1;
    file->text = text;
    c->input.n_files++;
    return 0;
}

static int add_files(struct case_input *c, struct error *err)
{
    char *text;
    size_t len, n;
    struct error missing = {0};
    if (fs_read(&c->arena, arena_printf(&c->arena, "%s/files", c->folder), MAX_FILE, &text, &len, &missing) <
        0)
        return add_file(c, "stack.yml", err);
    char **names = words_split(&c->arena, text, &n);
    for (size_t i = 0; i < n && i < ARRAY_SIZE(c->files); i++)
        if (add_file(c, names[i], err) < 0)
            return -1;
    return 0;
}

static int load_case(struct case_input *c, const char *folder, struct stack **ret, struct error *err)
{
    char *text;
    size_t len;
    struct variable *variables = NULL;
    struct error missing = {0};
    *c = (struct case_input){.folder = folder};
    c->input = (struct stack_input){.name = "st", .files = c->files, .read = read_case_file, .userdata = c};
    if (add_files(c, err) < 0)
        return -1;
    if (fs_read(&c->arena, arena_printf(&c->arena, "%s/variables.env", folder), MAX_FILE, &text, &len,
                &missing) == 0 &&
        env_file_parse(&c->arena, "variables.env", text, len, &variables, &c->input.n_variables, err) < 0)
        return -1;
    c->input.variables = variables;
    return stack_load(&c->input, ret, err);
}

/* Nulls and empty lists say the same as a missing member. */
static json_t *normal(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    void *next;
    if (json_is_object(value)) {
        json_object_foreach_safe (value, next, key, item) {
            normal(item);
            if (json_is_null(item) || (json_is_array(item) && json_array_size(item) == 0))
                json_object_del(value, key);
        }
    }
    if (json_is_array(value))
        json_array_foreach (value, i, item)
            normal(item);
    return value;
}

/* The four lists stay, also when they are empty. */
static json_t *bodies(const struct stack *stack)
{
    cleanup_json json_t *rendered = stack_render(stack);
    json_t *object = json_deep_copy(rendered), *list;
    const char *key;
    json_object_foreach (object, key, list) {
        json_t *body;
        size_t i;
        json_array_foreach (list, i, body)
            normal(body);
    }
    return object;
}

static char *text_of(json_t *object)
{
    return json_dumps(object, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
}

/* ---- all cases ---- */

/* What of a folder has been compared: values of bodies, or lines of refusals. */
struct tally {
    const char *title, *unit;
    unsigned files;
    size_t compared;
};

static struct tally equal = {"equal to the docker CLI's", "fields", 0, 0};
static struct tally refused_by_both = {"refused by both", "refusals", 0, 0};
static struct tally refused_by_us = {"refused by us alone", "refusals", 0, 0};
static struct tally *current;
static unsigned failures;

static void count(size_t compared)
{
    current->files++;
    current->compared += compared;
}

static size_t fields_of(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i, n = 0;
    json_object_foreach (value, key, item)
        n += fields_of(item);
    json_array_foreach (value, i, item)
        n += fields_of(item);
    return json_is_object(value) || json_is_array(value) ? n : 1;
}

static size_t lines_of(const char *text)
{
    size_t n = 1;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void check_accepted(const char *folder)
{
    cleanup_arena struct arena arena = {0};
    struct case_input c;
    struct stack *stack = NULL;
    struct error err = {0};
    json_error_t problem;
    cleanup_json json_t *expected =
        json_load_file(arena_printf(&arena, "%s/expected.json", folder), 0, &problem);
    if (!expected) {
        print_message("%s: expected.json: %s\n", folder, problem.text);
        failures++;
    } else if (load_case(&c, folder, &stack, &err) < 0) {
        print_message("%s: refused: %s\n", folder, err.text);
        failures++;
    } else {
        cleanup_json json_t *ours = bodies(stack);
        if (!json_equal(expected, ours)) {
            cleanup_free char *text = text_of(ours);
            print_message("%s: differs from expected.json:\n%s\n", folder, text);
            failures++;
        } else {
            count(fields_of(expected));
        }
    }
    stack_free(stack);
    arena_release(&c.arena);
}

static void check_refused(const char *folder)
{
    cleanup_arena struct arena arena = {0};
    struct case_input c;
    struct stack *stack = NULL;
    struct error err = {0};
    char *expected = NULL;
    size_t len;
    if (fs_read(&arena, arena_printf(&arena, "%s/expected.txt", folder), MAX_FILE, &expected, &len, &err) <
        0) {
        print_message("%s\n", err.text);
        failures++;
        return;
    }
    if (len && expected[len - 1] == '\n')
        expected[len - 1] = '\0';
    if (load_case(&c, folder, &stack, &err) == 0) {
        print_message("%s: accepted, but expected: %s\n", folder, expected);
        failures++;
    } else if (!str_eq(err.text, expected)) {
        print_message("%s: the text differs:\n%s\n", folder, err.text);
        failures++;
    } else {
        count(lines_of(expected));
    }
    stack_free(stack);
    arena_release(&c.arena);
}

static void each_folder(const char *parent, void (*check)(const char *))
{
    struct dirent **names;
    int n = scandir(parent, &names, NULL, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", parent, names[i]->d_name);
            check(path);
        }
        free(names[i]);
    }
    free(names);
}

static void accepted(void **state)
{
    (void)state;
    failures = 0;
    current = &equal;
    each_folder("tests/stack/cases", check_accepted);
    assert_int_equal(failures, 0);
}

static void refused(void **state)
{
    (void)state;
    failures = 0;
    current = &refused_by_both;
    each_folder("tests/stack/refused", check_refused);
    assert_int_equal(failures, 0);
}

static void stricter(void **state)
{
    (void)state;
    failures = 0;
    current = &refused_by_us;
    each_folder("tests/stack/stricter", check_refused);
    assert_int_equal(failures, 0);
}

static void print_table(void)
{
    const struct tally *const rows[] = {&equal, &refused_by_both, &refused_by_us};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        printf("## stack files %-26s %4u files, %6zu %s compared\n", rows[i]->title, rows[i]->files,
               rows[i]->compared, rows[i]->unit);
}

/* ---- printing ---- */

static int render(const char *folder)
{
    struct case_input c;
    struct stack *stack = NULL;
    struct error err = {0};
    int status = 0;
    if (load_case(&c, folder, &stack, &err) < 0) {
        printf("%s\n", err.text);
        status = 1;
    } else {
        cleanup_json json_t *ours = bodies(stack);
        cleanup_free char *text = text_of(ours);
        puts(text);
        for (size_t i = 0; i < stack->n_warnings; i++)
            fprintf(stderr, "%s\n", stack->warnings[i]);
    }
    stack_free(stack);
    arena_release(&c.arena);
    return status;
}

int main(int argc, char **argv)
{
    int status = 0;
    if (argc > 2 && str_eq(argv[1], "--render")) {
        for (int i = 2; i < argc; i++)
            status |= render(argv[i]);
        return status;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(accepted), cmocka_unit_test(refused),
                                       cmocka_unit_test(stricter)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    print_table();
    return failed;
}

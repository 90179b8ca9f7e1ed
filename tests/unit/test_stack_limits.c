/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a hostile repository can put into a stack file: a megabyte of it is refused within a second of CPU
 * time and 64 MiB of memory. Each file is loaded in a process of its own, whose time and memory the kernel
 * counts.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/stack.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

enum { KIB_MAX = 64 << 10, SLOW = SANITIZED ? 10 : 1 /* a sanitizer's own work is not the stack's */ };

/* ---- loading ---- */

static size_t file_size; /* of every file that a stack file refers to */

static int read_zeros(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                      size_t *ret_len, struct error *err)
{
    (void)userdata;
    if (strstr(path, "denied"))
        return error_set(err, ERR_SYSTEM, 0, "%s: permission denied", path);
    char *data = arena_alloc(arena, file_size + 1);
    memset(data, 'A', file_size);
    data[file_size] = '\0';
    *ret_data = data;
    *ret_len = file_size;
    return 0;
}

static int load_input(struct stack_input *input, struct stack **ret, struct error *err)
{
    input->name = input->name ? input->name : "s";
    return stack_load(input, ret, err);
}

static int load(const char *text, struct stack **ret, struct error *err)
{
    struct stack_source source = {"stack.yml", text, strlen(text)};
    char *big = malloc(60001);
    memset(big, 'v', 60000);
    big[60000] = '\0';
    const struct variable variables[] = {{"BIG", big}};
    struct stack_input input = {
        .files = &source, .n_files = 1, .variables = variables, .n_variables = 1, .read = read_zeros};
    int result = load_input(&input, ret, err);
    free(big);
    return result;
}

/* ---- in a process of its own ---- */

/* What the child used; 0 and no message when it did what `expected` says: NULL to accept, or part of a
 * refusal. */
static int load_apart(const char *text, const char *expected, struct rusage *ret_usage)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct stack *stack = NULL;
        struct error err = {0};
        int result = load(text, &stack, &err);
        bool good = expected ? result < 0 && strstr(err.text, expected) : result == 0;
        if (!good)
            fprintf(stderr, "# %.300s\n", result < 0 ? err.text : "accepted");
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(wait4(pid, &status, 0, ret_usage), pid);
    return status;
}

static int64_t cpu_us(const struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * US_PER_S + usage->ru_utime.tv_usec +
           usage->ru_stime.tv_usec;
}

static char *repeat(struct arena *arena, const char *unit, size_t n, const char *before, const char *after)
{
    cleanup_str struct str s = {0};
    str_append(&s, before);
    for (size_t i = 0; i < n; i++)
        str_append(&s, unit);
    str_append(&s, after);
    return arena_strdup(arena, str_text(&s));
}

/* format has one %zu */
__attribute__((format(printf, 2, 0))) static char *numbered(struct arena *arena, const char *format, size_t n,
                                                            const char *before, const char *after)
{
    cleanup_str struct str s = {0};
    str_append(&s, before);
    for (size_t i = 0; i < n; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        str_printf(&s, format, i);
#pragma GCC diagnostic pop
    }
    str_append(&s, after);
    return arena_strdup(arena, str_text(&s));
}

/* Lists (or mappings) of ten aliases each of the one before: 10^levels values. */
static char *laughs(struct arena *arena, size_t levels, bool mappings)
{
    cleanup_str struct str s = {0};
    str_append(&s, "x-0: &a0 [x]\n");
    for (size_t i = 1; i <= levels; i++) {
        str_printf(&s, "x-%zu: &a%zu %c", i, i, mappings ? '{' : '[');
        for (int k = 0; k < 10; k++) {
            if (mappings)
                str_printf(&s, "k%d: ", k);
            str_printf(&s, "*a%zu, ", i - 1);
        }
        str_append(&s, mappings ? "}\n" : "]\n");
    }
    str_append(&s, "services: {}\n");
    return arena_strdup(arena, str_text(&s));
}

/* A megabyte and more of text behind one anchor, and aliases of it. */
static char *text_behind_aliases(struct arena *arena)
{
    const char *text = repeat(arena, "x", 60000, "", "");
    cleanup_str struct str s = {0};
    str_append(&s, "x-a: &a [");
    for (int i = 0; i < 10; i++)
        str_printf(&s, "%s, ", text);
    str_append(&s, "]\nx-b: [");
    for (int i = 0; i < 100; i++)
        str_append(&s, "*a, ");
    str_append(&s, "]\nservices: {}\n");
    return arena_strdup(arena, str_text(&s));
}

static void hostile_files(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct arena *a = &arena;
    file_size = 0;
    const struct {
        const char *name, *text, *expected; /* NULL: harmless, and accepted */
    } rows[] = {
        {"nesting of lists", repeat(a, "[", 1000000, "", ""), "nested too deeply"},
        {"nesting of mappings", repeat(a, "{a: ", 250000, "", ""), "nested too deeply"},
        {"nesting of blocks", repeat(a, "- ", 500000, "", ""), "nested too deeply"},
        {"nesting of keys", repeat(a, "? ", 500000, "", ""), "nested too deeply"},
        {"nesting by aliases", numbered(a, "x-%zu: &a [*a]\n", 100, "x: &a [x]\n", ""), "contains itself"},
        {"size", repeat(a, "x", 1100000, "#", "\n"), "too large"},
        {"a comment", repeat(a, "x", 1000000, "services: {}\n#", "\n"), NULL},
        {"a long scalar", repeat(a, "x", 1000000, "services: {a: {image: ", "}}"), "too long"},
        {"a long quoted scalar", repeat(a, "\\n", 500000, "services: {a: {image: \"", "\"}}"), "too long"},
        {"a long block", repeat(a, "  x\n", 250000, "x-a: |\n", ""), "too long"},
        {"a long key", repeat(a, "x", 1000000, "", ": x"), "too long"},
        {"a long complex key", repeat(a, "x", 1000000, "? ", "\n: x"), "too long"},
        {"a long tag", repeat(a, "x", 1000000, "services: !", " {}"), NULL},
        {"a long anchor", repeat(a, "x", 1000000, "services: &", " {}"), NULL},
        {"an unclosed quote", repeat(a, "x ", 500000, "services: \"", ""), "unexpected end of stream"},
        {"laughs", laughs(a, 9, false), "excessive aliasing"},
        {"laughs in mappings", laughs(a, 9, true), "excessive aliasing"},
        {"few laughs", laughs(a, 3, false), NULL},
        {"text behind aliases", text_behind_aliases(a), "repeat too much text"},
        {"aliases", repeat(a, "*a,", 300000, "a: &a x\nb: [", "]"), "too many aliases"},
        {"anchors", numbered(a, "&a%zu x,", 90000, "x-a: [", "]"), "too many anchors"},
        {"one anchor again and again", repeat(a, "&a x,", 200000, "x-a: [", "]"), "too many values"},
        {"merge keys", repeat(a, "*a,", 9000, "x-a: &a {a: 1, b: 2, c: 3}\nx-b: {<<: [", "]}\nservices: {}"),
         NULL},
        {"values", repeat(a, "a,", 500000, "x-a: [", "]"), "too many values"},
        {"empty values", repeat(a, "- \n", 300000, "x-a:\n", ""), "too many values"},
        {"keys", numbered(a, "k%zu: x\n", 90000, "", ""), "more"},
        {"keys that are no strings", numbered(a, "%zu: x\n", 100000, "", ""), "more"},
        {"duplicate keys", repeat(a, "k: x\n", 190000, "", ""), "more"},
        {"duplicate keys of a service", repeat(a, "tty: true,", 90000, "services: {a: {image: x,", "}}"),
         "more"},
        {"duplicate entries", repeat(a, "a,", 190000, "services: {a: {image: x, cap_add: [", "]}}"), "more"},
        {"documents", repeat(a, "---\n", 260000, "services: {}\n", ""), NULL},
        {"directives", repeat(a, "%TAG !a! b\n", 90000, "", "--- {}"), "duplicate %TAG"},
        {"colons in flow", repeat(a, "a:,", 300000, "x-a: [", "]"), "unexpected ':'"},
        {"escaped quotes", repeat(a, "\"\\'\",", 200000, "x-a: [", "]"), "unknown escape"},
        {"question marks in flow", repeat(a, "a?b,", 190000, "x-a: [", "]"), "more"},
        {"ports", "services: {a: {image: x, ports: ['1-65535:80']}}", "too many ports"},
        {"ports of many ranges", numbered(a, "'1-%zu',", 40000, "services: {a: {image: x, ports: [", "]}}"),
         "too many ports"},
        {"services", numbered(a, "s%zu: {image: x},", 50000, "services: {", "}"), "too many services"},
        {"services that are wrong", numbered(a, "  s%zu: {imag: x}\n", 4900, "services:\n", ""), "more"},
        {"variables", repeat(a, "$BIG", 3000, "services: {a: {image: \"", "\"}}"), "too long once variables"},
        {"variables in many values", repeat(a, "$BIG,", 180000, "x-a: [", "]\nservices: {}"),
         "too long once variables"},
        {"stray dollars", repeat(a, "$", 60001, "x-a: \"", "\""), "invalid interpolation"},
        {"undefined names", numbered(a, "n%zu,", 100000, "services: {a: {image: x, networks: [", "]}}"),
         "more"},
        {"env files", numbered(a, "f%zu,", 1000, "services: {a: {image: x, env_file: [", "]}}"),
         "too many files"},
        {"a sum of digits", repeat(a, "9", 60000, "services: {a: {image: x, deploy: {replicas: ", "}}}"),
         "replicas"},
        {"a duration", repeat(a, "1h", 30000, "services: {a: {image: x, stop_grace_period: ", "}}"), NULL},
        {"a size",
         repeat(a, "9", 60000, "services: {a: {image: x, deploy: {resources: {limits: {memory: \"",
                "\"}}}}}"),
         "memory"},
        {"cpus", "services: {a: {image: x, deploy: {resources: {limits: {cpus: '1e-999999999'}}}}}",
         "too precise"},
        {"quotes of a command", repeat(a, "'' ", 20000, "services: {a: {image: x, command: \"", "\"}}"),
         NULL},
        {"an image", repeat(a, "a/", 30000, "services: {a: {image: \"", "a\"}}"), "255"},
    };
    struct rusage nothing, usage;
    assert_int_equal(load_apart("services: {}\n", NULL, &nothing), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (load_apart(rows[i].text, rows[i].expected, &usage) != 0)
            fail_msg("%s: not \"%s\"", rows[i].name, rows[i].expected ? rows[i].expected : "accepted");
        if (cpu_us(&usage) > SLOW * US_PER_S)
            fail_msg("%s: %lld ms", rows[i].name, (long long)(cpu_us(&usage) / 1000));
        long kib = usage.ru_maxrss - nothing.ru_maxrss;
        if (!SANITIZED && kib > KIB_MAX)
            fail_msg("%s: %ld KiB", rows[i].name, kib);
        if (getenv("STACK_LIMITS_SHOW"))
            print_message("%6lld ms %6ld KiB  %s\n", (long long)(cpu_us(&usage) / 1000), kib, rows[i].name);
    }
}

/* ---- files beside the stack file ---- */

static void too_much_in_files(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct rusage usage;
    file_size = 1000 * 1024;
    assert_int_equal(
        load_apart("configs: {a: {file: a}, b: {file: b}, c: {file: c}, d: {file: d}, e: {file: e}}",
                   "add up to more than 4 MiB", &usage),
        0);
    assert_int_equal(load_apart("configs: {a: {file: a}, b: {file: ./a}}", NULL, &usage), 0);
    assert_int_equal(load_apart("secrets: {a: {file: a}}", "at most 512000 bytes", &usage), 0);
    assert_int_equal(load_apart("configs: {a: {file: denied}}", "denied: permission denied", &usage), 0);
    file_size = 1;
    const char *services =
        numbered(&arena, "s%zu: {image: x, environment: {A: 1, B: 2}},", 100, "services: {", "}");
    assert_int_equal(load_apart(services, NULL, &usage), 0);
    const char *one = "configs: {a: {file: a}}";
    struct stack_source source = {"stack.yml", one, strlen(one)};
    struct stack_input input = {.name = "s", .files = &source, .n_files = 1};
    struct stack *stack = NULL;
    struct error err = {0};
    assert_int_equal(stack_load(&input, &stack, &err), -1);
    assert_string_equal(err.text, "stack.yml:1:21: configs.a.file: a: files cannot be read here");
}

/* Each service repeats the variables of its env file. */
static void too_many_variables(void **state)
{
    (void)state;
    cleanup_str struct str text = {0};
    struct rusage usage;
    file_size = 0;
    str_append(&text, "x-e: &e {");
    for (int i = 0; i < 90; i++)
        str_printf(&text, "V%d: , ", i);
    str_append(&text, "}\nservices:\n");
    for (int i = 0; i < 2200; i++)
        str_printf(&text, "  s%d: {image: x, environment: *e}\n", i);
    assert_int_equal(load_apart(str_text(&text), "too many v", &usage), 0);
}

/* ---- the call itself ---- */

static void inputs(void **state)
{
    (void)state;
    const struct stack_source source = {"stack.yml", "{}", 2};
    const struct stack_source many[17] = {source};
    const struct variable bad = {"A", "\xff"};
    const struct {
        struct stack_input input;
        const char *expected;
    } rows[] = {
        {{.name = " '\t", .files = &source, .n_files = 1}, "invalid stack name: \" '\t\""},
        {{.name = NULL, .files = &source, .n_files = 1}, "invalid stack name: \"\""},
        {{.name = "\xff", .files = &source, .n_files = 1}, "invalid stack name: not UTF-8"},
        {{.name = "s"}, "no stack file given"},
        {{.name = "s", .files = many, .n_files = 17}, "17 stack files are too many (at most 16)"},
        {{.name = "s", .files = &source, .n_files = 1, .variables = &bad, .n_variables = 1},
         "the value of the variable A is not UTF-8 text"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct stack *stack = NULL;
        struct error err = {0};
        assert_int_equal(stack_load(&rows[i].input, &stack, &err), -1);
        assert_string_equal(err.text, rows[i].expected);
        assert_null(stack);
    }
}

/* ---- and what is large, but not hostile ---- */

static void a_thousand_services(void **state)
{
    (void)state;
    cleanup_str struct str text = {0};
    struct rusage usage;
    str_append(&text,
               "x-base: &base\n  image: registry.example:5000/app:1\n  environment: {A: 1, B: two, C: '3'}\n"
               "  networks: [front, back]\n  deploy: {replicas: 2, update_config: {parallelism: 1}}\n"
               "services:\n");
    for (int i = 0; i < 1000; i++)
        str_printf(&text,
                   "  s%d:\n    <<: *base\n    hostname: h%d\n    ports: ['%d:80']\n    labels: {n: %d}\n", i,
                   i, 10000 + i, i);
    str_append(&text, "networks: {front: , back: }\n");
    assert_int_equal(load_apart(str_text(&text), NULL, &usage), 0);
    assert_true(cpu_us(&usage) < SLOW * US_PER_S);
    struct stack *stack = NULL;
    struct error err = {0};
    assert_int_equal(load(str_text(&text), &stack, &err), 0);
    assert_int_equal(stack->n_services, 1000);
    assert_string_equal(stack->services[999].key, "s999");
    stack_free(stack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_files),       cmocka_unit_test(too_much_in_files),
        cmocka_unit_test(too_many_variables),  cmocka_unit_test(inputs),
        cmocka_unit_test(a_thousand_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* What the recorded cases (test_stack_cases.c) do not show: positions, order, warnings, small
 * parsers; test_stack_limits.c has the limits. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/stack.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "stack/base64.h"
#include "stack/scalar.h"
#include "stack/syntax.h"

/* ---- loading from memory ---- */

struct test_file {
    const char *path, *text;
};

struct repository {
    const struct test_file *files;
    size_t n_reads;
};

static int read_test_file(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                          size_t *ret_len, struct error *err)
{
    struct repository *repository = userdata;
    repository->n_reads++;
    for (const struct test_file *f = repository->files; f && f->path; f++)
        if (str_eq(f->path, path)) {
            *ret_data = arena_strdup(arena, f->text);
            *ret_len = strlen(f->text);
            return 0;
        }
    return error_set(err, ERR_NOT_FOUND, 0, "%s: not in the repository", path);
}

static int load_at(const char *path, const char *text, struct repository *repository, struct stack **ret,
                   struct error *err)
{
    static const struct variable variables[] = {{"TAG", "1.2"}, {"EMPTY", ""}};
    const struct stack_source source = {path, text, strlen(text)};
    const struct stack_input input = {
        .name = "shop",
        .files = &source,
        .n_files = 1,
        .variables = variables,
        .n_variables = ARRAY_SIZE(variables),
        .read = read_test_file,
        .userdata = repository,
    };
    return stack_load(&input, ret, err);
}

static struct stack *load(const char *text)
{
    struct repository none = {0};
    struct error err = {0};
    struct stack *stack = NULL;
    if (load_at("deploy/stack.yml", text, &none, &stack, &err) < 0)
        fail_msg("refused: %s", err.text);
    return stack;
}

static const char *refuse(const char *text)
{
    static struct error err;
    struct repository none = {0};
    struct stack *stack = NULL;
    err = (struct error){0};
    assert_int_equal(load_at("deploy/stack.yml", text, &none, &stack, &err), -1);
    assert_null(stack);
    assert_int_equal(err.kind, ERR_INVALID);
    return err.text;
}

/* ---- what a loaded stack holds ---- */

static void services_in_file_order(void **state)
{
    (void)state;
    struct stack *stack = load("services:\n"
                               "  web: {image: 'w:${TAG}', depends_on: [db, redis], environment: [B=2, A]}\n"
                               "  redis: {image: redis, healthcheck: {disable: true}}\n"
                               "  db: {image: postgres, healthcheck: {test: pg_isready}}\n");
    assert_int_equal(stack->n_services, 3);
    assert_string_equal(stack->services[0].key, "web");
    assert_string_equal(stack->services[0].name, "shop_web");
    assert_string_equal(stack->services[0].image, "w:1.2");
    assert_int_equal(stack->services[0].n_depends_on, 2);
    assert_string_equal(stack->services[0].depends_on[0], "db");
    assert_string_equal(stack->services[0].environment[0], "A");
    assert_string_equal(stack->services[0].environment[1], "B=2");
    assert_null(stack->services[0].environment[2]);
    assert_false(stack->services[0].has_healthcheck);
    assert_false(stack->services[0].healthcheck_disabled);
    assert_string_equal(stack->services[1].key, "redis");
    assert_true(stack->services[1].healthcheck_disabled);
    assert_ptr_equal(stack_service(stack, "db"), &stack->services[2]);
    assert_true(stack->services[2].has_healthcheck);
    assert_int_equal(stack->services[2].at->line, 4);
    assert_null(stack_service(stack, "nope"));
    assert_int_equal(stack->n_warnings, 0); /* depends_on is honoured */
    stack_free(stack);
    stack_free(NULL);
}

static void objects_by_name(void **state)
{
    (void)state;
    const struct test_file files[] = {{"deploy/c.txt", "config"}, {"s.txt", "secret"}, {0}};
    struct repository repository = {.files = files};
    struct error err = {0};
    struct stack *stack = NULL;
    assert_int_equal(load_at("deploy/stack.yml",
                             "services: {a: {image: x, networks: [z, ext, b]}}\n"
                             "networks: {z: , b: {name: zz}, ext: {external: true}, unused: }\n"
                             "configs: {two: {file: ./c.txt}, one: {external: true, name: zzz}}\n"
                             "secrets: {s: {file: ../s.txt}}\n",
                             &repository, &stack, &err),
                     0);
    assert_int_equal(stack->n_networks, 3);
    assert_string_equal(stack->networks[0].name, "ext");
    assert_true(stack->networks[0].external);
    assert_null(stack->networks[0].body);
    assert_string_equal(stack->networks[1].name, "shop_z");
    assert_string_equal(stack->networks[2].key, "b");
    assert_int_equal(stack->n_configs, 2);
    assert_string_equal(stack->configs[0].name, "shop_two");
    assert_int_equal(stack->configs[0].len, 6);
    assert_memory_equal(stack->configs[0].data, "config", 6);
    assert_null(stack->configs[1].body);
    assert_memory_equal(stack->secrets[0].data, "secret", 6);
    stack_free(stack);
}

static void volumes_whether_used_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *key, *want;
    } cases[] = {
        {"plain", "{\"Source\":\"shop_plain\",\"Type\":\"volume\",\"VolumeOptions\":{\"Labels\":{"
                  "\"com.docker.stack.namespace\":\"shop\"}}}"},
        {"nfs",
         "{\"Source\":\"dumps\",\"Type\":\"volume\",\"VolumeOptions\":{\"DriverConfig\":{\"Name\":\"local\","
         "\"Options\":{\"type\":\"tmpfs\"}},\"Labels\":{\"a\":\"b\",\"com.docker.stack.namespace\":\"shop\"}}"
         "}"},
        {"theirs", "{\"Source\":\"theirs\",\"Type\":\"volume\",\"VolumeOptions\":{}}"},
    };
    struct stack *stack =
        load("version: '3.8'\n"
             "services: {db: {image: postgres, volumes: ['plain:/data']}}\n"
             "volumes:\n"
             "  plain:\n"
             "  nfs: {name: dumps, driver: local, driver_opts: {type: tmpfs}, labels: {a: b}}\n"
             "  theirs: {external: true}\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct stack_volume *volume = stack_volume(stack, cases[i].key);
        assert_non_null(volume);
        cleanup_free char *text = json_dumps(volume->mount, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, cases[i].want);
    }
    assert_null(stack_volume(stack, "other"));
    stack_free(stack);
}

static void release_section(void **state)
{
    (void)state;
    struct stack *stack = load("services: {}\nx-release:\n  steps:\n    - sql: {name: 'v$TAG'}\n");
    const struct node *steps = node_get(stack->x_release, "steps");
    assert_int_equal(steps->type, NODE_LIST);
    const struct node *name = node_get(node_get(steps->list.items[0], "sql"), "name");
    assert_string_equal(name->string.text, "v1.2");
    assert_string_equal(name->file, "deploy/stack.yml");
    assert_int_equal(name->line, 4);
    struct error err = {0};
    assert_int_equal(node_error(&err, name, "x-release.steps.0", "no %s", "good"), -1);
    assert_string_equal(err.text, "deploy/stack.yml:4:19: x-release.steps.0: no good");
    assert_null(node_get(name, "x"));
    stack_free(stack);
    stack = load("services: {}\n");
    assert_null(stack->x_release);
    stack_free(stack);
}

static void rendering(void **state)
{
    (void)state;
    struct stack *stack = load("services: {b: {image: x}, a: {image: y}}\n");
    cleanup_json json_t *object = stack_render(stack);
    json_t *services = json_object_get(object, "services");
    assert_int_equal(json_array_size(json_object_get(object, "networks")), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(services, 0), "Name")), "shop_a");
    stack_free(stack);
    assert_int_equal(json_array_size(services), 2); /* the object keeps what it shows */
}

static void warnings(void **state)
{
    (void)state;
    struct stack *stack =
        load("services:\n"
             "  a: {image: x, build: ., tmpfs: /x, oom_score_adj: 5, restart: always}\n"
             "  b: {image: y, build: ., networks: {default: {ipv4_address: 10.0.0.1}}}\n"
             "  c: {image: y, restart: always, deploy: {restart_policy: {}}, expose: [1]}\n");
    static const char *const expected[] = {
        "Ignoring unsupported options: build (services: a, b)",
        "Ignoring unsupported options: restart beside deploy.restart_policy (services: c)",
        "Ignoring unsupported options: oom_score_adj (services: a)",
        "Ignoring unsupported options: tmpfs (services: a)",
        "Ignoring deprecated options: expose",
        "Ignoring unsupported options: ipv4_address",
    };
    assert_int_equal(stack->n_warnings, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_true(str_starts(stack->warnings[i], expected[i]));
    stack_free(stack);
}

/* ---- files ---- */

static void shared_env_file_is_read_once(void **state)
{
    (void)state;
    const struct test_file files[] = {{"app.env", "A=1\n"}, {0}};
    struct repository repository = {.files = files};
    struct error err = {0};
    struct stack *stack = NULL;
    assert_int_equal(load_at("x/y/stack.yml",
                             "services:\n"
                             "  a: {image: x, env_file: ../../app.env}\n"
                             "  b: {image: x, env_file: ./../z/../../app.env}\n",
                             &repository, &stack, &err),
                     0);
    assert_int_equal(repository.n_reads, 1);
    assert_string_equal(stack->services[1].environment[0], "A=1");
    stack_free(stack);
}

static void paths_stay_inside(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *path, *expected;
    } rows[] = {
        {"", "a", "a"},
        {"deploy", "./a//b/", "deploy/a/b"},
        {"deploy/x", "../../a", "a"},
        {"deploy", "../..", NULL},
        {"", "..", NULL},
        {"", "../x", NULL},
        {"", "a/../../x", NULL},
        {"a", "/etc/passwd", NULL},
        {"a", "~/x", NULL},
        {"a", "..x", "a/..x"},
        {"a", "", "a"},
    };
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *got = path_inside(&arena, rows[i].folder, rows[i].path);
        if (!str_eq(got, rows[i].expected))
            fail_msg("%s + %s: %s", rows[i].folder, rows[i].path, got ? got : "(refused)");
    }
}

static void env_files(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf# comment\nA=1\r\n\n  B = no\n";
    cleanup_arena struct arena arena = {0};
    struct variable *variables;
    size_t n;
    struct error err = {0};
    assert_int_equal(env_file_parse(&arena, "e.env", text, sizeof text - 1, &variables, &n, &err), -1);
    assert_string_equal(err.text, "invalid env file (e.env): variable 'B ' contains whitespaces (line 4)");
    static const char nul[] = "A=1\nB=\0\n", control[] = "A\x1b[31m B=1\n";
    assert_int_equal(env_file_parse(&arena, "e.env", nul, sizeof nul - 1, &variables, &n, &err), -1);
    assert_string_equal(err.text, "invalid env file (e.env): invalid utf8 bytes at line 2");
    assert_int_equal(env_file_parse(&arena, "e.env", control, sizeof control - 1, &variables, &n, &err), -1);
    assert_null(strchr(err.text, '\033'));
    static const char good[] = "A=1\nLEFT_OUT\nB=x=\"y\" # z\nA=2";
    assert_int_equal(env_file_parse(&arena, "e.env", good, sizeof good - 1, &variables, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_string_equal(variables[1].name, "B");
    assert_string_equal(variables[1].value, "x=\"y\" # z");
    assert_string_equal(variables[2].value, "2");
}

/* ---- refusals ---- */

static void refusals_in_file_order(void **state)
{
    (void)state;
    assert_string_equal(
        refuse("services:\n"
               "  web:\n"
               "    image: x\n"
               "    networks: [front]\n"
               "    portz: [80]\n"
               "    deploy: {replicas: many}\n"
               "  db: {image: B}\n"),
        "deploy/stack.yml:4:16: services.web.networks.front: undefined network \"front\" (declare it "
        "under the top-level networks)\n"
        "deploy/stack.yml:5:5: services.web: Additional property portz is not allowed (did you mean "
        "ports?)\n"
        "deploy/stack.yml:6:24: services.web.deploy.replicas: must be a integer (this is a string)\n"
        "deploy/stack.yml:7:15: services.db.image: invalid image reference for service db: invalid "
        "reference format: repository name (library/B) must be lowercase ([REGISTRY/]NAME[:TAG][@DIGEST])");
}

static void refusals_are_cut_at_whole_lines(void **state)
{
    (void)state;
    cleanup_str struct str text = {0};
    str_append(&text, "services:\n");
    for (int i = 0; i < 3000; i++)
        str_printf(&text, "  s%d: {imag: x}\n", i);
    const char *refusal = refuse(str_text(&text)), *rest = strrchr(refusal, '\n');
    assert_true(strlen(refusal) < sizeof((struct error *)0)->text);
    assert_true(str_starts(rest, "\n… and "));
    assert_true(str_ends(rest, " more"));
}

static void one_place_is_refused_once(void **state)
{
    (void)state;
    /* an anchor's mistake shows in each service that uses it, but stands in one place */
    const char *text =
        refuse("x-a: &a {imag: 5}\nservices: {a: {image: x, <<: *a}, b: {image: x, <<: *a}}\n");
    assert_null(strchr(text, '\n'));
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    const char *text = refuse("services: {a: {image: x, \"k\\e[31m\": 1}}\n");
    assert_null(strchr(text, '\033'));
}

/* ---- small parsers ---- */

static void image_references(void **state)
{
    (void)state;
#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const struct {
        const char *text, *domain, *path, *tag, *digest, *familiar, *repository;
    } rows[] = {
        {"busybox", "docker.io", "library/busybox", NULL, NULL, "busybox:latest", "busybox"},
        {"a/b:1", "docker.io", "a/b", "1", NULL, "a/b:1", "a/b"},
        {"127.0.0.1:5000/web", "127.0.0.1:5000", "web", NULL, NULL, "127.0.0.1:5000/web:latest",
         "127.0.0.1:5000/web"},
        {"ghcr.io/o/app:v1@" DIGEST, "ghcr.io", "o/app", "v1", DIGEST, "ghcr.io/o/app:v1@" DIGEST,
         "ghcr.io/o/app"},
        {"b@" DIGEST, "docker.io", "library/b", NULL, DIGEST, "b@" DIGEST, "b"},
        {"index.docker.io/library/x", "docker.io", "library/x", NULL, NULL, "x:latest", "x"},
        {"a b", NULL, NULL, NULL, NULL, NULL, NULL},
        {"x:", NULL, NULL, NULL, NULL, NULL, NULL},
        {"x@sha256:12", NULL, NULL, NULL, NULL, NULL, NULL},
        {"x@sha256:0123456789abcdef0123456789abcdef", NULL, NULL, NULL, NULL, NULL, NULL},
        {"x@md5:0123456789abcdef0123456789abcdef", NULL, NULL, NULL, NULL, NULL, NULL},
        {"x@:0123456789abcdef0123456789abcdef", NULL, NULL, NULL, NULL, NULL, NULL},
        {"x@-a:0123456789abcdef0123456789abcdef", NULL, NULL, NULL, NULL, NULL, NULL},
        {"-a.b/x", NULL, NULL, NULL, NULL, NULL, NULL},
        {"a..b/x", NULL, NULL, NULL, NULL, NULL, NULL},
        {"[::1/x", NULL, NULL, NULL, NULL, NULL, NULL},
        {"a+b", NULL, NULL, NULL, NULL, NULL, NULL},
        /* what the oracle makes of it means another repository when it is read again */
        {"docker.io/index.docker.io/x", "docker.io", "index.docker.io/x", NULL, NULL,
         "index.docker.io/x:latest", "index.docker.io/x"},
    };
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct image_ref ref;
        struct error err = {0};
        int result = image_ref_parse(&arena, rows[i].text, &ref, &err);
        assert_int_equal(result, rows[i].domain ? 0 : -1);
        if (result < 0)
            continue;
        assert_string_equal(ref.domain, rows[i].domain);
        assert_string_equal(ref.path, rows[i].path);
        assert_true(str_eq(ref.tag, rows[i].tag));
        assert_true(str_eq(ref.digest, rows[i].digest));
        assert_string_equal(ref.familiar, rows[i].familiar);
        assert_string_equal(ref.repository, rows[i].repository);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t ns;
    } rows[] = {
        {"1h30m", true, 5400000000000},
        {"-1.5s", true, -1500000000},
        {"1µs", true, 1000},
        {".5s", true, 500000000},
        {"9223372036854775807ns", true, INT64_MAX},
        {"9223372036854775808ns", false, 0},
        {"-9223372036854775808ns", true, INT64_MIN},
        {"0", true, 0},
        {"", false, 0},
        {"5", false, 0},
        {"1d", false, 0},
        {"1 s", false, 0},
        {"s", false, 0},
        {"1.s", true, 1000000000},
        {".s", false, 0},
        {"99999999999999999999h", false, 0},
        {"9999999999h", false, 0},
        {"9223372036s9223372036s", false, 0},
        {"0.99999999999999999999999s", true, 1000000000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t ns = 0;
        assert_int_equal(go_duration_parse(rows[i].text, &ns), rows[i].good);
        if (rows[i].good)
            assert_int_equal(ns, rows[i].ns);
    }
}

static void base64(void **state)
{
    (void)state;
    static const struct {
        const char *text, *data;
    } rows[] = {{"", ""}, {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}, {"YWJjZA==", "abcd"}};
    static const char *const bad[] = {"a", "YQ=", "Y===", "YQ==YQ==", "Y!==", "=YQ=", "YQ=a"};
    cleanup_arena struct arena arena = {0};
    size_t len;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_string_equal(base64_encode(&arena, rows[i].data, strlen(rows[i].data)), rows[i].text);
        assert_string_equal(base64_decode(&arena, rows[i].text, &len), rows[i].data);
        assert_int_equal(len, strlen(rows[i].data));
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_null(base64_decode(&arena, bad[i], &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_in_file_order),
        cmocka_unit_test(objects_by_name),
        cmocka_unit_test(volumes_whether_used_or_not),
        cmocka_unit_test(release_section),
        cmocka_unit_test(rendering),
        cmocka_unit_test(warnings),
        cmocka_unit_test(shared_env_file_is_read_once),
        cmocka_unit_test(paths_stay_inside),
        cmocka_unit_test(env_files),
        cmocka_unit_test(refusals_in_file_order),
        cmocka_unit_test(refusals_are_cut_at_whole_lines),
        cmocka_unit_test(one_place_is_refused_once),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(image_references),
        cmocka_unit_test(durations),
        cmocka_unit_test(base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

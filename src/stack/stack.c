/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stack.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "convert.h"
#include "decode.h"
#include "interpolate.h"
#include "load.h"
#include "merge.h"
#include "report.h"
#include "schema.h"
#include "variables.h"

enum {
    MAX_STACK_FILES = 16,
    MAX_SERVICES = 5000, /* of all files together; each becomes kilobytes of JSON */
};

/* ---- one file after the other ---- */

struct loading {
    const struct stack_input *input;
    struct report report;
    struct variables variables;
    struct decoder decoder;
    struct node **roots; /* of each file; NULL: unreadable */
    int *minors;         /* version of each file; -1: unusable */
};

static void parse_files(struct loading *l)
{
    for (size_t i = 0; i < l->input->n_files; i++)
        l->roots[i] =
            yaml_load(&l->report, l->report.files[i], l->input->files[i].text, l->input->files[i].len);
}

static void check_version(struct loading *l, size_t i)
{
    l->minors[i] = schema_version(&l->report, l->roots[i]);
    if (i == 0 || !l->roots[0] || l->minors[0] < 0 || l->minors[i] < 0 || l->minors[0] == l->minors[i])
        return;
    const struct node *at = node_get(l->roots[i], "version");
    report_node(&l->report, at ? at : l->roots[i], PATH_KEY(NULL, "version"),
                "version mismatched between two composefiles : 3.%d and 3.%d", l->minors[0], l->minors[i]);
}

static void find_release(struct loading *l, size_t i, struct stack *stack)
{
    const struct node *release = node_get(l->roots[i], "x-release");
    if (release && stack->x_release)
        report_node(&l->report, release, PATH_KEY(NULL, "x-release"),
                    "given in %s already (one file may have it)", stack->x_release->file);
    else if (release)
        stack->x_release = release;
}

static bool too_many_services(struct loading *l, size_t i, size_t *total)
{
    const struct node *services = node_get(l->roots[i], "services");
    if (!services || services->type != NODE_MAP || (*total += services->map.n) <= MAX_SERVICES)
        return false;
    report_node(&l->report, services, PATH_KEY(NULL, "services"), "too many services (at most %d)",
                MAX_SERVICES);
    return true;
}

static void load_file(struct loading *l, size_t i, struct stack *stack, struct project *ret)
{
    check_version(l, i);
    if (l->minors[i] < 0)
        return;
    schema_check_forbidden(&l->report, l->roots[i]);
    interpolate(&l->report, &l->variables, l->roots[i]);
    schema_check(&l->report, l->roots[i], l->minors[i]);
    find_release(l, i, stack);
    l->decoder.minor = l->minors[i];
    decode_project(&l->decoder, l->roots[i], ret);
}

/* ---- all of it ---- */

static void load(struct loading *l, struct stack *stack)
{
    size_t n = l->input->n_files, n_services = 0;
    struct project *projects = arena_array(&stack->arena, n, sizeof *projects);
    bool complete = true;
    parse_files(l);
    for (size_t i = 0; i < n; i++) {
        if (!l->roots[i]) {
            complete = false;
            continue;
        }
        if (too_many_services(l, i, &n_services))
            return;
        load_file(l, i, stack, &projects[i]);
        complete &= l->minors[i] >= 0;
    }
    if (!complete)
        return; /* what is in the other files may be what seems to be missing */
    for (size_t i = 1; i < n; i++)
        project_merge(&stack->arena, &projects[0], &projects[i]);
    struct converter converter = {
        .decoder = &l->decoder,
        .report = &l->report,
        .arena = &stack->arena,
        .stack = stack->name,
        .project = &projects[0],
    };
    convert_project(&converter, stack);
    schema_warn(&l->report, (const struct node *const *)l->roots, n);
}

static int check_input(const struct stack_input *input, struct error *err)
{
    if (!input->name || !input->name[strspn(input->name, " \t'\"")])
        return error_set(err, ERR_INVALID, 0, "invalid stack name: \"%s\"", input->name ? input->name : "");
    if (!input->n_files)
        return error_set(err, ERR_INVALID, 0, "no stack file given");
    if (input->n_files > MAX_STACK_FILES)
        return error_set(err, ERR_INVALID, 0, "%zu stack files are too many (at most %d)", input->n_files,
                         MAX_STACK_FILES);
    if (!str_is_utf8(input->name, strlen(input->name)))
        return error_set(err, ERR_INVALID, 0, "invalid stack name: not UTF-8");
    for (size_t i = 0; i < input->n_variables; i++)
        if (!str_is_utf8(input->variables[i].value, strlen(input->variables[i].value)) ||
            !str_is_utf8(input->variables[i].name, strlen(input->variables[i].name)))
            return error_set(err, ERR_INVALID, 0, "the value of the variable %s is not UTF-8 text",
                             input->variables[i].name);
    return 0;
}

/* "deploy" of "deploy/stack.yml", "" of "stack.yml" */
static const char *folder_of(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(arena, path, (size_t)(slash - path)) : "";
}

static void prepare(struct loading *l, const struct stack_input *input, struct arena *arena)
{
    const char **files = arena_array(arena, input->n_files, sizeof *files);
    for (size_t i = 0; i < input->n_files; i++)
        files[i] = arena_strdup(arena, input->files[i].path);
    struct variable *variables = arena_array(arena, input->n_variables, sizeof *variables);
    for (size_t i = 0; i < input->n_variables; i++)
        variables[i] = (struct variable){arena_strdup(arena, input->variables[i].name),
                                         arena_strdup(arena, input->variables[i].value)};
    *l = (struct loading){
        .input = input,
        .report = {.arena = arena, .files = files, .n_files = input->n_files},
        .variables = variables_sort(arena, variables, input->n_variables),
        .roots = arena_array(arena, input->n_files, sizeof *l->roots),
        .minors = arena_array(arena, input->n_files, sizeof *l->minors),
    };
    l->decoder = (struct decoder){
        .report = &l->report,
        .arena = arena,
        .variables = &l->variables,
        .folder = folder_of(arena, files[0]),
        .read = input->read,
        .userdata = input->userdata,
    };
}

int stack_load(const struct stack_input *input, struct stack **ret, struct error *err)
{
    if (check_input(input, err) < 0)
        return -1;
    struct stack *stack = calloc(1, sizeof *stack);
    if (!stack)
        abort();
    stack->name = arena_strdup(&stack->arena, input->name);
    struct loading l;
    prepare(&l, input, &stack->arena);
    load(&l, stack);
    if (report_result(&l.report, err) < 0) {
        stack_free(stack);
        return -1;
    }
    stack->warnings = l.report.warnings;
    stack->n_warnings = l.report.n_warnings;
    *ret = stack;
    return 0;
}

void stack_free(struct stack *stack)
{
    if (!stack)
        return;
    for (size_t i = 0; i < stack->n_networks; i++)
        json_decref(stack->networks[i].body);
    for (size_t i = 0; i < stack->n_volumes; i++)
        json_decref(stack->volumes[i].mount);
    for (size_t i = 0; i < stack->n_configs; i++)
        json_decref(stack->configs[i].body);
    for (size_t i = 0; i < stack->n_secrets; i++)
        json_decref(stack->secrets[i].body);
    for (size_t i = 0; i < stack->n_services; i++)
        json_decref(stack->services[i].spec);
    struct arena arena = stack->arena;
    free(stack);
    arena_release(&arena);
}

const struct stack_service *stack_service(const struct stack *stack, const char *key)
{
    for (size_t i = 0; i < stack->n_services; i++)
        if (str_eq(stack->services[i].key, key))
            return &stack->services[i];
    return NULL;
}

const struct stack_volume *stack_volume(const struct stack *stack, const char *key)
{
    for (size_t i = 0; i < stack->n_volumes; i++)
        if (str_eq(stack->volumes[i].key, key))
            return &stack->volumes[i];
    return NULL;
}

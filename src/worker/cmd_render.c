/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/control.h"
#include "agent/stack.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "worker/render_diff.h"
#include "worker/verbs.h"

/*
 * The bodies that a stack file stands for, from files on disk; needs no engine, no configuration and no
 * repository. With --diff, what they would change. Paths mean the same as in a commit: the root is the work
 * tree that the first file is in, else its folder.
 */

static const size_t file_max = 4 * 1024 * 1024;
static char output[64 * 1024]; /* a large stack is megabytes, and stdio writes 4 KiB at a time */

struct render {
    struct arena arena;
    const char *config_path, *name, *env_file, *root;
    bool diff, differs;
    struct stack_source *files;
    size_t n_files;
};

static int read_below_root(void *userdata, const char *path, struct arena *arena, const char **ret_data,
                           size_t *ret_len, struct error *err)
{
    const struct render *r = userdata;
    char *data;
    if (fs_read(arena, arena_printf(arena, "%s/%s", r->root, path), file_max, &data, ret_len, err) < 0)
        return -1;
    *ret_data = data;
    return 0;
}

/* The nearest folder above that holds .git; without one, the file's own. */
static const char *find_root(struct arena *arena, const char *file)
{
    char *folder = arena_strdup(arena, file);
    *strrchr(folder, '/') = '\0';
    for (char *at = arena_strdup(arena, folder); *at; *strrchr(at, '/') = '\0')
        if (access(arena_printf(arena, "%s/.git", at), F_OK) == 0)
            return at;
    return folder;
}

static int load_file(struct render *r, const char *path, struct error *err)
{
    char *resolved = realpath(path, NULL), *text;
    if (!resolved)
        return error_errno(err, "%s", path);
    const char *full = arena_strdup(&r->arena, resolved);
    free(resolved);
    if (!r->root)
        r->root = find_root(&r->arena, full);
    size_t root_len = strlen(r->root);
    if (strncmp(full, r->root, root_len) != 0 || full[root_len] != '/')
        return error_set(err, ERR_INVALID, 0, "%s: is outside of %s, the folder of the first file", path,
                         r->root);
    struct stack_source *source = &r->files[r->n_files];
    source->path = full + root_len + 1;
    if (fs_read(&r->arena, full, file_max, &text, &source->len, err) < 0)
        return -1;
    source->text = text;
    r->n_files++;
    return 0;
}

static int load_variables(struct render *r, struct variable **ret, size_t *ret_count, struct error *err)
{
    *ret = NULL;
    *ret_count = 0;
    char *text;
    size_t len;
    if (!r->env_file)
        return 0;
    if (fs_read(&r->arena, r->env_file, file_max, &text, &len, err) < 0)
        return -1;
    return env_file_parse(&r->arena, r->env_file, text, len, ret, ret_count, err);
}

static int print_bodies(const struct stack_input *input, struct error *err)
{
    struct stack *stack = NULL;
    if (stack_load(input, &stack, err) < 0)
        return -1;
    for (size_t i = 0; i < stack->n_warnings; i++)
        fprintf(stderr, "warning: %s\n", stack->warnings[i]);
    cleanup_json json_t *bodies = stack_render(stack);
    setvbuf(stdout, output, _IOFBF, sizeof output);
    json_dumpf(bodies, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    putchar('\n');
    stack_free(stack);
    return 0;
}

static int render(struct render *r, struct error *err)
{
    struct variable *variables;
    struct stack_input input = {
        .name = r->name, .files = r->files, .n_files = r->n_files, .read = read_below_root, .userdata = r};
    if (load_variables(r, &variables, &input.n_variables, err) < 0)
        return -1;
    input.variables = variables;
    return r->diff ? render_diff(r->config_path, &input, &r->differs, err) : print_bodies(&input, err);
}

static int usage(void)
{
    fprintf(stderr, "usage: agent-worker render FILE... --stack NAME [--env-file F] [--diff]\n");
    return EXIT_BAD_USAGE;
}

int cmd_render(const struct verb_context *context, int argc, char **argv)
{
    struct render r = {.config_path = context->config_path};
    struct error err = {0};
    const char **paths = arena_array(&r.arena, (size_t)argc, sizeof *paths);
    size_t n = 0;
    int result = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--stack") == 0 && i + 1 < argc)
            r.name = argv[++i];
        else if (strcmp(argv[i], "--env-file") == 0 && i + 1 < argc)
            r.env_file = argv[++i];
        else if (strcmp(argv[i], "--diff") == 0)
            r.diff = true;
        else if (argv[i][0] != '-')
            paths[n++] = argv[i];
        else
            n = 0, i = argc;
    }
    r.files = arena_array(&r.arena, n + 1, sizeof *r.files);
    for (size_t i = 0; i < n && result == 0; i++)
        result = load_file(&r, paths[i], &err);
    if (n == 0 || !r.name) {
        arena_release(&r.arena);
        return usage();
    }
    if (result == 0)
        result = render(&r, &err);
    if (result < 0)
        fprintf(stderr, "%s\n", err.text);
    arena_release(&r.arena);
    return result < 0 ? EXIT_FAILED : r.differs ? EXIT_CHANGES : EXIT_GOOD;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agentctl/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"

static const char environment_variable[] = "DEPLOY_AGENT_CONFIG";

/* ---- where things are ---- */

void ctl_init(struct ctl *ctl)
{
    *ctl = (struct ctl){.config_path = CONFIG_DEFAULT_PATH};
}

void ctl_release(struct ctl *ctl)
{
    journal_close(ctl->journal);
    config_release(&ctl->config);
    arena_release(&ctl->arena);
}

static bool is_rights(const struct error *err)
{
    return err->code == EACCES || err->code == EPERM || err->code == ENOENT;
}

int ctl_configure(struct ctl *ctl, const char *config_option)
{
    const char *path = config_option ? config_option : getenv(environment_variable);
    ctl->config_given = path && *path;
    if (ctl->config_given)
        ctl->config_path = path;
    ctl->has_config = config_load(ctl->config_path, &ctl->config, &ctl->config_error) == 0;
    if (!ctl->has_config) {
        if (ctl->config_given) {
            fprintf(stderr, "agentctl: %s\n", ctl->config_error.text);
            return EXIT_FAILED;
        }
        if (!is_rights(&ctl->config_error))
            fprintf(stderr, "agentctl: %s\nagentctl: going on with the default folders\n",
                    ctl->config_error.text);
        ctl->config.state_dir = "/var/lib/deploy-agent";
        ctl->config.run_dir = "/run/deploy-agent";
    }
    ctl->journal_path = config_journal_path(&ctl->arena, &ctl->config);
    ctl->control_path = config_control_path(&ctl->arena, &ctl->config);
    return EXIT_GOOD;
}

int ctl_journal(struct ctl *ctl, struct error *err)
{
    return ctl->journal ? 0 : journal_open(ctl->journal_path, JOURNAL_READ, &ctl->journal, err);
}

/* ---- failing ---- */

int ctl_fail(const struct error *err)
{
    fprintf(stderr, "agentctl: %s\n", err->text);
    return err->kind == ERR_NOT_FOUND ? EXIT_NOT_FOUND
           : err->kind == ERR_INVALID ? EXIT_BAD_USAGE
                                      : EXIT_FAILED;
}

int ctl_misuse(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("agentctl: ", stderr);
    vfprintf(stderr, format, ap);
    fputs("\n", stderr);
    va_end(ap);
    return EXIT_BAD_USAGE;
}

/* ---- stacks and deployments ---- */

int ctl_stacks(struct ctl *ctl, const char *const **ret, size_t *ret_count, struct error *err)
{
    if (!ctl->has_config) {
        char **names;
        if (ctl_journal(ctl, err) < 0 ||
            journal_stacks(ctl->journal, &ctl->arena, &names, ret_count, err) < 0)
            return -1;
        *ret = (const char *const *)names;
        return 0;
    }
    const char **names = arena_array(&ctl->arena, ctl->config.n_stacks + 1, sizeof *names);
    for (size_t i = 0; i < ctl->config.n_stacks; i++)
        names[i] = ctl->config.stacks[i].name;
    *ret = names;
    *ret_count = ctl->config.n_stacks;
    return 0;
}

static const char *find_name(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(names[i], name))
            return names[i];
    return NULL;
}

/* NULL: neither configured nor in the journal, where stacks that were removed live on. */
static int known_stack(struct ctl *ctl, const char *name, const char **ret, struct error *err)
{
    const char *const *names;
    char **recorded;
    size_t n;
    if (ctl_stacks(ctl, &names, &n, err) < 0)
        return -1;
    *ret = find_name(names, n, name);
    if (*ret || !ctl->has_config)
        return 0;
    struct error ignored = {0};
    if (ctl_journal(ctl, &ignored) == 0 &&
        journal_stacks(ctl->journal, &ctl->arena, &recorded, &n, &ignored) == 0)
        *ret = find_name((const char *const *)recorded, n, name);
    return 0;
}

static int only_stack(struct ctl *ctl, const char **ret, struct error *err)
{
    const char *const *names;
    size_t n;
    if (ctl_stacks(ctl, &names, &n, err) < 0)
        return -1;
    if (n == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "no stack is configured");
    if (n == 1) {
        *ret = names[0];
        return 0;
    }
    cleanup_str struct str list = {0};
    for (size_t i = 0; i < n; i++)
        str_printf(&list, "%s%s", i ? ", " : "", names[i]);
    return error_set(err, ERR_INVALID, 0, "name the stack: there are %s", str_text(&list));
}

static int no_such_stack(struct ctl *ctl, const char *name, struct error *err)
{
    const char *clean = str_clean(&ctl->arena, name, strlen(name), true, 100);
    return error_set(err, ERR_NOT_FOUND, 0, "there is no stack '%s'", clean);
}

int ctl_stack(struct ctl *ctl, const char *argument, const char **ret, struct error *err)
{
    if (!argument)
        return only_stack(ctl, ret, err);
    if (known_stack(ctl, argument, ret, err) < 0)
        return -1;
    return *ret ? 0 : no_such_stack(ctl, argument, err);
}

bool ctl_is_id(const char *text)
{
    size_t len = strspn(text, "0123456789");
    return len > 0 && len < 19 && text[len] == '\0';
}

int ctl_deployment(struct ctl *ctl, const char *id, struct deployment *ret, struct error *err)
{
    bool found;
    if (*id == '#')
        id++;
    if (!ctl_is_id(id))
        return error_set(err, ERR_INVALID, 0, "a deployment's ID is a number, as `agentctl log` shows it");
    if (ctl_journal(ctl, err) < 0 ||
        journal_deployment(ctl->journal, &ctl->arena, strtoll(id, NULL, 10), ret, &found, err) < 0)
        return -1;
    return found ? 0 : error_set(err, ERR_NOT_FOUND, 0, "there is no deployment %s", id);
}

int ctl_target(struct ctl *ctl, const char *argument, const char **ret_stack,
               struct deployment *ret_deployment, struct error *err)
{
    *ret_deployment = (struct deployment){0};
    if (!argument)
        return only_stack(ctl, ret_stack, err);
    if (known_stack(ctl, argument, ret_stack, err) < 0)
        return -1;
    if (*ret_stack)
        return 0;
    if (*argument != '#' && !ctl_is_id(argument))
        return no_such_stack(ctl, argument, err);
    if (ctl_deployment(ctl, argument, ret_deployment, err) < 0)
        return -1;
    *ret_stack = ret_deployment->stack;
    return 0;
}

/* ---- agentd and agent-worker ---- */

int ctl_ask(struct ctl *ctl, const char *verb, const char *stack, json_t *args, int64_t timeout_us,
            json_t **ret_reply, struct error *err)
{
    cleanup_json json_t *request =
        json_pack("{s:s, s:s*, s:o}", "verb", verb, "stack", stack, "args", args ? args : json_object());
    if (!request)
        return error_set(err, ERR_INVALID, 0, "the arguments of %s are not UTF-8", verb);
    return control_call(ctl->control_path, request, timeout_us, ret_reply, err);
}

int ctl_call(struct ctl *ctl, const char *verb, const char *stack, json_t *args, int64_t timeout_us,
             json_t **ret_reply)
{
    struct error err = {0};
    cleanup_json json_t *reply = NULL;
    if (ctl_ask(ctl, verb, stack, args, timeout_us, &reply, &err) < 0) {
        ctl_fail(&err);
        return err.kind == ERR_NOT_FOUND ? EXIT_NO_DAEMON : EXIT_FAILED;
    }
    if (!json_is_true(json_object_get(reply, "ok"))) {
        const char *text = json_string_value(json_object_get(reply, "error"));
        int code = (int)json_integer_value(json_object_get(reply, "exit"));
        fprintf(stderr, "agentctl: %s\n",
                text ? str_clean(&ctl->arena, text, strlen(text), false, 0) : "agentd refused");
        return code > 0 && code < 256 ? code : EXIT_FAILED;
    }
    *ret_reply = TAKE(reply);
    return EXIT_GOOD;
}

int ctl_become_worker(struct ctl *ctl, const char **argv)
{
    argv[0] = proc_sibling(&ctl->arena, "agent-worker");
    fflush(stdout);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "agentctl: %s: %s\n", argv[0], strerror(errno));
    return EXIT_FAILED;
}

void ctl_print_message(const json_t *reply, const char *otherwise)
{
    cleanup_arena struct arena arena = {0};
    const char *message = json_string_value(json_object_get(reply, "message"));
    if (message && *message)
        message = str_clean(&arena, message, strlen(message), false, 0);
    else
        message = otherwise;
    printf("%s%s", message, str_ends(message, "\n") ? "" : "\n");
}

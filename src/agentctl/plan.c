/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl plan, check, render: agent-worker answers; agentd asks it for us when it runs. */

#include <stdio.h>

#include "agentctl/verbs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static const int64_t plan_timeout_us = 660 * US_PER_S; /* a little more than agentd gives its worker */
static const int64_t check_timeout_us = 180 * US_PER_S;

static void print_output(const json_t *reply)
{
    const char *output = json_string_value(json_object_get(reply, "output")),
               *message = json_string_value(json_object_get(reply, "message"));
    fputs(output ? output : "", stdout);
    fputs(message ? message : "", stderr);
}

/*
 * Asks agentd, or becomes the worker when agentd is down: argv is its command line, argv[0] and the
 * configuration are filled in here.
 */
static int ask_or_become(struct ctl *ctl, const char *verb, const char *stack, json_t *args,
                         int64_t timeout_us, const char **argv)
{
    struct error err = {0};
    cleanup_json json_t *reply = NULL;
    if (ctl_ask(ctl, verb, stack, args, timeout_us, &reply, &err) < 0) {
        if (err.kind != ERR_NOT_FOUND)
            return ctl_fail(&err);
        /* `check` is there to say what is wrong with it */
        if (!ctl->has_config && !str_eq(verb, "check")) {
            ctl_misuse("%s; and %s", err.text, ctl->config_error.text);
            return EXIT_NO_DAEMON;
        }
        argv[1] = "--config";
        argv[2] = ctl->config_path;
        return ctl_become_worker(ctl, argv);
    }
    if (!json_is_true(json_object_get(reply, "ok"))) {
        const char *text = json_string_value(json_object_get(reply, "error"));
        ctl_misuse("%s", text ? text : "agentd refused");
    }
    print_output(reply);
    return (int)json_integer_value(json_object_get(reply, "exit")) & 0xff;
}

int verb_plan(struct ctl *ctl, const struct args *args)
{
    struct error err = {0};
    const char *stack, *commit = args_get(args, "--commit");
    bool json = args_get(args, "--json") != NULL;
    if (ctl_stack(ctl, args->n ? args->words[0] : NULL, &stack, &err) < 0)
        return ctl_fail(&err);
    const char *argv[9] = {NULL, NULL, NULL, "plan", stack};
    size_t n = 5;
    if (commit) {
        argv[n++] = "--commit";
        argv[n++] = commit;
    }
    if (json)
        argv[n++] = "--json";
    json_t *request = json_pack("{s:s*, s:b}", "commit", commit, "json", json);
    return ask_or_become(ctl, "plan", stack, request, plan_timeout_us, argv);
}

/* Words of the command line behind the action: STACK may be left out where there is only one. */
static int migrate_words(struct ctl *ctl, const struct args *args, const char **ret_stack,
                         const char **ret_version, const char **ret_outcome, struct error *err)
{
    bool resolve = str_eq(args->words[0], "resolve");
    size_t named = args->n - 1 - (resolve ? 2 : 0);
    if (args->n < (resolve ? 3u : 1u) || named > 1)
        return error_set(
            err, ERR_INVALID, 0,
            "usage: agentctl migrate status|adopt [STACK], or resolve [STACK] VERSION done|again");
    if (resolve) {
        *ret_version = args->words[args->n - 2];
        *ret_outcome = args->words[args->n - 1];
        if (!str_eq(*ret_outcome, "done") && !str_eq(*ret_outcome, "again"))
            return error_set(err, ERR_INVALID, 0,
                             "what about version %s? done: it is in the database; again: it is to run again",
                             *ret_version);
    }
    return ctl_stack(ctl, named ? args->words[1] : NULL, ret_stack, err);
}

int verb_migrate(struct ctl *ctl, const struct args *args)
{
    static const char *const flags[] = {"--step", "--schema", "--statement", "--commit"};
    struct error err = {0};
    const char *action = args->words[0], *stack, *version = NULL, *outcome = NULL;
    bool json = args_get(args, "--json") != NULL, status = str_eq(action, "status");
    if (!status && !str_eq(action, "adopt") && !str_eq(action, "resolve"))
        return ctl_misuse("migrate has no action '%s'; there are status, adopt, resolve", action);
    if (json && !status)
        return ctl_misuse("--json belongs to migrate status");
    if (migrate_words(ctl, args, &stack, &version, &outcome, &err) < 0)
        return err.kind == ERR_INVALID ? ctl_misuse("%s", err.text) : ctl_fail(&err);
    const char *argv[18] = {NULL, NULL, NULL, "migrate", action, stack, version, outcome};
    size_t n = version ? 8 : 6;
    json_t *request = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        const char *value = args_get(args, flags[i]);
        if (!value)
            continue;
        argv[n++] = flags[i];
        argv[n++] = value;
        json_object_set_new(request, flags[i] + 2, json_string(value));
    }
    if (json)
        argv[n++] = "--json";
    if (status) {
        json_object_set_new(request, "json", json_boolean(json));
        return ask_or_become(ctl, "migrations", stack, request, plan_timeout_us, argv);
    }
    json_object_set_new(request, "action", json_string(action));
    if (version) {
        json_object_set_new(request, "version", json_string(version));
        json_object_set_new(request, "outcome", json_string(outcome));
    }
    return ask_or_become(ctl, "migrate", stack, request, plan_timeout_us, argv);
}

int verb_check(struct ctl *ctl, const struct args *args)
{
    struct error err = {0};
    const char *stack = NULL;
    if (args->n && ctl_stack(ctl, args->words[0], &stack, &err) < 0)
        return ctl_fail(&err);
    const char *argv[6] = {NULL, NULL, NULL, "check", stack};
    return ask_or_become(ctl, "check", stack, NULL, check_timeout_us, argv);
}

/* The same arguments as they came: agent-worker parses them the same way. */
int verb_render(struct ctl *ctl, const struct args *args)
{
    if (!args_get(args, "--stack"))
        return ctl_misuse("render needs --stack NAME");
    const char **argv = arena_array(&ctl->arena, args->n_raw + 5, sizeof *argv);
    size_t n = 1;
    if (ctl->config_given) {
        argv[n++] = "--config";
        argv[n++] = ctl->config_path;
    }
    argv[n++] = "render";
    for (size_t i = 0; i < args->n_raw; i++)
        argv[n++] = args->raw[i];
    return ctl_become_worker(ctl, argv);
}

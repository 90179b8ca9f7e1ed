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
        if (!ctl->has_config) {
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

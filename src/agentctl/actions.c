/* SPDX-License-Identifier: Apache-2.0 */

/* The verbs that ask agentd to do something. What is possible in which state is agentd's to say. */

#include <stdio.h>
#include <string.h>

#include "agentctl/verbs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static const int64_t action_timeout_us = 30 * US_PER_S;
static const int64_t sync_timeout_us = 300 * US_PER_S; /* a poll and a fetch have deadlines of their own */

static int64_t reply_id(const json_t *reply, const char *key)
{
    return json_integer_value(json_object_get(reply, key));
}

static int reply_exit(const json_t *reply)
{
    return (int)reply_id(reply, "exit") & 0xff;
}

/* ---- sync ---- */

int verb_sync(struct ctl *ctl, const struct args *args)
{
    struct error err = {0};
    const char *stack;
    cleanup_json json_t *reply = NULL;
    if (ctl_stack(ctl, args->n ? args->words[0] : NULL, &stack, &err) < 0)
        return ctl_fail(&err);
    int code = ctl_call(ctl, "sync", stack, NULL, sync_timeout_us, &reply);
    if (code != EXIT_GOOD)
        return code;
    int64_t id = reply_id(reply, "deployment");
    if (id && args_get(args, "--wait"))
        return ctl_wait(ctl, id, DEPLOYMENT_SUCCEEDED);
    ctl_print_message(reply, id ? arena_printf(&ctl->arena, "%s: deployment #%lld", stack, (long long)id)
                                : arena_printf(&ctl->arena, "%s: nothing to do", stack));
    return reply_id(reply, "held") ? EXIT_FAILED : reply_exit(reply);
}

/* ---- retry, cancel, approve ---- */

/* wanted: the end that --wait waits for. */
static int act_on_target(struct ctl *ctl, const struct args *args, enum deployment_state wanted,
                         const char *commit, const char *otherwise)
{
    struct error err = {0};
    struct deployment d;
    const char *stack;
    cleanup_json json_t *reply = NULL;
    if (ctl_target(ctl, args->n ? args->words[0] : NULL, &stack, &d, &err) < 0)
        return ctl_fail(&err);
    json_t *request = json_object();
    if (d.id)
        json_object_set_new(request, "deployment", json_integer(d.id));
    if (commit && json_object_set_new(request, "commit", json_string(commit)) < 0) {
        json_decref(request);
        return ctl_misuse("--commit: not UTF-8");
    }
    int code = ctl_call(ctl, args->verb->name, stack, request, action_timeout_us, &reply);
    if (code != EXIT_GOOD)
        return code;
    int64_t id = reply_id(reply, "deployment");
    if (id && args_get(args, "--wait"))
        return ctl_wait(ctl, id, wanted);
    if (id)
        otherwise = arena_printf(&ctl->arena, "%s: #%lld", otherwise, (long long)id);
    ctl_print_message(reply, arena_printf(&ctl->arena, "%s: %s", stack, otherwise));
    return reply_exit(reply);
}

int verb_retry(struct ctl *ctl, const struct args *args)
{
    return act_on_target(ctl, args, DEPLOYMENT_SUCCEEDED, NULL, "deploying again");
}

int verb_cancel(struct ctl *ctl, const struct args *args)
{
    return act_on_target(ctl, args, DEPLOYMENT_CANCELLED, NULL, "cancelling");
}

int verb_approve(struct ctl *ctl, const struct args *args)
{
    return act_on_target(ctl, args, DEPLOYMENT_SUCCEEDED, args_get(args, "--commit"), "approved");
}

/* ---- pause, resume ---- */

/* Here "2h" is two hours from now. */
static int parse_until(const char *text, int64_t *ret_us, struct error *err)
{
    struct error ignored = {0};
    int64_t now = wall_us(), duration;
    if (duration_parse(text, &duration, &ignored) == 0)
        *ret_us = now + duration;
    else if (time_parse(text, ret_us, err) < 0)
        return error_set(err, ERR_INVALID, 0,
                         "--until: '%s' is no time: use 2026-08-24, '2026-08-24 08:00', or 2h from now",
                         text);
    return *ret_us > now ? 0 : error_set(err, ERR_INVALID, 0, "--until: '%s' is over already", text);
}

int verb_pause(struct ctl *ctl, const struct args *args)
{
    struct error err = {0};
    const char *stack, *reason = args_get(args, "--reason"), *until = args_get(args, "--until");
    int64_t until_us = 0;
    cleanup_json json_t *reply = NULL;
    if ((until && parse_until(until, &until_us, &err) < 0) ||
        ctl_stack(ctl, args->n ? args->words[0] : NULL, &stack, &err) < 0)
        return ctl_fail(&err);
    json_t *request =
        json_pack("{s:s*, s:s*}", "reason", reason, "until", rfc3339_utc(&ctl->arena, until_us));
    if (!request)
        return ctl_misuse("--reason: not UTF-8");
    int code = ctl_call(ctl, "pause", stack, request, action_timeout_us, &reply);
    if (code == EXIT_GOOD)
        ctl_print_message(
            reply,
            arena_printf(&ctl->arena, "%s is paused; a running deployment ends, no new one starts", stack));
    return code != EXIT_GOOD ? code : reply_exit(reply);
}

int verb_resume(struct ctl *ctl, const struct args *args)
{
    struct error err = {0};
    const char *stack;
    cleanup_json json_t *reply = NULL;
    if (ctl_stack(ctl, args->n ? args->words[0] : NULL, &stack, &err) < 0)
        return ctl_fail(&err);
    int code = ctl_call(ctl, "resume", stack, NULL, action_timeout_us, &reply);
    if (code == EXIT_GOOD)
        ctl_print_message(reply, arena_printf(&ctl->arena, "%s is resumed", stack));
    return code != EXIT_GOOD ? code : reply_exit(reply);
}

/* ---- rollback ---- */

/* STACK, ID, both, or neither. */
static int rollback_words(struct ctl *ctl, const struct args *args, const char **ret_stack, int64_t *ret_id,
                          struct error *err)
{
    struct deployment d;
    if (ctl_target(ctl, args->n ? args->words[0] : NULL, ret_stack, &d, err) < 0)
        return -1;
    if (args->n == 2) {
        if (d.id)
            return error_set(err, ERR_INVALID, 0, "usage: agentctl rollback %s", args->verb->args);
        if (ctl_deployment(ctl, args->words[1], &d, err) < 0)
            return -1;
        if (!str_eq(d.stack, *ret_stack))
            return error_set(err, ERR_NOT_FOUND, 0, "#%lld is of %s, not of %s", (long long)d.id, d.stack,
                             *ret_stack);
    }
    *ret_id = d.id;
    return 0;
}

int verb_rollback(struct ctl *ctl, const struct args *args)
{
    struct error err = {0};
    const char *stack;
    int64_t target;
    cleanup_json json_t *reply = NULL;
    if (rollback_words(ctl, args, &stack, &target, &err) < 0)
        return ctl_fail(&err);
    int code = ctl_call(ctl, "rollback", stack, json_pack("{s:I}", "deployment", (json_int_t)target),
                        action_timeout_us, &reply);
    if (code != EXIT_GOOD)
        return code;
    int64_t id = reply_id(reply, "deployment");
    if (id && args_get(args, "--wait"))
        return ctl_wait(ctl, id, DEPLOYMENT_SUCCEEDED);
    ctl_print_message(reply, arena_printf(&ctl->arena, "%s: rolling back as #%lld; the schema stays", stack,
                                          (long long)id));
    return reply_exit(reply);
}

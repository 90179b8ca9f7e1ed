/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "agent/log.h"
#include "agentd/control.h"
#include "agentd/manager.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static const int64_t plan_timeout_us = 600 * US_PER_S;
static const int64_t check_timeout_us = 120 * US_PER_S;
static const unsigned max_questions = 4; /* plan and check workers at once */

/* ---- arguments ---- */

int call_string(const struct call *call, const char *name, const char **ret, struct error *err)
{
    const json_t *value = json_object_get(call->args, name);
    if (value && !json_is_null(value) && !json_is_string(value))
        return error_set(err, ERR_INVALID, 0, "%s is no text", name);
    *ret = json_string_value(value);
    return 0;
}

static int call_deployment(struct call *call, struct error *err)
{
    const json_t *value = json_object_get(call->args, "deployment");
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(err, ERR_INVALID, 0, "deployment is no number of a deployment");
    call->deployment = json_integer_value(value);
    return 0;
}

/* ---- status ---- */

static int method_status(struct call *call, struct error *err)
{
    (void)err;
    cleanup_json json_t *status = manager_status(call->manager);
    return json_object_update(call->reply, status);
}

/* ---- plan, check: agent-worker answers ---- */

static void set_output(json_t *reply, const char *key, const struct str *text)
{
    cleanup_arena struct arena arena = {0};
    json_object_set_new(reply, key, json_string(str_clean(&arena, str_text(text), text->len, false, 0)));
}

static void on_answer(struct worker *worker)
{
    cleanup_arena struct arena arena = {0};
    struct client *client = worker->userdata;
    if (!client)
        return;
    if (worker->exit_code < 0 || worker->exit_code == 127 || worker->timed_out) {
        control_reply_error(client, EXIT_FAILED, "agent-worker %s%s%s", worker_end_text(&arena, worker),
                            worker->err.text.len ? ": " : "", str_text(&worker->err.text));
        return;
    }
    json_t *reply = json_object();
    json_object_set_new(reply, "exit", json_integer(worker->exit_code));
    set_output(reply, "output", &worker->out.text);
    set_output(reply, "message", &worker->err.text);
    control_reply(client, reply);
}

static int ask_worker(struct call *call, enum worker_kind kind, const char *const *arguments,
                      int64_t timeout_us, struct error *err)
{
    struct manager *manager = call->manager;
    if (workers_count(manager, WORKER_PLAN) + workers_count(manager, WORKER_CHECK) >= max_questions)
        return error_set(err, ERR_UNAVAILABLE, 0, "agentd answers %u such questions already; try again",
                         max_questions);
    struct worker_options options = {.kind = kind,
                                     .watch = call->watch,
                                     .arguments = arguments,
                                     .timeout_us = timeout_us,
                                     .ended = on_answer,
                                     .userdata = call->client};
    if (worker_start(manager, &options, &call->client->worker, err) < 0)
        return -1;
    return 1;
}

/* A commit's id, abbreviated or not, or the branch's name: agent-worker looks it up, it only must be no
 * option. */
static bool is_commit_word(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/#+-";
    return *text && *text != '-' && strlen(text) <= 250 && text[strspn(text, letters)] == '\0';
}

static int method_plan(struct call *call, struct error *err)
{
    const char *commit, *arguments[6] = {"plan", call->watch->name};
    size_t n = 2;
    if (call_string(call, "commit", &commit, err) < 0)
        return -1;
    if (commit && !is_commit_word(commit))
        return error_set(err, ERR_INVALID, 0, "commit is no id of a commit");
    if (commit) {
        arguments[n++] = "--commit";
        arguments[n++] = commit;
    }
    if (json_is_true(json_object_get(call->args, "json")))
        arguments[n++] = "--json";
    return ask_worker(call, WORKER_PLAN, arguments, plan_timeout_us, err);
}

/* Names and numbers that become words of a command line. */
static int call_word(const struct call *call, const char *name, const char **ret, struct error *err)
{
    if (call_string(call, name, ret, err) < 0)
        return -1;
    if (*ret && (!**ret || **ret == '-' || strlen(*ret) > 250))
        return error_set(err, ERR_INVALID, 0, "%s is no word", name);
    return 0;
}

/* Options of `agent-worker migrate`, from the arguments of their names. */
static int add_options(const struct call *call, const char **arguments, size_t n, struct error *err)
{
    static const char *const names[] = {"step", "schema", "commit", "statement"};
    static const char *const options[] = {"--step", "--schema", "--commit", "--statement"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *value;
        if (call_word(call, names[i], &value, err) < 0)
            return -1;
        if (!value)
            continue;
        arguments[n++] = options[i];
        arguments[n++] = value;
    }
    return 0;
}

static int method_migrations(struct call *call, struct error *err)
{
    const char *arguments[16] = {"migrate", "status", call->watch->name};
    size_t n = 3;
    if (json_is_true(json_object_get(call->args, "json")))
        arguments[n++] = "--json";
    if (add_options(call, arguments, n, err) < 0)
        return -1;
    return ask_worker(call, WORKER_PLAN, arguments, plan_timeout_us, err);
}

static int method_migrate(struct call *call, struct error *err)
{
    const char *action, *version, *outcome, *arguments[16] = {"migrate", NULL, call->watch->name};
    size_t n = 3;
    if (call_word(call, "action", &action, err) < 0 || call_word(call, "version", &version, err) < 0 ||
        call_word(call, "outcome", &outcome, err) < 0)
        return -1;
    if (!str_eq(action, "adopt") && !str_eq(action, "resolve"))
        return error_set(err, ERR_INVALID, 0, "action must be adopt or resolve");
    if (str_eq(action, "resolve") != (version && outcome))
        return error_set(err, ERR_INVALID, 0, "resolve needs version and outcome, adopt takes none");
    arguments[1] = action;
    if (version) {
        arguments[n++] = version;
        arguments[n++] = outcome;
    }
    if (add_options(call, arguments, n, err) < 0)
        return -1;
    return ask_worker(call, WORKER_PLAN, arguments, plan_timeout_us, err);
}

static int method_check(struct call *call, struct error *err)
{
    const char *arguments[] = {"check", call->watch ? call->watch->name : NULL, NULL};
    return ask_worker(call, WORKER_CHECK, arguments, check_timeout_us, err);
}

/* A word that is none, or a number that is none, agent-worker refuses. */
static int method_records(struct call *call, struct error *err)
{
    static const char *const numbers[] = {"since_us", "limit"};
    static const char *const options[] = {"--since", "-n"};
    cleanup_arena struct arena arena = {0};
    const char *stack, *state, *arguments[10] = {"records"};
    size_t n = 1;
    if (call_word(call, "stack", &stack, err) < 0 || call_word(call, "state", &state, err) < 0)
        return -1;
    if (stack)
        arguments[n++] = stack;
    if (state) {
        arguments[n++] = "--state";
        arguments[n++] = state;
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        json_int_t value = json_integer_value(json_object_get(call->args, numbers[i]));
        if (value <= 0)
            continue;
        arguments[n++] = options[i];
        arguments[n++] = arena_printf(&arena, "%" JSON_INTEGER_FORMAT, value);
    }
    return ask_worker(call, WORKER_PLAN, arguments, check_timeout_us, err);
}

/* ---- the table ---- */

enum method_flags {
    WRITES = 1 << 0,        /* uid 0, our own uid and control_uids; recorded */
    NEEDS_STACK = 1 << 1,   /* by name, or the only one */
    NEEDS_JOURNAL = 1 << 2, /* refused while it cannot be opened */
};

static const struct method {
    const char *name;
    unsigned flags;
    const char *args[8]; /* names of the arguments it knows; of others a typing error would go unnoticed */
    method_handler handle;
} methods[] = {
    {"status", 0, {NULL}, method_status},
    {"check", 0, {NULL}, method_check},
    {"plan", NEEDS_STACK, {"commit", "json"}, method_plan},
    {"migrations", NEEDS_STACK, {"step", "schema", "commit", "json"}, method_migrations},
    {"records", 0, {"stack", "state", "since_us", "limit"}, method_records},
    {"migrate",
     WRITES | NEEDS_STACK | NEEDS_JOURNAL,
     {"action", "version", "outcome", "step", "schema", "commit", "statement"},
     method_migrate},
    {"sync", WRITES | NEEDS_STACK | NEEDS_JOURNAL, {"requested_by"}, action_sync},
    {"retry", WRITES | NEEDS_STACK | NEEDS_JOURNAL, {"deployment"}, action_retry},
    {"cancel", WRITES | NEEDS_STACK | NEEDS_JOURNAL, {"deployment"}, action_cancel},
    {"approve", WRITES | NEEDS_STACK | NEEDS_JOURNAL, {"deployment", "commit"}, action_approve},
    {"pause", WRITES | NEEDS_STACK | NEEDS_JOURNAL, {"reason", "until"}, action_pause},
    {"resume", WRITES | NEEDS_STACK | NEEDS_JOURNAL, {NULL}, action_resume},
    {"rollback", WRITES | NEEDS_STACK | NEEDS_JOURNAL, {"deployment"}, action_rollback},
};

static const struct method *method_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (str_eq(methods[i].name, name))
            return &methods[i];
    return NULL;
}

static bool may_write(const struct client *client)
{
    const struct config *config = &client->manager->config;
    if (client->uid == 0 || client->uid == geteuid())
        return true;
    for (size_t i = 0; i < config->n_control_uids; i++)
        if (config->control_uids[i] == client->uid)
            return true;
    return false;
}

static int check_args(const struct method *method, const json_t *args, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)args, key, value) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_SIZE(method->args) && method->args[i]; i++)
            known |= str_eq(method->args[i], key);
        if (!known)
            return error_set(err, ERR_INVALID, 0, "%s takes no argument '%.40s'", method->name, key);
    }
    return 0;
}

/* Which stack is meant: by name, by the deployment's number, or the only one there is. */
static int find_watch(struct call *call, const char *stack, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = call->manager;
    if (call->deployment && manager->journal) {
        struct deployment d;
        bool found;
        if (journal_deployment(manager->journal, &arena, call->deployment, &d, &found, err) < 0)
            return -1;
        if (!found || (stack && !str_eq(stack, d.stack)))
            return error_set(err, ERR_NOT_FOUND, 0, "there is no deployment #%" PRId64 "%s%s",
                             call->deployment, stack ? " of " : "", stack ? stack : "");
        stack = d.stack;
    }
    if (!stack && manager->config.n_stacks == 1)
        stack = manager->config.stacks[0].name;
    if (!stack) {
        cleanup_str struct str names = {0};
        for (size_t i = 0; i < manager->config.n_stacks; i++)
            str_printf(&names, " %s", manager->config.stacks[i].name);
        return error_set(err, ERR_INVALID, 0, "which stack?%s%s",
                         names.len ? " There are:" : " None is configured.", str_text(&names));
    }
    call->watch = manager_watch(manager, stack);
    if (!call->watch)
        return error_set(err, ERR_NOT_FOUND, 0, "no stack '%.48s' is configured", stack);
    return 0;
}

/* Who did what, before it is done. */
static int audit(const struct call *call, const struct method *method, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const struct client *client = call->client;
    cleanup_free char *text = json_dumps(client->request.root, JSON_COMPACT);
    if (!text)
        return error_set(err, ERR_INTERNAL, 0, "out of memory");
    if (journal_audit(call->manager->journal, client->uid, client->pid, method->name,
                      str_clean(&arena, text, strlen(text), true, 4096), err) < 0)
        return -1;
    log_watch(call->watch);
    log_notice("%s%s%s by uid %u (pid %d)", method->name, call->watch ? " " : "",
               call->watch ? call->watch->name : "", (unsigned)client->uid, (int)client->pid);
    log_watch(NULL);
    return 0;
}

static int dispatch(struct call *call, const struct method *method, struct error *err)
{
    const struct control_request *request = &call->client->request;
    struct manager *manager = call->manager;
    if (check_args(method, call->args, err) < 0 || call_deployment(call, err) < 0)
        return -1;
    if (manager->stopping)
        return error_set(err, ERR_UNAVAILABLE, 0, "agentd is stopping");
    if (method->flags & NEEDS_JOURNAL && !manager->journal)
        return error_set(err, ERR_UNAVAILABLE, 0, "%s", manager->journal_error.text);
    if ((method->flags & NEEDS_STACK || request->stack) && find_watch(call, request->stack, err) < 0)
        return -1;
    if (method->flags & WRITES && audit(call, method, err) < 0)
        return -1;
    return method->handle(call, err);
}

static int exit_code_of(enum error_kind kind)
{
    return kind == ERR_NOT_FOUND ? EXIT_NOT_FOUND : kind == ERR_INVALID ? EXIT_BAD_USAGE : EXIT_FAILED;
}

void method_call(struct client *client)
{
    const struct method *method = method_find(client->request.verb);
    struct manager *manager = client->manager;
    struct error err = {0};
    if (!method) {
        control_reply_error(client, EXIT_BAD_USAGE, "agentd knows no verb '%.40s'", client->request.verb);
        return;
    }
    if (method->flags & WRITES && !may_write(client)) {
        log_warning("%s refused for uid %u (pid %d): not root and not in control_uids", method->name,
                    (unsigned)client->uid, (int)client->pid);
        control_reply_error(client, EXIT_FAILED,
                            "user %u may not %s: ask root, or add the user id to control_uids in %s",
                            (unsigned)client->uid, method->name, manager->config_path);
        return;
    }
    struct call call = {
        .manager = manager, .client = client, .args = client->request.args, .reply = json_object()};
    int r = dispatch(&call, method, &err);
    if (r == 0) {
        control_reply(client, call.reply);
        return;
    }
    json_decref(call.reply);
    if (r > 0)
        return;
    /* the journal's own trouble is more than the caller's business */
    if (method->flags & NEEDS_JOURNAL && manager->journal &&
        (err.kind == ERR_SYSTEM || err.kind == ERR_UNAVAILABLE))
        manager_journal_failed(manager, &err, method->name);
    control_reply_error(client, exit_code_of(err.kind), "%s", err.text);
}

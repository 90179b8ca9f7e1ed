/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "steps/baseline.h"
#include "steps/database.h"
#include "steps/job_check.h"

static struct probe *add(struct prober *p, const struct probe *probe)
{
    p->items = arena_grow(&p->arena, p->items, p->n, sizeof *p->items);
    p->items[p->n] = *probe;
    baseline_find(p->ctx, &p->items[p->n]);
    return &p->items[p->n++];
}

int prober_open(struct step_ctx *ctx, const char *service, struct prober **ret, struct error *err)
{
    struct prober *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    p->ctx = ctx;
    p->service = arena_strdup(&p->arena, service);
    for (size_t i = 0; ctx->manifest && i < ctx->manifest->release.n_checks; i++) {
        const struct health_check *check = &ctx->manifest->release.checks[i];
        if (strcmp(check->service, service) == 0)
            add(p, &(struct probe){.check = check,
                                   .label = check->label,
                                   .key = arena_printf(&p->arena, BASELINE_CHECK_KEY, i)});
    }
    if (p->n && checker_open(&p->checker, err) < 0) {
        prober_close(p);
        return -1;
    }
    *ret = p;
    return 0;
}

void prober_close(struct prober *prober)
{
    if (!prober)
        return;
    checker_close(prober->checker);
    arena_release(&prober->arena);
    free(prober);
}

struct probe *prober_add_healthcheck(struct prober *p)
{
    return add(p, &(struct probe){.label = arena_printf(&p->arena, "%s healthcheck", p->service),
                                  .key = arena_printf(&p->arena, "healthcheck %s", p->service)});
}

/* ---- asking ---- */

/* What the relay says of a connection that it could not make, and that is not the target's doing. */
static void judge_failure(unsigned port, const char *why, struct check_result *ret)
{
    cleanup_arena struct arena arena = {0};
    /* an engine that goes down first drops what it carries, then does not answer */
    ret->away =
        str_starts(why, "the engine does not answer") || str_starts(why, "the engine closed the connection");
    /* "ADDRESS:PORT: why" is about who listens there; all else about names, the relay, the engine */
    bool target = strstr(why, arena_printf(&arena, ":%u: ", port)) ||
                  str_starts(why, "no connection in time") || str_starts(why, "given up by the client");
    ret->unasked = !target;
    snprintf(ret->text, sizeof ret->text, "%s%.230s", ret->away ? "" : "no answer: ", why);
}

struct connection {
    struct relay *relay;
    const char *socket;
};

static bool opened(void *userdata)
{
    const struct connection *connection = userdata;
    proc_alive();
    return relay_opened(connection->relay, connection->socket);
}

/* http and tcp: through the relay. */
static void ask_task(struct prober *p, const struct health_check *check, const json_t *task,
                     struct check_result *ret)
{
    struct step_ctx *ctx = p->ctx;
    struct relay *relay;
    struct error err = {0};
    const char *socket;
    *ret = (struct check_result){0};
    int r = task ? step_task_socket(ctx, task, check->port, &socket, &err) : step_relay(ctx, &relay, &err);
    if (r == 0 && !task)
        r = relay_target(relay, check->host, check->port, &socket, &err);
    if (r < 0) {
        ret->unasked = true;
        snprintf(ret->text, sizeof ret->text, "%.250s", err.text);
        return;
    }
    if (check->kind == CHECK_TCP)
        check_tcp(socket, check->timeout_us, opened, &(struct connection){ctx->relay, socket}, ret);
    else
        checker_ask(p->checker, check, socket, ret);
    /* no answer: the relay knows better than the closed socket why */
    const char *why = ret->passed || ret->status || !ctx->relay ? NULL : relay_failure(ctx->relay, socket);
    if (why)
        judge_failure(check->port, why, ret);
}

void probe_database_silent(struct step_ctx *ctx, const struct step_database *db, const char *folder,
                           const struct error *err, struct check_result *ret)
{
    cleanup_arena struct arena arena = {0};
    const char *socket = arena_printf(&arena, "%s/.s.PGSQL.%u", folder ? folder : "", db->url.port);
    const char *why = folder && ctx->relay ? relay_failure(ctx->relay, socket) : NULL;
    snprintf(ret->text, sizeof ret->text, "%.250s", err->text);
    ret->unasked = err->kind == ERR_CANCELLED || strstr(err->text, "could not translate host name");
    if (why)
        judge_failure(db->url.port, why, ret);
}

bool probe_database_find(struct step_ctx *ctx, struct arena *arena, struct step_database *ret_db,
                         const char **ret_folder, struct check_result *ret)
{
    const struct release *release = &ctx->manifest->release;
    const char *key = release->database_service;
    struct error err = {0};
    *ret = (struct check_result){0};
    if (step_database_open(ctx, key ? stack_service(ctx->manifest->stack, key)->name : NULL,
                           release_direct_url(release), ret_db, &err) == 0 &&
        step_database_find(ret_db, arena, ret_folder, &err) == 0)
        return true;
    /* without a task there is no database; all else is on our side */
    ret->unasked = !str_starts(err.text, "no task of service");
    snprintf(ret->text, sizeof ret->text, "%.250s", err.text);
    return false;
}

static void ask_database(struct prober *p, const struct health_check *check, struct check_result *ret)
{
    cleanup_arena struct arena arena = {0};
    struct step_ctx *ctx = p->ctx;
    const char *folder;
    struct step_database db;
    struct error err = {0};
    if (!probe_database_find(ctx, &arena, &db, &folder, ret))
        return;
    const char *name = arena_printf(&arena, "deploy-agent/%s/check", ctx->stack->name);
    if (pg_truth(&db.url, folder, name, check->timeout_us, check->sql, &ret->passed, ret->text,
                 sizeof ret->text, &err) < 0)
        probe_database_silent(ctx, &db, folder, &err, ret);
}

static void ask(struct prober *p, const struct health_check *check, const json_t *task,
                struct check_result *ret)
{
    switch (check->kind) {
    case CHECK_HTTP:
    case CHECK_TCP:
        ask_task(p, check, task, ret);
        break;
    case CHECK_SQL:
        ask_database(p, check, ret);
        break;
    case CHECK_COMMAND:
        job_check(p->ctx, check, (size_t)(check - p->ctx->manifest->release.checks), ret);
        break;
    }
}

/* One check, each running task by its own address: old ones may still run beside them. Of several, the one
 * that fails is the news. */
static struct check_result ask_all(struct prober *p, const struct health_check *check,
                                   const struct tasks_judgement *tasks)
{
    struct check_result all = {.passed = true}, one;
    int64_t slowest_us = 0;
    if (strcmp(check->host, p->service) != 0) {
        ask(p, check, NULL, &one);
        return one;
    }
    if (tasks->n_active == 0) /* all have ended, as their restart policy lets them */
        return (struct check_result){.text = "no task runs that could be asked"};
    for (size_t t = 0; t < tasks->n_active; t++) {
        ask(p, check, tasks->active[t], &one);
        if (one.away)
            return one;
        slowest_us = one.took_us > slowest_us ? one.took_us : slowest_us;
        bool failed = !one.passed && !one.unasked, told = !all.passed && !all.unasked;
        if (!told && (failed || one.unasked || all.passed))
            all = one;
    }
    all.took_us = slowest_us;
    return all;
}

enum probe_answer check_answer(const struct check_result *result)
{
    return result->passed ? PROBE_PASS : result->unasked ? PROBE_NOT_ASKED : PROBE_FAIL;
}

bool prober_round(struct prober *p, const struct tasks_judgement *tasks, const char **ret_why)
{
    for (size_t i = 0; i < p->n; i++) {
        struct probe *probe = &p->items[i];
        if (!probe->check)
            continue;
        struct check_result result = ask_all(p, probe->check, tasks);
        if (result.away) {
            *ret_why = arena_strdup(p->ctx->arena, result.text);
            return false;
        }
        probe_note(&probe->now, check_answer(&result));
        if (result.passed && result.took_us > 0)
            latency_note(&probe->latency, (unsigned)(result.took_us / 1000));
        snprintf(probe->last, sizeof probe->last, "%s", result.text);
    }
    return true;
}

void prober_interrupt(struct prober *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->items[i].now.passes = p->items[i].now.unasked = 0;
}

/* ---- words ---- */

const struct probe *prober_failing(const struct prober *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].now.failures > 0 || p->items[i].now.unasked > 0)
            return &p->items[i];
    return NULL;
}

const char *prober_words(struct prober *p, const struct probe *probe)
{
    return probe_words(&p->arena, probe->label, probe->before, probe->last_before, &probe->now, probe->last);
}

static json_t *counted(struct probe_count count, const char *last)
{
    return json_pack("{s:i, s:i, s:s?}", "passed", (int)count.passed, "asked", (int)count.asked, "last",
                     last);
}

int prober_regressed(struct prober *p, const struct probe *probe, struct error *err)
{
    struct step_ctx *ctx = p->ctx;
    json_decref(ctx->regressed);
    ctx->regressed = json_pack("{s:s, s:s, s:o}", "check", probe->label, "service", p->service, "now",
                               counted(probe_now(probe->before, &probe->now), probe->last));
    if (probe->before.asked > 0)
        json_object_set_new(ctx->regressed, "before", counted(probe->before, probe->last_before));
    return error_set(err, ERR_FAILED, 0, "%s", prober_words(p, probe));
}

int prober_inconclusive(const struct probe *probe, const char *left, struct error *err)
{
    return error_set(err, ERR_FAILED, 0, "%.500s could not be asked %u times in a row (%s): inconclusive; %s",
                     probe->label, probe->now.unasked, probe->last, left);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agentd/http.h"
#include "agentd/manager.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/*
 * What /health/database says. `agent-worker health STACK` asks the database and prints what it has found as
 * one object: "database" (connected, disconnected, none) and the lists. The verdict is made here, and while
 * the database cannot be asked, the lists of the last good answer stay, flagged as stale.
 */

static const int64_t fresh_us = 5 * US_PER_S;
static const int64_t ask_timeout_us = 8 * US_PER_S;

struct health {
    struct worker *worker;
    int64_t known_us; /* monotonic; 0: never */
    unsigned status;
    char *body;
    json_t *good;  /* the last answer of a connected database */
    char *trouble; /* the last one logged; NULL: none */
};

enum { STATUS_OK = 200, STATUS_NOT_FOUND = 404, STATUS_UNAVAILABLE = 503 };

bool health_is_asked(const struct watch *watch)
{
    return watch->health && watch->health->worker;
}

void health_free(struct watch *watch)
{
    struct health *h = TAKE(watch->health);
    if (!h)
        return;
    free(h->body);
    free(h->trouble);
    json_decref(h->good);
    free(h);
}

/* ---- the verdict ---- */

static const char *const lists[] = {"ahead",           "missing_files",  "modified", "failed",
                                    "invalid_indexes", "missing_tables", "running"};

static bool is_empty(const json_t *object, const char *key)
{
    return json_array_size(json_object_get(object, key)) == 0;
}

static json_t *list_of(const json_t *object, const char *key)
{
    json_t *list = json_object_get(object, key);
    return json_is_array(list) ? json_incref(list) : json_array();
}

static json_t *migrations_of(const json_t *answer)
{
    const json_t *m = json_object_get(answer, "migrations");
    json_t *latest = json_object_get(m, "latest");
    return json_pack("{s:o, s:o, s:o}", "applied", list_of(m, "applied"), "latest",
                     latest ? json_incref(latest) : json_null(), "pending", list_of(m, "pending"));
}

static bool is_well(const json_t *answer)
{
    return is_empty(json_object_get(answer, "migrations"), "pending") && is_empty(answer, "failed") &&
           is_empty(answer, "missing_tables");
}

/* connected: `answer` is of now. Else it is the last good one, or NULL. */
static json_t *make_body(const json_t *answer, bool connected)
{
    cleanup_arena struct arena arena = {0};
    const char *now = rfc3339_utc(&arena, wall_us()),
               *then = json_string_value(json_object_get(answer, "checked_at"));
    json_t *body =
        json_pack("{s:s, s:s, s:o}", "status", connected && is_well(answer) ? "healthy" : "unhealthy",
                  "database", connected ? "connected" : "disconnected", "migrations", migrations_of(answer));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        json_object_set_new(body, lists[i], list_of(answer, lists[i]));
    if (!connected && answer)
        json_object_set_new(body, "stale", json_true());
    json_object_set_new(body, "checked_at", json_string(connected || !then ? now : then));
    return body;
}

static void settle(struct watch *w, unsigned status, json_t *body)
{
    struct health *h = w->health;
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (!text)
        abort();
    free(h->body);
    h->body = text;
    h->status = status;
    h->known_us = mono_us();
}

static void settle_connected(struct watch *w, const json_t *answer)
{
    struct health *h = w->health;
    json_t *body = make_body(answer, true);
    json_decref(h->good);
    h->good = json_incref(body); /* with the time it is of */
    settle(w, is_well(answer) ? STATUS_OK : STATUS_UNAVAILABLE, body);
}

static void settle_disconnected(struct watch *w)
{
    settle(w, STATUS_UNAVAILABLE, make_body(w->health->good, false));
}

/* ---- asking ---- */

/* Said once, and that it is over: whoever polls this endpoint must not fill the journal, and one outage has
   several reasons, one after the other. */
static void say(struct watch *w, const char *trouble)
{
    struct health *h = w->health;
    if (str_eq(trouble, h->trouble))
        return;
    log_watch(w);
    if (trouble && h->trouble)
        log_debug("the health of the database is still not known: %s", trouble);
    else if (trouble)
        log_warning("the health of the database is not known: %s", trouble);
    else
        log_notice("the database can be asked again");
    log_watch(NULL);
    set_text(&h->trouble, trouble);
}

static const char *trouble_of(struct arena *arena, const struct worker *worker)
{
    const struct str *words = &worker->err.text;
    const char *end = worker->exit_code == 0 ? "disconnected" : worker_end_text(arena, worker);
    if (!words->len)
        return end;
    return str_clean(arena, str_text(words), words->len, true, 400);
}

static void on_answer(struct worker *worker)
{
    cleanup_arena struct arena arena = {0};
    struct watch *w = worker->watch;
    cleanup_json json_t *answer = json_loadb(str_text(&worker->out.text), worker->out.text.len, 0, NULL);
    const char *database = json_string_value(json_object_get(answer, "database"));
    w->health->worker = NULL;
    if (worker->exit_code == 0 && str_eq(database, "connected")) {
        settle_connected(w, answer);
        say(w, NULL);
    } else if (worker->exit_code == 0 && str_eq(database, "none")) {
        settle(w, STATUS_NOT_FOUND, json_pack("{s:s}", "error", "the stack has no database"));
        say(w, NULL);
    } else {
        settle_disconnected(w);
        say(w, trouble_of(&arena, worker));
    }
    http_wake(w);
}

static int ask(struct watch *w, struct error *err)
{
    const char *arguments[] = {"health", w->name, NULL};
    const struct worker_options options = {.kind = WORKER_HEALTH,
                                           .watch = w,
                                           .arguments = arguments,
                                           .timeout_us = ask_timeout_us,
                                           .ended = on_answer};
    if (w->manager->stopping)
        return error_set(err, ERR_UNAVAILABLE, 0, "agentd is stopping");
    return worker_start(w->manager, &options, &w->health->worker, err);
}

bool health_database(struct watch *w, unsigned *ret_status, const char **ret_body)
{
    struct error err = {0};
    if (!w->health && !(w->health = calloc(1, sizeof *w->health)))
        abort();
    struct health *h = w->health;
    if (h->worker)
        return false;
    if (!h->known_us || mono_us() - h->known_us > fresh_us) {
        if (ask(w, &err) == 0)
            return false;
        settle_disconnected(w);
        if (!w->manager->stopping)
            say(w, err.text);
    }
    *ret_status = h->status;
    *ret_body = h->body;
    return true;
}

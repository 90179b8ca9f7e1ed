/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"

enum { OLDEST_VERSION = 110000, WARNINGS_MAX = 100 };
static const int64_t connect_timeout_us = 5 * US_PER_S, default_lock_timeout_us = 5 * US_PER_S;
/* For a server that restarts after a crash of one of its processes. */
static const int64_t reconnect_patience_us = 60 * US_PER_S;

/* ---- settings ---- */

struct setting {
    const char *name, *value;
    bool newer; /* since 14, and not on every system */
};

static size_t settings(const struct session *s, struct arena *arena, struct setting ret[16])
{
    const struct migrate_step *step = s->step;
    int64_t left_ms = (s->deadline_us - mono_us()) / 1000;
    size_t n = 0;
    int64_t lock_us = step && step->lock_timeout_us ? step->lock_timeout_us : default_lock_timeout_us;
    ret[n++] =
        (struct setting){"lock_timeout", arena_printf(arena, "%lldms", (long long)(lock_us / 1000)), false};
    /* we cancel at the deadline; this is for a server that we do not reach any more */
    ret[n++] = (struct setting){"statement_timeout", arena_printf(arena, "%lldms", (long long)left_ms + 5000),
                                false};
    ret[n++] = (struct setting){"idle_in_transaction_session_timeout", "60s", false};
    ret[n++] = (struct setting){"standard_conforming_strings", "on", false};
    ret[n++] = (struct setting){"quote_all_identifiers", "off", false}; /* names are compared */
    ret[n++] = (struct setting){"tcp_keepalives_idle", "10", false};
    ret[n++] = (struct setting){"tcp_keepalives_interval", "5", false};
    ret[n++] = (struct setting){"tcp_keepalives_count", "3", false};
    if (s->target->reads)
        ret[n++] = (struct setting){"default_transaction_read_only", "on", false};
    if (step && step->schema) {
        cleanup_str struct str path = {0};
        str_append_char(&path, '"');
        for (const char *p = step->schema; *p; p++)
            str_printf(&path, *p == '"' ? "\"\"" : "%c", *p);
        str_append(&path, "\",public");
        ret[n++] = (struct setting){"search_path", arena_strdup(arena, str_text(&path)), false};
    }
    ret[n++] = (struct setting){"idle_session_timeout", "0", true};
    ret[n++] = (struct setting){"client_connection_check_interval", "2s", true};
    return n;
}

/* For the login's `options`: blanks and backslashes are written with a backslash. */
static const char *as_options(const struct session *s, bool with_newer)
{
    struct setting list[16];
    cleanup_str struct str text = {0};
    size_t n = settings(s, s->arena, list);
    for (size_t i = 0; i < n; i++) {
        if (list[i].newer && !with_newer)
            continue;
        str_printf(&text, "-c %s=", list[i].name);
        for (const char *p = list[i].value; *p; p++) {
            if (*p == ' ' || *p == '\\')
                str_append_char(&text, '\\');
            str_append_char(&text, *p);
        }
        str_append_char(&text, ' ');
    }
    return arena_strdup(s->arena, str_text(&text));
}

/* Where the login takes no options: again after each RESET ALL. */
static const char *as_statements(const struct session *s, struct arena *arena)
{
    struct setting list[16];
    cleanup_str struct str text = {0};
    if (s->options_kept)
        return "";
    size_t n = settings(s, arena, list);
    for (size_t i = 0; i < n; i++) {
        if (list[i].newer && s->version < 140000)
            continue;
        bool is_path = str_eq(list[i].name, "search_path");
        str_printf(&text, "SET %s = %s; ", list[i].name,
                   is_path ? list[i].value : pg_literal(arena, &s->conn, list[i].value));
    }
    return arena_strdup(arena, str_text(&text));
}

/* ---- login ---- */

static int stop_hook(void *userdata, struct error *err)
{
    const struct session *s = userdata;
    /* who has no hook waits for as long as the server likes, all the same */
    return s->step && s->step->should_stop ? s->step->should_stop(s->step->userdata, err)
                                           : proc_heed_stop(NULL, err);
}

static bool tick_hook(void *userdata, int64_t elapsed_us)
{
    return session_observe(userdata, elapsed_us);
}

static void notice_hook(void *userdata, const char *severity, const char *text)
{
    cleanup_arena struct arena arena = {0}; /* a file may send millions of them */
    if (str_eq(severity, "WARNING"))
        session_warn(userdata, "PostgreSQL warns: %s", text);
    else
        log_debug("PostgreSQL: %s: %s", severity, pg_mask(&arena, text, 400));
}

void session_warn(struct session *s, const char *format, ...)
{
    va_list ap;
    if (s->n_warnings >= WARNINGS_MAX)
        return;
    if (!s->warnings)
        s->warnings = arena_array(s->arena, WARNINGS_MAX + 1, sizeof *s->warnings);
    va_start(ap, format);
    const char *text = arena_vprintf(s->arena, format, ap);
    va_end(ap);
    s->warnings[s->n_warnings++] = pg_mask(s->arena, text, 1000);
}

void session_waiting(struct session *s, const char *text)
{
    if (s->step && s->step->waiting)
        s->step->waiting(s->step->userdata, text);
}

/* 08P01, a parameter that is not known: what poolers say to options, older servers to newer settings. */
static bool refuses_options(const struct session *s)
{
    static const char *const states[] = {"08P01", "42704", "22023"};
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (str_eq(s->conn.refused, states[i]))
            return true;
    return false;
}

static int log_in(struct session *s, struct error *err)
{
    const struct migrate_target *t = s->target;
    const char *folder = NULL;
    if (t->find && t->find(t->userdata, s->arena, &folder, err) < 0)
        return -1;
    struct pg_conn_options o = {.url = t->url,
                                .folder = folder,
                                .application_name = t->application_name,
                                .timeout_us = connect_timeout_us};
    const char *const tries[] = {as_options(s, true), as_options(s, false), NULL};
    for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
        o.options = tries[i];
        s->options_kept = tries[i] != NULL;
        if (pg_conn_open(&s->conn, s->arena, &o, err) == 0)
            return 0;
        if (!refuses_options(s))
            return -1;
    }
    return -1;
}

static int look_around(struct session *s, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    s->version = PQserverVersion(s->conn.pg);
    if (s->version < OLDEST_VERSION)
        return error_set(err, ERR_REFUSED, 0, "this PostgreSQL is too old: 11 or newer is needed");
    if (PG_ASK(&s->conn, "asking PostgreSQL about itself", &r, err,
               "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(), "
               "pg_catalog.current_setting('transaction_read_only'), "
               "session_user, pg_catalog.current_schema(), $1::text IS NULL OR EXISTS (SELECT FROM "
               "pg_catalog.pg_namespace WHERE nspname = $1), (SELECT oid FROM pg_catalog.pg_database WHERE "
               "datname = "
               "pg_catalog.current_database())",
               s->step ? s->step->schema : NULL) < 0)
        return -1;
    s->backend_pid = (int)strtol(PQgetvalue(r, 0, 0), NULL, 10);
    if (!s->target->reads && pg_refuse_reader(PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2), err) < 0)
        return -1;
    if (strcmp(PQgetvalue(r, 0, 5), "t") != 0)
        return error_set(err, ERR_NOT_FOUND, 0, "schema %s does not exist", s->step->schema);
    s->user = arena_strdup(s->arena, PQgetvalue(r, 0, 3));
    s->schema = PQgetisnull(r, 0, 4) ? NULL : arena_strdup(s->arena, PQgetvalue(r, 0, 4));
    return 0;
}

/* A pooler hands out a key of its own for cancelling: session state and locks would go to whoever comes next.
 */
static int refuse_pooler(struct session *s, struct error *err)
{
    if (s->target->session_pooler || (PQbackendPID(s->conn.pg) == s->backend_pid && s->options_kept))
        return 0;
    return error_set(err, ERR_REFUSED, 0,
                     "this URL leads to a connection pooler, which loses locks and settings between "
                     "transactions: give the direct one as x-release.database.migrate_url_from (or state "
                     "pooler: session when it keeps sessions)");
}

static int greet(struct session *s, struct error *err)
{
    struct arena *arena = s->arena;
    if (look_around(s, err) < 0 || refuse_pooler(s, err) < 0)
        return -1;
    if (s->options_kept)
        return 0;
    return pg_ask(&s->conn, "setting up the session", NULL, err, as_statements(s, arena), 0, NULL);
}

int session_open(struct session *s, int64_t patience_us, struct error *err)
{
    int64_t until = mono_us() + patience_us, pause = US_PER_S / 4;
    s->conn = (struct pg_conn){.deadline_us = s->deadline_us,
                               .should_stop = stop_hook,
                               .tick = s->step ? tick_hook : NULL,
                               .notice = notice_hook,
                               .userdata = s};
    for (;; pause = pause * 2 < 2 * US_PER_S ? pause * 2 : 2 * US_PER_S) {
        struct error why = {0}, stopped = {0};
        if (log_in(s, &why) == 0 && greet(s, &why) == 0) {
            session_waiting(s, NULL);
            return 0;
        }
        pg_conn_close(&s->conn);
        if (why.kind != ERR_UNAVAILABLE || mono_us() + pause >= until) {
            *err = why;
            return error_wrap(err, "database");
        }
        session_waiting(s, why.text);
        if (pg_pause(&s->conn, pause, &stopped) < 0) {
            *err = stopped.kind == ERR_TIMEOUT ? why : stopped;
            return error_wrap(err, "database");
        }
    }
}

int session_again(struct session *s, struct error *err)
{
    s->stale_pid = s->backend_pid;
    s->locked = false;
    s->relogged = true;
    observer_close(s);
    pg_conn_close(&s->conn);
    return session_open(s, reconnect_patience_us, err) < 0 ? -1 : lock_acquire(s, err);
}

void session_close(struct session *s)
{
    observer_close(s);
    pg_conn_close(&s->conn);
}

/* ---- between files ---- */

int session_rollback(struct session *s, struct error *err)
{
    struct pg_failure failure;
    const struct pg_call call = {.sql = "ROLLBACK", .finishing = true};
    if (!s->conn.pg || PQtransactionStatus(s->conn.pg) == PQTRANS_IDLE)
        return 0;
    if (pg_run(&s->conn, &call, NULL, &failure) == 0)
        return 0;
    pg_failure_error(&failure, err);
    return error_wrap(err, "rolling back");
}

int session_reset(struct session *s, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct pg_failure failure;
    struct pg_result result;
    if (session_rollback(s, err) < 0)
        return -1;
    const char *sql =
        arena_printf(&arena,
                     "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; DEALLOCATE "
                     "ALL; DISCARD TEMP; DISCARD SEQUENCES; %s%s",
                     as_statements(s, &arena), lock_ours_sql(s, &arena));
    if (pg_run(&s->conn, &(struct pg_call){.sql = sql, .finishing = true}, &result, &failure) < 0) {
        pg_failure_error(&failure, err);
        return error_wrap(err, "returning to the session's settings");
    }
    cleanup_result PGresult *r = result.res;
    if (strcmp(PQgetvalue(r, 0, 0), "t") == 0)
        return s->advisory_file ? lock_release_others(s, err) : 0;
    s->locked = false;
    return error_set(err, ERR_CONFLICT, 0,
                     "the file gave the lock of the migrations away (pg_advisory_unlock_all or DISCARD ALL): "
                     "another agent may be at work, no further file was run");
}

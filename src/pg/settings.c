/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "pg/apply.h"

/*
 * A file in several transactions may set, between them, where its tables go and who they belong to; whoever
 * goes on with it in another session has to have the same. After a COMMIT the session is asked, and the
 * values stand in the log's row, with the number of the statement behind which they held. A setting behind
 * that one (a crash came between COMMIT and question), and one that is not asked for, is run again where it
 * can be seen to be a setting.
 */

/* Whose things are, where they go, how values are read; in an order in which a superuser may set them all. */
#define KEPT                                                                                                 \
    "ARRAY['session_replication_role', 'session_authorization', 'role', 'search_path', "                     \
    "'default_tablespace', 'TimeZone', 'DateStyle', 'IntervalStyle']"

static int look(struct apply *a, struct arena *arena, const char *sql, const char **ret, struct error *err)
{
    PGresult *found = NULL;
    if (apply_own(a, "looking at the session's settings", sql, false, &found, err) < 0)
        return -1;
    cleanup_result PGresult *r = found;
    *ret = PQgetisnull(r, 0, 0) ? NULL : arena_strdup(arena, PQgetvalue(r, 0, 0));
    return 0;
}

static const char *now_sql(const struct apply *a, struct arena *arena)
{
    return arena_printf(arena,
                        "SELECT pg_catalog.json_object_agg(key, pg_catalog.current_setting(key)) FROM "
                        "pg_catalog.json_each_text(%s) WHERE key NOT IN ('session_authorization', 'role') OR "
                        "pg_catalog.current_setting(key) IS DISTINCT FROM value",
                        pg_literal(arena, &a->s->conn, a->login_settings));
}

int settings_begin(struct apply *a, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    if (look(a, a->s->arena,
             "SELECT pg_catalog.json_object_agg(key, pg_catalog.current_setting(key)) FROM "
             "pg_catalog.unnest(" KEPT ") key",
             &a->login_settings, err) < 0)
        return -1;
    return a->settings ? 0 : look(a, a->s->arena, now_sql(a, &arena), &a->settings, err);
}

static bool begins_with_word(const struct sql_statement *st, const char *word)
{
    size_t len = strlen(word);
    return st->len > len && strncasecmp(st->text, word, len) == 0 && strchr(" \t\r\n(", st->text[len]);
}

/* What it sets is a literal: a function would be called once more. */
static bool sets_literal(const struct sql_statement *st)
{
    const char *open = memchr(st->text, '(', st->len);
    return (begins_with_word(st, "SELECT set_config") ||
            begins_with_word(st, "SELECT pg_catalog.set_config")) &&
           open && !memchr(open + 1, '(', st->len - (size_t)(open + 1 - st->text));
}

static bool is_setting(const struct sql_statement *st)
{
    static const char *const local[] = {"SET LOCAL", "SET TRANSACTION", "SET CONSTRAINTS"};
    for (size_t i = 0; i < ARRAY_SIZE(local); i++)
        if (begins_with_word(st, local[i]))
            return false; /* over with its transaction */
    return begins_with_word(st, "SET") || begins_with_word(st, "RESET") || sets_literal(st);
}

bool settings_saw(struct apply *a, const struct sql_statement *st)
{
    bool sets = is_setting(st);
    a->settings_seen |= sets;
    return sets;
}

int settings_record(struct apply *a, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *now;
    /* COMMIT AND CHAIN: a query of ours would be the transaction's first */
    if (apply_state(a) != PQTRANS_IDLE || !apply_is_utf8(a))
        return 0;
    if (look(a, &arena, now_sql(a, &arena), &now, err) < 0)
        return -1;
    a->settings_at = a->done; /* the row has it with the next COMMIT; until then nothing behind it is lost */
    if (str_eq(now, a->settings) && !a->settings_seen)
        return 0;
    const char *sql = arena_printf(
        &arena,
        SESSION_BEGIN SESSION_OURS ONE_ROW(
            "UPDATE %s SET settings = %s, settings_at = %u WHERE id = %lld RETURNING 1") "COMMIT",
        a->s->books.log_sql, pg_literal(&arena, &a->s->conn, now), a->settings_at, (long long)a->log_id);
    if (apply_own(a, "recording the session's settings", sql, true, NULL, err) < 0)
        return -1;
    a->settings = arena_strdup(a->s->arena, now);
    a->settings_seen = false;
    return 0;
}

/* ---- in another session ---- */

static int set_recorded(struct apply *a, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *sql = arena_printf(
        &arena,
        "SELECT pg_catalog.set_config(key, value, false) FROM (SELECT key, n, coalesce(%s::json ->> key, "
        "%s::json "
        "->> key) AS value FROM pg_catalog.unnest(" KEPT ") WITH ORDINALITY k (key, n)) v WHERE "
        "pg_catalog.current_setting(key) IS DISTINCT FROM value ORDER BY n",
        pg_literal(&arena, &a->s->conn, a->settings), pg_literal(&arena, &a->s->conn, a->login_settings));
    return apply_own(a, "setting what the done statements have set", sql, false, NULL, err);
}

/* A role, say, may be gone that the file set and then made no use of any more. */
static int forgive(struct apply *a, const struct error *why, struct error *err)
{
    if (a->failure.cause != PG_SERVER || !a->s->conn.pg) {
        *err = *why;
        return -1;
    }
    if (!pg_failure_is(&a->failure, "25P02"))
        session_warn(a->s, "a setting of a done statement could not be made again: %s", why->text);
    return 0;
}

/* With the file's transactions around them: a SET that was rolled back stays so. */
static int run_again(struct apply *a, unsigned behind, unsigned up_to, bool forgiving, struct error *err)
{
    struct sql_lexer lexer;
    struct sql_statement st;
    int r;
    sql_lexer_init(&lexer, a->migration->file, a->text, a->len);
    while ((r = sql_next(&lexer, &st, err)) > 0 && st.number <= up_to) {
        struct error why = {0};
        bool control = st.kind == SQL_BEGIN || st.kind == SQL_COMMIT || st.kind == SQL_ROLLBACK;
        if (st.number <= behind || (!settings_saw(a, &st) && !control) || apply_statement(a, &st, &why) == 0)
            continue;
        if (!forgiving) {
            *err = why;
            return -1;
        }
        if (forgive(a, &why, err) < 0)
            return -1;
    }
    return r < 0 ? -1 : 0;
}

int settings_restore(struct apply *a, struct error *err)
{
    if (run_again(a, 0, a->settings_at, true, err) < 0 || session_rollback(a->s, err) < 0 ||
        set_recorded(a, err) < 0)
        return -1;
    a->settings_seen = false;
    return run_again(a, a->settings_at, a->done, false, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "pg/apply.h"

/*
 * A file in several transactions may set, between them, where its tables go and who they belong to; whoever
 * goes on with it in another session has to have the same. After a COMMIT the session is asked, and what is
 * not as the login has it stands in the log's row, with the number of the statement behind which that held.
 * What can be seen to be a setting behind that one (a crash came between COMMIT and question) is run again.
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

int settings_begin(struct apply *a, struct error *err)
{
    if (a->login_settings)
        return 0;
    return look(a, a->s->arena,
                "SELECT pg_catalog.json_object_agg(key, pg_catalog.current_setting(key)) FROM "
                "pg_catalog.unnest(" KEPT ") key",
                &a->login_settings, err);
}

static bool begins_with_word(const struct sql_statement *st, const char *word)
{
    size_t len = strlen(word);
    return st->len > len && strncasecmp(st->text, word, len) == 0 && strchr(" \t\r\n(", st->text[len]);
}

static bool is_setting(const struct sql_statement *st)
{
    return begins_with_word(st, "SET") || begins_with_word(st, "RESET") ||
           begins_with_word(st, "SELECT set_config") || begins_with_word(st, "SELECT pg_catalog.set_config");
}

void settings_saw(struct apply *a, const struct sql_statement *st)
{
    a->settings_seen |= is_setting(st);
}

int settings_record(struct apply *a, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *now;
    if (apply_state(a) !=
        PQTRANS_IDLE) /* COMMIT AND CHAIN: a query of ours would be the transaction's first */
        return 0;
    const char *sql = arena_printf(
        &arena,
        "SELECT pg_catalog.json_object_agg(key, pg_catalog.current_setting(key)) FROM "
        "pg_catalog.json_each_text(%s) WHERE pg_catalog.current_setting(key) IS DISTINCT FROM value",
        pg_literal(&arena, &a->s->conn, a->login_settings));
    if (look(a, &arena, sql, &now, err) < 0)
        return -1;
    bool same = now ? str_eq(now, a->settings) : !a->settings;
    a->settings_at = a->done; /* the row has it with the next COMMIT; until then nothing behind it is lost */
    if (same && !a->settings_seen)
        return 0;
    sql = arena_printf(
        &arena,
        SESSION_BEGIN SESSION_OURS ONE_ROW(
            "UPDATE %s SET settings = %s, settings_at = %u WHERE id = %lld RETURNING 1") "COMMIT",
        a->s->books.log_sql, pg_literal(&arena, &a->s->conn, now), a->settings_at, (long long)a->log_id);
    if (apply_own(a, "recording the session's settings", sql, true, NULL, err) < 0)
        return -1;
    a->settings = now ? arena_strdup(a->s->arena, now) : NULL;
    a->settings_seen = false;
    return 0;
}

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

/* With the file's transactions around them, a SET that was rolled back stays so, and SET LOCAL stays local.
 */
int settings_restore(struct apply *a, struct error *err)
{
    struct sql_lexer lexer;
    struct sql_statement st;
    int r;
    if (set_recorded(a, err) < 0)
        return -1;
    sql_lexer_init(&lexer, a->migration->file, a->text, a->len);
    while ((r = sql_next(&lexer, &st, err)) > 0 && st.number <= a->done) {
        bool control = st.kind == SQL_BEGIN || st.kind == SQL_COMMIT || st.kind == SQL_ROLLBACK;
        if (st.number <= a->settings_at || (!control && !is_setting(&st)))
            continue;
        settings_saw(a, &st);
        if (apply_statement(a, &st, err) < 0)
            return -1;
    }
    return r < 0 ? -1 : 0;
}

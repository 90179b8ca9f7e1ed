/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Output of steps, capped: the head stays, the tail is the newest, the middle goes. Pieces are rows of
 * step_output: those of the head are numbered from 0, those of the tail from TAIL_FIRST, so an append inserts
 * one piece and deletes the oldest of the tail, whatever the size of the whole. Small pieces are joined.
 */

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/str.h"
#include "journal/db.h"

enum {
    OUTPUT_MAX = 1 << 20,
    HEAD_MAX = 256 << 10,
    NOTE_MAX = 128, /* room for the line that says what is missing */
    TAIL_MAX = OUTPUT_MAX - HEAD_MAX - NOTE_MAX,
    PIECE_MAX = 64 << 10,
    JOIN_MAX = 16 << 10, /* a small append rewrites at most this much */
    TAIL_FIRST = 1 << 20,
};

struct output {
    int64_t id;
    unsigned seq;
    int64_t head, tail, dropped; /* bytes */
    int64_t last, last_len;      /* newest piece; -1: none */
};

static int load(struct journal *j, struct output *o, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err,
                 "SELECT output_head, output_tail, output_dropped, coalesce(part, -1), length(data) FROM step"
                 " LEFT JOIN step_output USING (deployment, seq)"
                 " WHERE deployment = ? AND seq = ? ORDER BY part DESC LIMIT 1",
                 V_INT(o->id), V_INT(o->seq));
    int r = db_next(j, q, err);
    if (r < 0)
        return -1;
    if (r == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the journal has no step %u of deployment %lld", o->seq,
                         (long long)o->id);
    o->head = col_int(q, 0);
    o->tail = col_int(q, 1);
    o->dropped = col_int(q, 2);
    o->last = col_int(q, 3);
    o->last_len = col_int(q, 4);
    return 0;
}

static int store(struct journal *j, const struct output *o, struct error *err)
{
    return db_run(j, err,
                  "UPDATE step SET output_head = ?3, output_tail = ?4, output_dropped = ?5 WHERE deployment "
                  "= ?1 AND seq = ?2",
                  V_INT(o->id), V_INT(o->seq), V_INT(o->head), V_INT(o->tail), V_INT(o->dropped));
}

static int add_pieces(struct journal *j, struct output *o, int64_t first, const char *text, size_t len,
                      struct error *err)
{
    while (len) {
        size_t n = len < PIECE_MAX ? len : PIECE_MAX;
        int r;
        if (o->last >= first && o->last_len + (int64_t)n <= JOIN_MAX) {
            r = db_run(j, err,
                       "UPDATE step_output SET data = CAST(data || ?4 AS BLOB)"
                       " WHERE deployment = ?1 AND seq = ?2 AND part = ?3",
                       V_INT(o->id), V_INT(o->seq), V_INT(o->last), V_BLOB(text, n));
            o->last_len += (int64_t)n;
        } else {
            o->last = o->last < first ? first : o->last + 1;
            o->last_len = (int64_t)n;
            r = db_run(j, err, "INSERT INTO step_output (deployment, seq, part, data) VALUES (?, ?, ?, ?)",
                       V_INT(o->id), V_INT(o->seq), V_INT(o->last), V_BLOB(text, n));
        }
        if (r < 0)
            return -1;
        text += n;
        len -= n;
    }
    return 0;
}

/* *ret_len 0: the tail fits. */
static int oldest_of_tail(struct journal *j, const struct output *o, int64_t *ret_part, int64_t *ret_len,
                          struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err,
                 "SELECT part, length(data) FROM step_output"
                 " WHERE deployment = ? AND seq = ? AND part >= ? ORDER BY part LIMIT 1",
                 V_INT(o->id), V_INT(o->seq), V_INT(TAIL_FIRST));
    int r = db_next(j, q, err);
    *ret_part = r > 0 ? col_int(q, 0) : 0;
    *ret_len = r > 0 ? col_int(q, 1) : 0;
    return r < 0 ? -1 : 0;
}

static int drop_oldest(struct journal *j, struct output *o, struct error *err)
{
    while (o->tail > TAIL_MAX) {
        int64_t part, len;
        if (oldest_of_tail(j, o, &part, &len, err) < 0)
            return -1;
        if (len == 0)
            return error_set(err, ERR_INTERNAL, 0, "the journal's output of step %u is miscounted", o->seq);
        if (db_run(j, err, "DELETE FROM step_output WHERE deployment = ? AND seq = ? AND part = ?",
                   V_INT(o->id), V_INT(o->seq), V_INT(part)) < 0)
            return -1;
        o->tail -= len;
        o->dropped += len;
    }
    return 0;
}

static int append(struct journal *j, int64_t id, unsigned seq, const char *text, size_t len,
                  struct error *err)
{
    struct output o = {.id = id, .seq = seq};
    if (load(j, &o, err) < 0)
        return -1;
    size_t room = (size_t)(HEAD_MAX - o.head), to_head = len < room ? len : room;
    if (add_pieces(j, &o, 0, text, to_head, err) < 0)
        return -1;
    o.head += (int64_t)to_head;
    text += to_head;
    len -= to_head;
    if (len > TAIL_MAX) { /* the rest of it would only be written to be dropped */
        size_t excess = len - TAIL_MAX;
        o.dropped += (int64_t)excess;
        text += excess;
        len = TAIL_MAX;
    }
    o.tail += (int64_t)len;
    if (add_pieces(j, &o, TAIL_FIRST, text, len, err) < 0 || drop_oldest(j, &o, err) < 0)
        return -1;
    return store(j, &o, err);
}

int journal_step_append_output(struct journal *journal, int64_t id, unsigned seq, const char *text,
                               size_t len, struct error *err)
{
    struct arena arena = {0};
    if (len == 0)
        return 0;
    char *copy = memcpy(arena_alloc(&arena, len + 1), text, len);
    for (char *nul = copy; (nul = memchr(nul, '\0', (size_t)(copy + len - nul)));)
        *nul = ' ';
    const char *safe = secret_redact(&arena, copy);
    int r = db_begin(journal, err);
    if (r == 0)
        r = append(journal, id, seq, safe, strlen(safe), err) < 0 ? db_rollback(journal)
                                                                  : db_commit(journal, err);
    arena_release(&arena);
    return r;
}

/* ---- reading ---- */

/* The newest `max` bytes of clean text, from a character's start. */
static const char *last_bytes(const char *text, size_t max)
{
    size_t len = strlen(text);
    const char *p = len > max ? text + (len - max) : text;
    while ((*p & 0xc0) == 0x80)
        p++;
    return p;
}

static char *join(struct arena *arena, struct str *head, const struct str *tail, int64_t dropped)
{
    if (dropped == 0) { /* a character may lie across the two */
        str_append_n(head, str_text(tail), tail->len);
        return str_clean(arena, str_text(head), head->len, false, OUTPUT_MAX);
    }
    const char *first = str_clean(arena, str_text(head), head->len, false, HEAD_MAX);
    const char *rest = last_bytes(str_clean(arena, str_text(tail), tail->len, false, 0), TAIL_MAX);
    return arena_printf(arena, "%s\n[… %lld bytes are left out here …]\n%s", first, (long long)dropped, rest);
}

int journal_step_output_newest(struct journal *journal, struct arena *arena, int64_t id, unsigned seq,
                               size_t max, const char **ret, struct error *err)
{
    struct {
        char *data;
        size_t len;
    } *pieces = NULL;
    cleanup_str struct str text = {0};
    size_t n = 0, total = 0;
    int r = 0;
    cleanup_query sqlite3_stmt *q = db_query(
        journal, err, "SELECT data FROM step_output WHERE deployment = ? AND seq = ? ORDER BY part DESC",
        V_INT(id), V_INT(seq));
    while (total < max && (r = db_next(journal, q, err)) > 0) {
        size_t len = (size_t)sqlite3_column_bytes(q, 0);
        pieces = arena_grow(arena, pieces, n, sizeof *pieces);
        pieces[n].data = arena_strndup(arena, sqlite3_column_blob(q, 0), len);
        pieces[n++].len = len;
        total += len;
    }
    if (r < 0)
        return -1;
    while (n--)
        str_append_n(&text, pieces[n].data, pieces[n].len);
    *ret = text.len ? last_bytes(str_clean(arena, text.data, text.len, false, 0), max) : NULL;
    return 0;
}

int journal_step_output(struct journal *journal, struct arena *arena, int64_t id, unsigned seq,
                        const char **ret, struct error *err)
{
    cleanup_str struct str head = {0}, tail = {0};
    int64_t dropped = 0;
    int r;
    cleanup_query sqlite3_stmt *q = db_query(journal, err,
                                             "SELECT part, data, output_dropped FROM step_output"
                                             " JOIN step USING (deployment, seq)"
                                             " WHERE deployment = ? AND seq = ? ORDER BY part",
                                             V_INT(id), V_INT(seq));
    while ((r = db_next(journal, q, err)) > 0) {
        str_append_n(col_int(q, 0) < TAIL_FIRST ? &head : &tail, sqlite3_column_blob(q, 1),
                     (size_t)sqlite3_column_bytes(q, 1));
        dropped = col_int(q, 2);
    }
    if (r < 0)
        return -1;
    *ret = head.len ? join(arena, &head, &tail, dropped) : NULL;
    return 0;
}

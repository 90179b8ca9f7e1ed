/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/sql.h"
#include "fuzz.h"

static void promise_statement(const struct sql_statement *s, const char *text, size_t len, const char *last)
{
    const char *end = text + len;
    PROMISE(s->len && s->text >= last && s->text + s->len <= end);
    PROMISE(s->line && s->column);
    PROMISE(!s->data ||
            (s->data >= s->text + s->len && s->data + s->data_len <= end && s->data_line >= s->line));
    PROMISE(!s->data == (s->kind != SQL_COPY_IN));
    PROMISE(!s->index || (s->index_len && s->index > s->text && s->index + s->index_len <= s->text + s->len));
    PROMISE(!s->table || (s->table_len && s->table > s->text && s->table + s->table_len <= s->text + s->len));
}

/* A statement of its own, with its semicolon, is the same statement. The blank is for one that begins with
   the bytes of a BOM. */
static void promise_alone(struct arena *arena, const struct sql_statement *s)
{
    struct sql_lexer lexer;
    struct sql_statement again;
    struct error err = {0};
    char *text = arena_alloc(arena, s->len + 2);
    *text = ' ';
    memcpy(text + 1, s->text, s->len);
    text[s->len + 1] = ';';
    sql_lexer_init(&lexer, "alone.sql", text, s->len + 2);
    PROMISE(sql_next(&lexer, &again, &err) == 1);
    PROMISE(again.text == text + 1 && again.len == s->len && again.kind == s->kind);
    PROMISE(sql_next(&lexer, &again, &err) == 0);
}

/* The statements' number, and how reading ended. */
static int read_all(const char *text, size_t len, unsigned *ret_n)
{
    struct sql_lexer lexer;
    struct sql_statement s;
    struct error err = {0};
    const char *last = text;
    size_t at = 0;
    int r;
    *ret_n = 0;
    sql_lexer_init(&lexer, "f.sql", text, len);
    while ((r = sql_next(&lexer, &s, &err)) > 0) {
        cleanup_arena struct arena arena = {0};
        promise_statement(&s, text, len, last);
        promise_alone(&arena, &s);
        PROMISE(s.number == ++*ret_n && lexer.at > at && lexer.at <= len);
        at = lexer.at;
        last = s.data ? s.data + s.data_len : s.text + s.len;
    }
    if (r < 0)
        PROMISE(err.kind == ERR_INVALID && strncmp(err.text, "f.sql:", 6) == 0);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena arena = {0};
    struct sql_summary summary;
    struct error err = {0};
    char hash[SQL_HASH_SIZE];
    unsigned n;
    /* exactly these bytes: what is read behind them is found */
    char *text = malloc(size ? size : 1);
    if (size)
        memcpy(text, data, size);
    int r = read_all(text, size, &n);
    PROMISE(sql_prefix_hash("f.sql", text, size, n, hash, &err) == 0);
    if (sql_summarise(&arena, "f.sql", text, size, "016", &summary, &err) < 0) {
        promise_good_error(&err);
    } else {
        PROMISE(r == 0 && summary.n_statements == n && strcmp(summary.hash, hash) == 0);
        for (size_t i = 0; i < summary.n_lints; i++)
            PROMISE(summary.lints[i].line && summary.lints[i].rule && summary.lints[i].text);
    }
    free(text);
    return 0;
}

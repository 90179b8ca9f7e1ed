/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What src/sql sees in a file, as JSON on stdout: {"statements": [{"line", "column", "kind", "text", …}],
 * "error": text or null, "summary": {…} or the text of its error}. For tests/sql/differential, and to look
 * at.
 *
 *     lex_drive FILE [VERSION]
 */
#include <stdio.h>

#include "agent/sql.h"
#include "base/cleanup.h"
#include "base/fs.h"

static const char *const kind_names[] = {
    [SQL_OTHER] = "other",
    [SQL_BEGIN] = "begin",
    [SQL_COMMIT] = "commit",
    [SQL_ROLLBACK] = "rollback",
    [SQL_COPY_IN] = "copy_in",
    [SQL_COPY_OUT] = "copy_out",
    [SQL_CREATE_INDEX_CONCURRENTLY] = "create_index_concurrently",
    [SQL_REINDEX_CONCURRENTLY] = "reindex_concurrently",
    [SQL_AGAIN] = "again",
    [SQL_ONCE] = "once",
};

static json_t *words(const char *text, size_t len)
{
    return text ? json_stringn(text, len) : json_null();
}

static json_t *statement(const struct sql_statement *s)
{
    return json_pack("{s:i, s:i, s:i, s:s, s:b, s:o, s:o, s:i, s:o, s:o}", "number", (int)s->number, "line",
                     (int)s->line, "column", (int)s->column, "kind", kind_names[s->kind],
                     "refuses_transaction", sql_kind_refuses_transaction(s->kind), "text",
                     words(s->text, s->len), "data", words(s->data, s->data_len), "data_line",
                     (int)s->data_line, "index", words(s->index, s->index_len), "table",
                     words(s->table, s->table_len));
}

static json_t *summary(const char *file, const char *text, size_t len, const char *version)
{
    cleanup_arena struct arena arena = {0};
    struct sql_summary s;
    struct error err = {0};
    if (sql_summarise(&arena, file, text, len, version, &s, &err) < 0)
        return json_string(err.text);
    json_t *tables = json_array(), *lints = json_array();
    for (const char **table = s.tables; *table; table++)
        json_array_append_new(tables, json_string(*table));
    for (size_t i = 0; i < s.n_lints; i++)
        json_array_append_new(lints, json_pack("{s:s, s:i, s:s?, s:s?, s:s}", "rule", s.lints[i].rule, "line",
                                               (int)s.lints[i].line, "table", s.lints[i].table, "role",
                                               s.lints[i].role, "text", s.lints[i].text));
    return json_pack("{s:s, s:i, s:b, s:b, s:b, s:b, s:s, s:o, s:o}", "mode", sql_mode_name(s.mode),
                     "statements", (int)s.n_statements, "begins", s.begins, "commits", s.commits, "breaking",
                     s.breaking, "out_of_order", s.out_of_order, "hash", s.hash, "tables", tables, "lints",
                     lints);
}

int main(int argc, char **argv)
{
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct sql_lexer lexer;
    struct sql_statement s;
    char *text;
    size_t len;
    int r;
    if (argc < 2) {
        fputs("Usage: lex_drive FILE [VERSION]\n", stderr);
        return 64;
    }
    if (fs_read(&arena, argv[1], SQL_FILE_MAX, &text, &len, &err) < 0) {
        fprintf(stderr, "lex_drive: %s\n", err.text);
        return 1;
    }
    json_t *list = json_array();
    sql_lexer_init(&lexer, argv[1], text, len);
    while ((r = sql_next(&lexer, &s, &err)) > 0)
        json_array_append_new(list, statement(&s));
    cleanup_json json_t *all =
        json_pack("{s:o, s:s?, s:o}", "statements", list, "error", r < 0 ? err.text : NULL, "summary",
                  summary(argv[1], text, len, argc > 2 ? argv[2] : NULL));
    json_dumpf(all, stdout, JSON_INDENT(1));
    putchar('\n');
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How fast src/sql reads a large SQL file: statements alone, and all of sql_summarise(). The file is like a
 * dump: tables, indexes, functions, INSERT of many rows, COPY.
 *
 *     sql_lexer [MIB]     lexer 412 MB/s, summary 150 MB/s, 0 KiB more memory
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "agent/sql.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

enum { SAMPLES = 5, ROWS = 40 };

static void append_part(struct str *s, unsigned n)
{
    str_printf(
        s,
        "-- table %u of many\n"
        "CREATE TABLE IF NOT EXISTS shop.orders_%u (\n"
        "    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
        "    customer_id bigint NOT NULL REFERENCES shop.customers (id) ON DELETE CASCADE,\n"
        "    note text NOT NULL DEFAULT '', /* what they said */\n"
        "    total numeric(12, 2) NOT NULL CHECK (total >= 0)\n"
        ");\n"
        "CREATE INDEX orders_%u_customer ON shop.orders_%u (customer_id, \"note\");\n"
        "CREATE OR REPLACE FUNCTION shop.touch_%u() RETURNS trigger LANGUAGE plpgsql AS $body$\n"
        "BEGIN\n    NEW.note := coalesce(NEW.note, '') || E'\\n' || now()::text;\n    RETURN NEW;\nEND;\n"
        "$body$;\n"
        "INSERT INTO shop.orders_%u (customer_id, note, total) VALUES\n",
        n, n, n, n, n, n);
    for (unsigned i = 0; i < ROWS; i++)
        str_printf(s, "    (%u, 'it''s order %u of the customer', %u.50)%s\n", i * 7919, i, i,
                   i + 1 < ROWS ? "," : ";");
    str_printf(s, "COPY shop.orders_%u (customer_id, note, total) FROM stdin;\n", n);
    for (unsigned i = 0; i < ROWS; i++)
        str_printf(s, "%u\tthe note; of %u\t%u.25\n", i, i, i);
    str_append(s, "\\.\n");
}

static double mb_per_second(size_t bytes, int64_t us)
{
    return us ? (double)bytes / (double)us : 0;
}

static int lex(const struct str *file, unsigned *ret_count, struct error *err)
{
    struct sql_lexer lexer;
    struct sql_statement s;
    int r;
    sql_lexer_init(&lexer, "bench.sql", file->data, file->len);
    while ((r = sql_next(&lexer, &s, err)) > 0)
        *ret_count = s.number;
    return r;
}

static long memory_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int main(int argc, char **argv)
{
    cleanup_str struct str file = {0};
    struct error err = {0};
    size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) << 20;
    int64_t lexer_us = INT64_MAX, summary_us = INT64_MAX;
    unsigned count = 0;
    for (unsigned n = 0; file.len + 8192 < size; n++)
        append_part(&file, n);
    long before = memory_kib(), after_lexer = before;
    for (int i = 0; i < SAMPLES; i++) { /* the best one: others had less of the machine */
        cleanup_arena struct arena arena = {0};
        struct sql_summary summary;
        int64_t start = mono_us();
        if (lex(&file, &count, &err) < 0)
            break;
        int64_t middle = mono_us();
        after_lexer = i ? after_lexer : memory_kib();
        if (sql_summarise(&arena, "bench.sql", file.data, file.len, NULL, &summary, &err) < 0)
            break;
        int64_t end = mono_us();
        lexer_us = middle - start < lexer_us ? middle - start : lexer_us;
        summary_us = end - middle < summary_us ? end - middle : summary_us;
    }
    if (err.kind) {
        fprintf(stderr, "sql_lexer: %s\n", err.text);
        return 1;
    }
    printf("%zu bytes, %u statements: lexer %.0f MB/s, summary %.0f MB/s, %ld KiB more memory for the lexer, "
           "%ld for the summary\n",
           file.len, count, mb_per_second(file.len, lexer_us), mb_per_second(file.len, summary_us),
           after_lexer - before, memory_kib() - before);
    return 0;
}

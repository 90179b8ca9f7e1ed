/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/kind.h"

#include <string.h>

#include "base/cleanup.h"
#include "sql/match.h"

/*
 * The first row that fits decides. Which statements refuse a transaction block is in each one's page of
 * PostgreSQL's manual, and in its sources where PreventInTransactionBlock() is called. What only the server
 * can know (a partitioned table's REINDEX or CLUSTER, a subscription without a slot) is not here.
 */
#define FALSE "FALSE|OFF|0|'false'|'off'|'0'"
static const struct {
    const char *pattern;
    enum sql_kind kind;
    signed char index, table; /* which of the kept names they are, from 1 */
} kinds[] = {
    {"BEGIN", SQL_BEGIN, 0, 0},
    {"START TRANSACTION", SQL_BEGIN, 0, 0},
    {"COMMIT PREPARED", SQL_ONCE, 0, 0},
    {"COMMIT|END", SQL_COMMIT, 0, 0},
    {"ROLLBACK PREPARED", SQL_ONCE, 0, 0},
    {"ROLLBACK ?WORK|TRANSACTION TO", SQL_OTHER, 0, 0},
    {"ROLLBACK|ABORT", SQL_ROLLBACK, 0, 0},
    {"COPY ?BINARY @ ?() FROM STDIN|STDOUT", SQL_COPY_IN, 0, 0},
    {"COPY ?BINARY @ ?() TO STDIN|STDOUT", SQL_COPY_OUT, 0, 0},
    {"COPY () TO STDIN|STDOUT", SQL_COPY_OUT, 0, 0},
    {"CREATE ?UNIQUE INDEX CONCURRENTLY ?IF ?NOT ?EXISTS ON ?ONLY ?( @", SQL_CREATE_INDEX_CONCURRENTLY, 0, 1},
    {"CREATE ?UNIQUE INDEX CONCURRENTLY ?IF ?NOT ?EXISTS @ ON ?ONLY ?( @", SQL_CREATE_INDEX_CONCURRENTLY, 1,
     2},
    {"CREATE ?UNIQUE INDEX CONCURRENTLY", SQL_CREATE_INDEX_CONCURRENTLY, 0, 0},
    {"DROP INDEX CONCURRENTLY IF", SQL_AGAIN, 0, 0},
    {"DROP INDEX CONCURRENTLY", SQL_ONCE, 0, 0},
    {"REINDEX ?() INDEX|TABLE|SCHEMA|DATABASE|SYSTEM CONCURRENTLY @", SQL_REINDEX_CONCURRENTLY, 0, 1},
    {"REINDEX ?() INDEX|TABLE|SCHEMA|DATABASE|SYSTEM CONCURRENTLY", SQL_REINDEX_CONCURRENTLY, 0, 0},
    {"REINDEX ( ... CONCURRENTLY " FALSE " ... ) INDEX|TABLE", SQL_OTHER, 0, 0},
    {"REINDEX ( ... CONCURRENTLY " FALSE, SQL_AGAIN, 0, 0},
    {"REINDEX ( ... CONCURRENTLY ... ) INDEX|TABLE|SCHEMA|DATABASE|SYSTEM @", SQL_REINDEX_CONCURRENTLY, 0, 1},
    {"REINDEX ( ... CONCURRENTLY", SQL_REINDEX_CONCURRENTLY, 0, 0},
    {"REINDEX ?() SCHEMA|DATABASE|SYSTEM", SQL_AGAIN, 0, 0},
    {"VACUUM", SQL_AGAIN, 0, 0},
    {"CLUSTER ?() ?VERBOSE $", SQL_AGAIN, 0, 0},
    {"ALTER SYSTEM", SQL_AGAIN, 0, 0},
    {"DISCARD ALL", SQL_AGAIN, 0, 0},
    {"ALTER DATABASE @ SET TABLESPACE", SQL_AGAIN, 0, 0},
    {"ALTER TABLE ?IF ?EXISTS ?ONLY @ ?* DETACH PARTITION @ CONCURRENTLY", SQL_ONCE, 0, 2},
    {"CREATE SUBSCRIPTION ... WITH ( ... CREATE_SLOT|CONNECT = " FALSE, SQL_OTHER, 0, 0},
    {"ALTER SUBSCRIPTION @ SET|ADD|DROP PUBLICATION ... WITH ( ... REFRESH = " FALSE, SQL_OTHER, 0, 0},
    {"ALTER SUBSCRIPTION @ SET|REFRESH PUBLICATION", SQL_AGAIN, 0, 0},
    {"ALTER SUBSCRIPTION @ ADD|DROP PUBLICATION", SQL_ONCE, 0, 0},
    {"CREATE DATABASE|TABLESPACE|SUBSCRIPTION", SQL_ONCE, 0, 0},
    {"DROP DATABASE|TABLESPACE|SUBSCRIPTION IF", SQL_AGAIN, 0, 0},
    {"DROP DATABASE|TABLESPACE|SUBSCRIPTION", SQL_ONCE, 0, 0},
};

static bool is_concurrent(const char *pattern)
{
    return strstr(pattern, "CONCURRENTLY") && !strstr(pattern, "CONCURRENTLY " FALSE);
}

void sql_statement_classify(struct sql_statement *s)
{
    struct sql_name names[SQL_KEPT];
    s->kind = SQL_OTHER;
    s->concurrently = false;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!sql_match(s->text, s->len, kinds[i].pattern, names))
            continue;
        s->kind = kinds[i].kind;
        s->concurrently = is_concurrent(kinds[i].pattern);
        if (kinds[i].index) {
            s->index = names[kinds[i].index - 1].text;
            s->index_len = names[kinds[i].index - 1].len;
        }
        if (kinds[i].table) {
            s->table = names[kinds[i].table - 1].text;
            s->table_len = names[kinds[i].table - 1].len;
        }
        return;
    }
}

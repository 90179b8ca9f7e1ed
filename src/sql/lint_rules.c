/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/lint_rules.h"

#include <string.h>

#include "agent/sql.h"
#include "base/cleanup.h"

#define INDEX                                                                                                \
    "building this index stops all writes to its table: CREATE INDEX CONCURRENTLY, in a file without other " \
    "work"
#define RENAME                                                                                               \
    "the running code uses the old name until it is replaced: add the new one beside it, drop the old one "  \
    "in "                                                                                                    \
    "a later release"
#define DROP                                                                                                 \
    "the running code uses it until it is replaced: drop it in a release after the one that stops using it"
#define ROLE      "there is no such role: create it before, or leave the ownership to the login's role"
#define TO_STDOUT "these rows go nowhere: leave the statement out"
#define NOT_VALID                                                                                            \
    "reads all rows while nobody can write: add it NOT VALID, and VALIDATE CONSTRAINT in a later file"
#define TYPE                                                                                                 \
    "may write the whole table anew while nobody can use it: add a column of the new type, fill it in "      \
    "portions, drop the old one in a later release"
#define DEFAULT                                                                                              \
    "each row gets a value of its own, so the whole table is written anew while nobody can use it: add the " \
    "column, then its default, then fill it in portions"
#define VOLATILE                                                                                             \
    "RANDOM|GEN_RANDOM_UUID|UUID_GENERATE_V1|UUID_GENERATE_V1MC|UUID_GENERATE_V4|CLOCK_TIMESTAMP|TIMEOFDAY|" \
    "NEXTVAL|UUIDV4|UUIDV7"
#define SERIAL "SMALLSERIAL|SERIAL|BIGSERIAL|SERIAL2|SERIAL4|SERIAL8"

const struct sql_lint_rule sql_lint_statements[] = {
    {"index-without-concurrently", "CREATE ?UNIQUE INDEX ?IF ?NOT ?EXISTS ON ?ONLY ?( @", NULL, 1, 0, INDEX},
    {"index-without-concurrently", "CREATE ?UNIQUE INDEX ?IF ?NOT ?EXISTS @ ON ?ONLY ?( @",
     "CREATE ?UNIQUE INDEX CONCURRENTLY|ON", 2, 0, INDEX},
    {"concurrently-if-not-exists", "CREATE ?UNIQUE INDEX CONCURRENTLY IF", NULL, 0, 0,
     "IF NOT EXISTS is content with the invalid index that a failed attempt leaves: leave it out, the agent "
     "knows what was built"},
    {"concurrently-unnamed", "CREATE ?UNIQUE INDEX CONCURRENTLY ?IF ?NOT ?EXISTS ON", NULL, 0, 0,
     "after a crash nobody can tell whether an index without a name was built: name it"},
    {"rename-table", "ALTER TABLE ?IF ?EXISTS ?ONLY @ ?* RENAME TO", NULL, 1, 0, RENAME},
    {"rename-column", "ALTER TABLE ?IF ?EXISTS ?ONLY @ ?* RENAME ?COLUMN @ TO", "... RENAME CONSTRAINT|TO", 1,
     0, RENAME},
    {"drop-table", "DROP TABLE ?IF ?EXISTS @ ?CASCADE|RESTRICT $", NULL, 1, 0, DROP},
    {"drop-table", "DROP TABLE ?IF ?EXISTS @ ,", NULL, 0, 0, DROP},
    {"truncate", "TRUNCATE ?TABLE ?ONLY @", NULL, 1, 0,
     "removes all rows, and nobody can read the table until the transaction ends: be sure that they are not "
     "needed"},
    {"lock-table", "LOCK ?TABLE ?ONLY @", NULL, 1, 0,
     "everybody waits for the table until the transaction ends: leave it out, statements lock what they "
     "need"},
    {"discard-all", "DISCARD ALL", NULL, 0, 0,
     "drops the lock that keeps other migrations out, so the step stops behind this file: leave it out, the "
     "session is cleaned between files"},
    {"set-role", "SET ?SESSION|LOCAL ROLE @", "SET ?SESSION|LOCAL ROLE NONE", 0, 1, ROLE},
    {"owner-to", "ALTER ... OWNER TO @", "... OWNER TO CURRENT_USER|CURRENT_ROLE|SESSION_USER", 0, 1, ROLE},
    {"rollback", "ROLLBACK|ABORT", "ROLLBACK ?WORK|TRANSACTION TO|PREPARED", 0, 0,
     "takes back what stands before it; a file that ends so is never recorded as applied: leave it out"},
    {"copy-to-stdout", "COPY ?BINARY @ ?() TO STDIN|STDOUT", NULL, 0, 0, TO_STDOUT},
    {"copy-to-stdout", "COPY () TO STDIN|STDOUT", NULL, 0, 0, TO_STDOUT},
    {0},
};

const struct sql_lint_rule sql_lint_actions[] = {
    {"set-not-null", "ALTER ?COLUMN @ SET NOT NULL", NULL, 0, 0,
     "reads all rows while nobody can use the table: add CHECK (… IS NOT NULL) NOT VALID, VALIDATE it in a "
     "later file, then this is quick"},
    {"constraint-without-not-valid", "ADD FOREIGN|CHECK", "... NOT VALID", 0, 0, NOT_VALID},
    {"constraint-without-not-valid", "ADD CONSTRAINT @ FOREIGN|CHECK", "... NOT VALID", 0, 0, NOT_VALID},
    {"column-type", "ALTER ?COLUMN @ TYPE", NULL, 0, 0, TYPE},
    {"column-type", "ALTER ?COLUMN @ SET DATA TYPE", NULL, 0, 0, TYPE},
    {"drop-column", "DROP ?COLUMN ?IF ?EXISTS @", "DROP CONSTRAINT", 0, 0, DROP},
    {"volatile-default", "ADD ?COLUMN ?IF ?NOT ?EXISTS @ ... DEFAULT ... " VOLATILE " (", NULL, 0, 0,
     DEFAULT},
    {"volatile-default", "ADD ?COLUMN ?IF ?NOT ?EXISTS @ ... DEFAULT ( ... " VOLATILE " (", NULL, 0, 0,
     DEFAULT},
    {"volatile-default", "ADD ?COLUMN ?IF ?NOT ?EXISTS @ " SERIAL, NULL, 0, 0, DEFAULT},
    {"volatile-default", "ADD ?COLUMN ?IF ?NOT ?EXISTS @ ... GENERATED", NULL, 0, 0, DEFAULT},
    {0},
};

const struct sql_lint_text SQL_LINT_EMPTY = {
    "empty", "there is no statement in this file: it is recorded as applied and does nothing"};
const struct sql_lint_text SQL_LINT_UNLOCK = {
    "advisory-unlock-all", "drops the lock that keeps other migrations out, so the step stops behind this "
                           "file: call pg_advisory_unlock() with the key that the file locked"};
const struct sql_lint_text SQL_LINT_ENUM = {
    "enum-value-in-use", "a value that ALTER TYPE … ADD VALUE added cannot be used in the same transaction "
                         "(55P04): use it in a later file"};
const struct sql_lint_text SQL_LINT_UPDATE = {
    "update-without-where",
    "writes all rows while the locks of this transaction's ALTER, DROP or CREATE INDEX "
    "are held: put it into a file of its own, in portions"};
const struct sql_lint_text SQL_LINT_VERSION = {
    "other-version", "writes another version into schema_migrations than its file name has: the file would "
                     "be rolled back"};

bool sql_lint_is_rule(const char *name)
{
    static const struct sql_lint_text *const others[] = {&SQL_LINT_EMPTY, &SQL_LINT_UNLOCK, &SQL_LINT_ENUM,
                                                         &SQL_LINT_UPDATE, &SQL_LINT_VERSION};
    static const struct sql_lint_rule *const tables[] = {sql_lint_statements, sql_lint_actions};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (strcmp(others[i]->rule, name) == 0)
            return true;
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
        for (const struct sql_lint_rule *rule = tables[t]; rule->rule; rule++)
            if (strcmp(rule->rule, name) == 0)
                return true;
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an sql step leaves in the journal: a row and a line of output for each file, the version before and
 * after. The database is the record of what was applied, so files need not be written down one by one: they
 * are gathered for a moment. Only a file that breaks the old code is known here before it begins.
 */

#include "agent/migrate.h"
#include "agent/step.h"

struct sql_record {
    struct step_ctx *ctx;
    const struct step *step;
    bool versioned;
    const char *schema;
    bool before_written; /* of this schema */
    struct arena arena;  /* of what is gathered */
    struct migration_record *rows;
    size_t n_rows;
    struct str output;
    int64_t written_us;
    bool was_breaking;         /* breaking file of an earlier schema, or of a worker that died */
    const char *left_breaking; /* file that a worker noted which died: it is in the database, or not; NULL */
};

void sql_record_init(struct sql_record *record, struct step_ctx *ctx, const struct step *step,
                     bool versioned);
void sql_record_release(struct sql_record *record);
/* The files that follow run in this schema. */
void sql_record_schema(struct sql_record *record, const char *schema);
/* The version that the schema had before its first file: kept through crashes. */
int sql_record_before(struct sql_record *record, const struct migrate_result *result,
                      struct error *err) MUST_CHECK;
int sql_record_file(struct sql_record *record, const struct migrate_file *file, struct error *err) MUST_CHECK;
/* Writes what was gathered, when it has been for long enough. Trouble with that comes back later. */
void sql_record_breathe(struct sql_record *record);
int sql_record_say(struct sql_record *record, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4))) MUST_CHECK;
/* After a crash: files of which only the database knows that they were applied. */
void sql_record_reconcile(struct sql_record *record, const struct migrate_step *step);
/* The end of one schema: failed, why; NULL: it succeeded. */
int sql_record_end(struct sql_record *record, const struct migrate_result *result, const struct error *failed,
                   struct error *err) MUST_CHECK;

/* Does the progress of an sql step name a file that breaks the old code, and may be in the database? */
const char *sql_breaking(struct arena *arena, const struct step *step);

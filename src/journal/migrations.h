/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* migrations/journal/NNNN_*.sql, embedded by base/embed_sql.py. Number N brings the file from
   user_version N-1 to N. */

extern const char *const journal_migrations_file[];
extern const char *const journal_migrations_sql[];
extern const int journal_schema_version;

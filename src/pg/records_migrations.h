/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* migrations/records/NNNN_*.sql, embedded by base/embed_sql.py: file N brings the schema to version N. */

extern const char *const records_migrations_file[];
extern const char *const records_migrations_sql[];
extern const int records_schema_version;

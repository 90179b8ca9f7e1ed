-- SPDX-License-Identifier: Apache-2.0
-- Files of sql steps: each of them is a row of migration, in each schema that it ran in.

ALTER TABLE migration ADD COLUMN schema TEXT;
ALTER TABLE migration ADD COLUMN took_us INTEGER NOT NULL DEFAULT -1;
ALTER TABLE migration ADD COLUMN rows_changed INTEGER NOT NULL DEFAULT -1;

-- Each file is written down as it ends: without it, thousands of them would each be searched among thousands.
CREATE INDEX migration_file ON migration (deployment, step, version);

-- What the steps found in a database, and left there.
CREATE TABLE schema_version (
    deployment INTEGER NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    schema TEXT NOT NULL, -- '': the step runs once
    version_before TEXT NOT NULL,
    version_after TEXT NOT NULL,
    PRIMARY KEY (deployment, step, schema)
) STRICT, WITHOUT ROWID;

-- SPDX-License-Identifier: Apache-2.0
-- What others changed of a stack since its last deployment.

ALTER TABLE stack ADD COLUMN drift TEXT; -- JSON, see include/agent/drift.h; NULL: none seen
ALTER TABLE stack ADD COLUMN drift_since_us INTEGER;

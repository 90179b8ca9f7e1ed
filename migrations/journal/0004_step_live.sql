-- SPDX-License-Identifier: Apache-2.0
-- What a step is at while it runs, for whoever looks on: replicas that run, layers that are there, until when it may take.

ALTER TABLE step ADD COLUMN live TEXT; -- JSON, see include/agent/progress.h; NULL: nothing was told, or it has ended

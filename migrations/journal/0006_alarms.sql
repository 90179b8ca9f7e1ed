-- SPDX-License-Identifier: Apache-2.0
-- What is told of a stack itself is an event in the transaction that changes its row, as that of deployments is (0005):
-- a crash in between would leave the row as it is, and nobody who has been told.

ALTER TABLE stack ADD COLUMN polls_stalled INTEGER NOT NULL DEFAULT 0; -- receivers were told so, and not yet that it is over

CREATE TRIGGER event_of_first_alarm AFTER INSERT ON stack WHEN new.alarm IS NOT NULL BEGIN
    INSERT INTO event (deployment, stack, state, reason, at_us)
    VALUES (0, new.stack, 'approval_needed', new.alarm, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER));
END;

CREATE TRIGGER event_of_alarm AFTER UPDATE OF alarm ON stack WHEN new.alarm IS NOT NULL AND new.alarm IS NOT old.alarm BEGIN
    INSERT INTO event (deployment, stack, state, reason, at_us)
    VALUES (0, new.stack, 'approval_needed', new.alarm, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER));
END;

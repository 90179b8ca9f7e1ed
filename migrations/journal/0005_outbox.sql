-- SPDX-License-Identifier: Apache-2.0
-- The outbox: what happened to deployments, until everybody who is to be told has been. An event is written in the
-- transaction of the change that it tells of, and deleted when nobody waits for it any more. See agent/outbox.h.

CREATE TABLE receiver (
    name TEXT PRIMARY KEY,              -- 'records', 'notify NAME', 'status STACK'
    stacks TEXT,                        -- ' shop blog ': only of these; NULL: of all
    states TEXT,                        -- ' failed halted ': only these; NULL: all
    keep INTEGER NOT NULL,              -- events that may wait, and for how long; 0: any number, for ever
    keep_us INTEGER NOT NULL,
    position INTEGER NOT NULL,          -- the last event that it got
    attempts INTEGER NOT NULL DEFAULT 0, -- failed ones, in a row
    next_us INTEGER,                    -- not before
    failing_since_us INTEGER,
    error TEXT,
    dropped INTEGER NOT NULL DEFAULT 0  -- events that it never got, since its last delivery
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a position stays behind all that is still to come, also when the newest events were deleted.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    only TEXT,                          -- for this receiver; NULL: for all
    deployment INTEGER NOT NULL,        -- 0: none, the stack itself is meant
    stack TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX event_deployment ON event (deployment);

-- The last verdict that a receiver got of a stack: the same one again is no news.
CREATE TABLE told (
    receiver TEXT NOT NULL REFERENCES receiver (name) ON DELETE CASCADE,
    stack TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (receiver, stack)
) STRICT, WITHOUT ROWID;

-- Who waits for what: the one place that says which events a receiver wants.
CREATE VIEW outbox AS
SELECT r.name AS receiver, e.id, e.deployment, e.stack, e.state, e.reason, e.at_us
FROM receiver r JOIN event e ON e.id > r.position
WHERE (e.only IS NULL OR e.only = r.name)
  AND (r.stacks IS NULL OR instr(r.stacks, ' ' || e.stack || ' ') > 0)
  AND (r.states IS NULL OR instr(r.states, ' ' || e.state || ' ') > 0);

CREATE TRIGGER event_of_insert AFTER INSERT ON deployment BEGIN
    INSERT INTO event (deployment, stack, state, reason, at_us)
    VALUES (new.id, new.stack, new.state, new.reason, new.requested_us);
END;

CREATE TRIGGER event_of_state AFTER UPDATE OF state ON deployment WHEN new.state <> old.state BEGIN
    INSERT INTO event (deployment, stack, state, reason, at_us)
    VALUES (new.id, new.stack, new.state, new.reason,
            coalesce(new.finished_us, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)));
END;

CREATE TRIGGER event_unwanted AFTER INSERT ON event WHEN NOT EXISTS (SELECT 1 FROM outbox WHERE id = new.id) BEGIN
    DELETE FROM event WHERE id = new.id;
END;

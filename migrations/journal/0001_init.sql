-- SPDX-License-Identifier: Apache-2.0
-- The record of every deployment. Names (states, kinds, triggers) are stored, never numbers; times are µs since 1970,
-- UTC, NULL while not yet. Large texts (plan, specs, output) have tables of their own: a history of many thousand
-- deployments stays a short walk. Runs in one transaction; embedded into the programs, see src/journal/meson.build.

CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    host_id TEXT NOT NULL, -- random; with a deployment's id it names that deployment everywhere
    salt TEXT NOT NULL,    -- of content labels: equal contents on two hosts look different
    created_us INTEGER NOT NULL
) STRICT;
INSERT INTO identity
VALUES (1, lower(hex(randomblob(8))), lower(hex(randomblob(32))), unixepoch() * 1000000);

-- AUTOINCREMENT: an id is never given twice, also after old rows were deleted.
CREATE TABLE deployment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stack TEXT NOT NULL,
    state TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    branch TEXT,
    subject TEXT,
    author TEXT,
    trigger_name TEXT NOT NULL,
    requested_by TEXT,
    reason TEXT,
    requested_us INTEGER NOT NULL,
    started_us INTEGER,
    finished_us INTEGER,
    base_id INTEGER NOT NULL DEFAULT 0,
    target_id INTEGER NOT NULL DEFAULT 0,
    resumes INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    env_hash TEXT,
    warnings TEXT
) STRICT;
CREATE INDEX deployment_stack ON deployment (stack, state); -- ends with the id, as every index
CREATE INDEX deployment_newest ON deployment (stack);
CREATE INDEX deployment_state ON deployment (state);
CREATE INDEX deployment_target ON deployment (target_id) WHERE target_id <> 0;

CREATE TABLE plan (
    deployment INTEGER PRIMARY KEY REFERENCES deployment (id) ON DELETE CASCADE,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE step (
    deployment INTEGER NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    params TEXT,
    progress TEXT,
    fingerprint TEXT,
    error TEXT,
    started_us INTEGER,
    finished_us INTEGER,
    output_head INTEGER NOT NULL DEFAULT 0,    -- bytes of the first part that stays
    output_tail INTEGER NOT NULL DEFAULT 0,    -- bytes of the newest part
    output_dropped INTEGER NOT NULL DEFAULT 0, -- bytes between the two that are gone
    PRIMARY KEY (deployment, seq)
) STRICT;

-- Output in pieces: an append writes one piece and drops the oldest pieces of the tail, never the whole.
CREATE TABLE step_output (
    deployment INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (deployment, seq, part),
    FOREIGN KEY (deployment, seq) REFERENCES step (deployment, seq) ON DELETE CASCADE
) STRICT;

-- Service specs by content: most deployments change few services, and a rollback restores what stands here.
CREATE TABLE spec (
    hash TEXT PRIMARY KEY, -- sha256, hex
    body TEXT NOT NULL
) STRICT;

CREATE TABLE service (
    deployment INTEGER NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    note TEXT,
    before_hash TEXT REFERENCES spec (hash),
    after_hash TEXT REFERENCES spec (hash),
    PRIMARY KEY (deployment, service)
) STRICT, WITHOUT ROWID;
CREATE INDEX service_before ON service (before_hash) WHERE before_hash IS NOT NULL;
CREATE INDEX service_after ON service (after_hash) WHERE after_hash IS NOT NULL;

CREATE TABLE image (
    deployment INTEGER NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    service TEXT NOT NULL,
    reference TEXT NOT NULL,
    digest TEXT,
    PRIMARY KEY (deployment, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE migration (
    deployment INTEGER NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    step TEXT NOT NULL,
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (deployment, position)
) STRICT, WITHOUT ROWID;

-- What is true now, one row per stack.
CREATE TABLE stack (
    stack TEXT PRIMARY KEY,
    tip TEXT,
    tip_seen_us INTEGER,
    poll_error TEXT,
    poll_failing_since_us INTEGER,
    poll_failures INTEGER NOT NULL DEFAULT 0,
    waiting TEXT,
    waiting_since_us INTEGER,
    alarm TEXT,
    alarm_commit TEXT,
    approved TEXT,
    paused INTEGER NOT NULL DEFAULT 0,
    pause_reason TEXT,
    paused_since_us INTEGER,
    paused_until_us INTEGER,
    hold_absolute INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    verb TEXT NOT NULL,
    arguments TEXT NOT NULL
) STRICT;

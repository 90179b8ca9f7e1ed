-- SPDX-License-Identifier: Apache-2.0
-- The fleet's history in PostgreSQL: what the journals of all hosts tell, for whoever asks with SQL. Names of states, kinds and
-- triggers are those of migrations/journal. host_id is random and a journal's own; with a deployment's id it names that
-- deployment everywhere. Applied by the runner of SQL steps itself, see src/pg/records.c; the schema exists by then.

CREATE TABLE deploy_agent.host (
    host_id text PRIMARY KEY,
    name text NOT NULL, -- as the machine calls itself; may change
    seen_at timestamptz NOT NULL
);

-- A state change that is delivered twice, or after a newer one, changes nothing: change counts up.
CREATE TABLE deploy_agent.deployment (
    host_id text NOT NULL REFERENCES deploy_agent.host,
    id bigint NOT NULL,
    change bigint NOT NULL,
    stack text NOT NULL,
    state text NOT NULL,
    commit_id text NOT NULL,
    branch text,
    subject text,
    author text,
    trigger_name text NOT NULL,
    requested_by text,
    reason text,
    requested_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    base_id bigint,
    target_id bigint,
    PRIMARY KEY (host_id, id)
);
CREATE INDEX deployment_requested_at_idx ON deploy_agent.deployment (requested_at DESC);
CREATE INDEX deployment_stack_requested_at_idx ON deploy_agent.deployment (stack, requested_at DESC);

CREATE TABLE deploy_agent.deployment_migration (
    host_id text NOT NULL,
    id bigint NOT NULL,
    position int NOT NULL,
    step text NOT NULL,
    schema text, -- of a step that runs for each schema
    version text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    took interval,
    rows_changed bigint,
    PRIMARY KEY (host_id, id, position),
    FOREIGN KEY (host_id, id) REFERENCES deploy_agent.deployment ON DELETE CASCADE
);

-- For dashboards: grant SELECT on it, and on nothing else.
CREATE VIEW deploy_agent.log AS
SELECT h.name AS host, d.id, d.stack, d.state, d.commit_id, d.branch, d.subject, d.author, d.trigger_name, d.reason,
    d.requested_at, d.started_at, d.finished_at, d.finished_at - d.started_at AS took,
    (SELECT count(*) FROM deploy_agent.deployment_migration m WHERE m.host_id = d.host_id AND m.id = d.id AND m.state = 'applied') AS migrations
FROM deploy_agent.deployment d
JOIN deploy_agent.host h USING (host_id);

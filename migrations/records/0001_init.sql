-- SPDX-License-Identifier: Apache-2.0
-- The fleet's history in PostgreSQL: what the journals of all hosts tell, for whoever asks with SQL. Names of states, kinds and
-- triggers are those of migrations/journal. host_id is random and a journal's own; with a deployment's id it names that
-- deployment everywhere. Applied by the runner of SQL steps itself, see src/pg/records.c; the schema exists by then.

CREATE TABLE deploy_agent.host (
    host_id text PRIMARY KEY,
    name text NOT NULL, -- as the machine calls itself; may change
    version text NOT NULL, -- of its agent
    change bigint NOT NULL, -- the newest state change that it has delivered
    seen_at timestamptz NOT NULL -- when that was
);

-- A state change that is delivered twice, or after a newer one, changes nothing: change counts up, in each journal for itself.
-- The lists are those of `agentctl log --json`.
CREATE TABLE deploy_agent.deployment (
    host_id text NOT NULL REFERENCES deploy_agent.host ON UPDATE CASCADE,
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
    failed_with text, -- "exit 1", of the migration that failed
    requested_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    base_id bigint, -- the last success when it was planned
    target_id bigint, -- of a rollback or a retry: the deployment meant
    images jsonb NOT NULL, -- [{service, reference, digest}]
    services jsonb NOT NULL, -- [{name, action, state, note}]
    schemas jsonb NOT NULL, -- [{step, schema, before, after}]: versions of databases
    steps jsonb NOT NULL, -- [{kind, name, state, error, started_at, finished_at}]
    PRIMARY KEY (host_id, id)
);
-- Each is the order of `agentctl log --records`, newest first, behind what is asked for.
CREATE INDEX deployment_newest_idx ON deploy_agent.deployment (requested_at DESC, host_id, id DESC);
CREATE INDEX deployment_stack_idx ON deploy_agent.deployment (stack, requested_at DESC, host_id, id DESC);
CREATE INDEX deployment_state_idx ON deploy_agent.deployment (state, requested_at DESC, host_id, id DESC);

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
    FOREIGN KEY (host_id, id) REFERENCES deploy_agent.deployment ON UPDATE CASCADE ON DELETE CASCADE
);

-- Every state that a deployment was in, once, in order.
CREATE TABLE deploy_agent.state_change (
    host_id text NOT NULL,
    change bigint NOT NULL,
    id bigint NOT NULL,
    state text NOT NULL,
    reason text,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (host_id, change),
    FOREIGN KEY (host_id, id) REFERENCES deploy_agent.deployment ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX state_change_deployment_idx ON deploy_agent.state_change (host_id, id);

-- For dashboards: grant SELECT on it, and on nothing else.
CREATE VIEW deploy_agent.log AS
SELECT h.name AS host, d.host_id, d.id, d.stack, d.state, d.commit_id, d.branch, d.subject, d.author, d.trigger_name, d.requested_by,
    d.reason, d.requested_at, d.started_at, d.finished_at, d.finished_at - d.started_at AS took,
    (SELECT count(*) FROM deploy_agent.deployment_migration m WHERE m.host_id = d.host_id AND m.id = d.id AND m.state = 'applied') AS migrations,
    d.images, d.services
FROM deploy_agent.deployment d
JOIN deploy_agent.host h USING (host_id);

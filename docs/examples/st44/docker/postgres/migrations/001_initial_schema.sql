-- 001: households, the people in them, and what there is to do
BEGIN;

CREATE TABLE households (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       varchar(100) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    household_id bigint NOT NULL REFERENCES households ON DELETE CASCADE,
    email        varchar(255) NOT NULL UNIQUE,
    role         varchar(20) NOT NULL DEFAULT 'member',
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_role_check CHECK (role IN ('owner', 'member'))
);

CREATE TABLE tasks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    household_id bigint NOT NULL REFERENCES households ON DELETE CASCADE,
    title        varchar(200) NOT NULL,
    rule_type    varchar(20) NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tasks_rule_type_check CHECK (rule_type IN ('daily', 'weekly'))
);

CREATE INDEX tasks_household_id ON tasks (household_id);

INSERT INTO schema_migrations (version, name)
VALUES ('001', 'initial_schema')
ON CONFLICT (version) DO NOTHING;

COMMIT;

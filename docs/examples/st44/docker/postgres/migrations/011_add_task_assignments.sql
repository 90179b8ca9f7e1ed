-- 011: who does which task on which day. 002 to 010 were never used: gaps are normal.
BEGIN;

CREATE TABLE task_assignments (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id  bigint NOT NULL REFERENCES tasks ON DELETE CASCADE,
    user_id  bigint REFERENCES users ON DELETE SET NULL,
    day      date NOT NULL,
    done_at  timestamptz,
    CONSTRAINT task_assignments_task_day UNIQUE (task_id, day)
);

INSERT INTO schema_migrations (version, name)
VALUES ('011', 'add_task_assignments')
ON CONFLICT (version) DO NOTHING;

COMMIT;

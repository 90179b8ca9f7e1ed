-- 016: points for tasks
BEGIN;

ALTER TABLE tasks ADD COLUMN points integer NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD CONSTRAINT tasks_points_check CHECK (points >= 0) NOT VALID;

INSERT INTO schema_migrations (version, name)
VALUES ('016', 'add_points')
ON CONFLICT (version) DO NOTHING;

COMMIT;

-- 015: two transactions: the constraint first, the data when others have seen it
BEGIN;
ALTER TABLE tasks DROP CONSTRAINT tasks_rule_type_check;
ALTER TABLE tasks ADD CONSTRAINT tasks_rule_type_check CHECK (rule_type IN ('daily', 'weekly', 'single'));
ALTER TABLE tasks ADD COLUMN due_on date;
COMMIT;

BEGIN;
ALTER TABLE tasks ADD CONSTRAINT tasks_single_is_due CHECK (rule_type <> 'single' OR due_on IS NOT NULL) NOT VALID;
ALTER TABLE tasks VALIDATE CONSTRAINT tasks_single_is_due;

INSERT INTO schema_migrations (version, name)
VALUES ('015', 'add_single_tasks')
ON CONFLICT (version) DO NOTHING;
COMMIT;

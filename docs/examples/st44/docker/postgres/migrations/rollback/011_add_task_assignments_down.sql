-- By hand only: deploy-agent never looks into this folder.
BEGIN;
DROP TABLE task_assignments;
DELETE FROM schema_migrations WHERE version = '011';
COMMIT;

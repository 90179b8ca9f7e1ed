-- By hand only: deploy-agent never looks into this folder.
BEGIN;
ALTER TABLE tasks DROP COLUMN points;
DELETE FROM schema_migrations WHERE version = '016';
COMMIT;

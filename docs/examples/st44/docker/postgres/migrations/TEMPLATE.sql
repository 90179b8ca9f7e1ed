-- NNN: what it is for. Copy to NNN_what_it_does.sql; the version below has to be the file's.
BEGIN;

-- ALTER TABLE … ;

INSERT INTO schema_migrations (version, name)
VALUES ('NNN', 'what_it_does')
ON CONFLICT (version) DO NOTHING;

COMMIT;

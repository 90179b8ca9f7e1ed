-- 012: inserts its version without ON CONFLICT, and refuses to run twice. A runner that writes the version before the file
-- would break it.
BEGIN;

DO $$
BEGIN
    IF EXISTS (SELECT FROM schema_migrations WHERE version = '012') THEN
        RAISE EXCEPTION 'migration 012 is applied already';
    END IF;
END
$$;

ALTER TABLE users ADD COLUMN display_name varchar(80);
UPDATE users SET display_name = split_part(email, '@', 1);

INSERT INTO schema_migrations (version, name) VALUES ('012', 'add_display_names');

COMMIT;

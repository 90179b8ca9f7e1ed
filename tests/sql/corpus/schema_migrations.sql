BEGIN;

CREATE TABLE IF NOT EXISTS schema_migrations (
    version varchar(10) PRIMARY KEY,
    name varchar(255) NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO schema_migrations (version, name) VALUES ('000', 'initial; table') ON CONFLICT (version) DO NOTHING;

COMMIT;
BEGIN;
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM schema_migrations WHERE version = '040') THEN
        RAISE EXCEPTION 'already; there';
    END IF;
END $$;
INSERT INTO schema_migrations (version, name) VALUES ('040', 'again');
COMMIT;

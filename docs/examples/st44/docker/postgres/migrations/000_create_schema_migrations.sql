-- 000: the table of what is applied
BEGIN;

CREATE TABLE IF NOT EXISTS schema_migrations (
    version    varchar(10) PRIMARY KEY,
    name       varchar(255) NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO schema_migrations (version, name)
VALUES ('000', 'create_schema_migrations')
ON CONFLICT (version) DO NOTHING;

COMMIT;

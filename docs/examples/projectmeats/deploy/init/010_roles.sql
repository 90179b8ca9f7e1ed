-- The application's role, and the database made its own. The password is the Swarm secret that the database service mounts: nothing
-- of it is in Git or in a log.
DO $$
BEGIN
    CREATE ROLE projectmeats LOGIN;
EXCEPTION
    WHEN duplicate_object THEN
        NULL; -- an earlier deployment made it
END
$$;

DO $$
BEGIN
    EXECUTE format('ALTER ROLE projectmeats PASSWORD %L', rtrim(pg_read_file('/run/secrets/projectmeats_app_password'), E'\n'));
    EXECUTE format('ALTER DATABASE %I OWNER TO projectmeats', current_database());
END
$$;

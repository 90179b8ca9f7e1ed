DO $$
DECLARE
    r record; -- ;
    q text := $q$SELECT ';' AS a$q$;
BEGIN
    FOR r IN EXECUTE q LOOP
        RAISE NOTICE '%', r.a; /* ; */
    END LOOP;
    BEGIN
        PERFORM 1/0;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
    CASE WHEN true THEN NULL; END CASE;
END
$$ LANGUAGE plpgsql;
DO 'BEGIN NULL; END'; DO E'BEGIN RAISE NOTICE \';\'; END'; SELECT 1;

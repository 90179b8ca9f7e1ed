CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
DECLARE a int := 1; b text := ';';
BEGIN
    IF a = 1 THEN RETURN 1; END IF; -- it's fine
    /* $ */ RETURN 2;
END;
$$;
CREATE OR REPLACE FUNCTION g(text) RETURNS text LANGUAGE sql AS $body$ SELECT $1 || $q$;$q$; $body$;
CREATE PROCEDURE h() LANGUAGE plpgsql AS $BODY$ BEGIN COMMIT; END $BODY$; CALL h();
SELECT f(), g('a;');
DO LANGUAGE plpgsql $$ BEGIN RAISE NOTICE 'a;'; END $$;
DO $do$ BEGIN EXECUTE format($f$SELECT %L;$f$, ';'); END $do$;

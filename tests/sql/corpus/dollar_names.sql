CREATE TABLE a$b (c$d int, e$ int, f$$ int); SELECT c$d, e$, f$$ FROM a$b; SELECT c$d;
SELECT a$b$c; SELECT a$$; SELECT $$;$$ AS a$; SELECT _$$; SELECT é$$;
PREPARE p AS SELECT $1::int + $2::int; EXECUTE p(1, 2);
SELECT $1; SELECT $1$$;$$; SELECT $12 $a$;$a$; SELECT $; SELECT $ $; SELECT $-$;
SELECT $1a; SELECT 1$$;$$; SELECT 1a$$; SELECT )$$;$$(;
);
SELECT 1;

SELECT '"', "a" FROM (SELECT '''"' AS "a") "x'y";
SELECT '$$;$$', $$';'$$, $a$";$$;'$a$, "$$";
SELECT '/*', '*/', $$--$$, $$/*$$, "*/"; -- '
SELECT /* ' */ 1 /* " */ ; SELECT /* $$ */ 2 ; /* ; */ SELECT -- ' " $$ /*
3;

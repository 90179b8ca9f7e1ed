SELECT $o$ ; $q$ ; $$ ; $$ ; $q$ ; $o$;
DO $o$ BEGIN EXECUTE $i$ DO $$ BEGIN PERFORM 1; END; $$; $i$; END; $o$;
SELECT $a$ $b$ $a$; SELECT $b$ $a$ $b$;
SELECT $a$ $a $a$; SELECT $a$ a$ $a$; SELECT $a$x$a$; SELECT $a$$b$a$;
SELECT $a$$a$$$a$$$; SELECT $aa$ $a$ ; $aa$; SELECT $a$ $aa$ ; $a$;
SELECT $a$ $a$b; SELECT 1;

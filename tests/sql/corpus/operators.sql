SELECT 1 =-1; SELECT 1<-1; SELECT 2*-+1; SELECT @-1; SELECT 1 <> 2; SELECT 1!=2; SELECT 2 ^ 3; SELECT 5 % 3; SELECT 1 | 2; SELECT 1 # 2; SELECT ~1;
SELECT '{"a;": 1}'::jsonb -> 'a;'; SELECT '{"a": {"b": 1}}'::jsonb #>> '{a,b}'; SELECT '{"a": 1}'::jsonb ? 'a'; SELECT '{"a": 1}'::jsonb ?| array['a;'];
SELECT 'a' || ';' || 'b'; SELECT 'a' ~ ';'; SELECT 'a' !~* ';$'; SELECT 'a' ~~ '%;%'; SELECT array[1,2] && array[2]; SELECT point '(1,2)' <-> point '(3,4)';
SELECT a=>1; SELECT f(a => ';'); SELECT 1::int::text; SELECT `;`; SELECT 1 OPERATOR(pg_catalog.+) 2; SELECT |/ 25; SELECT ||/ 27; SELECT !!;

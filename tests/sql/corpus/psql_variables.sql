SELECT :a; SELECT :'a;'; SELECT :"a;"; SELECT :{?a;}; SELECT '{1,2}'::int[]; SELECT ('{1,2,3}'::int[])[1:2];
SELECT a[:b] FROM t; SELECT :'a'';'; SELECT : 'a;'; SELECT a:=1; SELECT a::text; SELECT :::a; SELECT :$$;$$; SELECT :a$$;$$; SELECT :e'\'; SELECT ':a', ":b";
SELECT :1;SELECT :-1; SELECT x:y; SELECT :'; SELECT 1;'; SELECT 2;

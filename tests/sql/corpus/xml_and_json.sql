SELECT '<a b="c;">d''e</a>'::text; SELECT '{"a": ";", "b": ["x", {"c": null}]}'::json; SELECT '[1, 2]'::jsonb @> '1'; SELECT jsonb_path_query('{"a": 1}', '$.a ? (@ > 0)');
SELECT $json${"a": "$$;"}$json$::json; SELECT regexp_replace('a;b', E'\\;', ''); SELECT format('%s;%I', 'a', 'b;c'); SELECT 'a;' LIKE '%\;' ESCAPE '\';

SELECT ';';
SELECT ''';''' AS a, '' AS b, '''' AS c;
SELECT 'two
lines; and a half' AS a; SELECT 'x'';' || ''';';
SELECT 'a\'; SELECT 'b\\'; SELECT '\';
SELECT 'it''s', 'it;''s;', '--', '/*', '*/', '$$', '"', '('; SELECT ')';

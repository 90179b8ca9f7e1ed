SELECT (1); SELECT ((1), (2)); SELECT ('('); SELECT (1) /* ( */; SELECT ("a") FROM (SELECT 1 AS a) b; -- (
SELECT 1); SELECT 2)); SELECT (3; 4); SELECT ((5;) ;6;); SELECT [7; SELECT 8]; SELECT {9; SELECT 10};
SELECT ($$($$); SELECT (E'\'('); SELECT (1
;
2);

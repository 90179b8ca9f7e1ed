CREATE TABLE t (a text, b text);
COPY t FROM STDIN WITH (FORMAT csv, HEADER true, DELIMITER ';', QUOTE '''');
a;b
'x;';'y
z'
\.
COPY t(a,b) FROM STDIN CSV;
"1","2;"
"a""b",
\.
SELECT * FROM t;
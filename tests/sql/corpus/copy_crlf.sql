CREATE TABLE t (a text);
COPY t FROM STDIN;
a;
b
\.
SELECT 1;

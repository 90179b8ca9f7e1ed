CREATE TABLE t (a text, b text);
COPY t FROM STDIN;
1;	'
it's	"; --
/*	$$
\N	\\.
\.
SELECT count(*) FROM t;
COPY t (a) FROM stdin; -- rows follow; really

;
-- a row
\.
SELECT count(*) FROM t; SELECT 'end;';

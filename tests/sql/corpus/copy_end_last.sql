CREATE TABLE t (a text);
COPY t FROM STDIN;
a
\.
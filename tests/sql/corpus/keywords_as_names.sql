CREATE TABLE copy (stdin text, "from" text); INSERT INTO copy (stdin) VALUES ('a'); SELECT stdin FROM copy; SELECT copy.stdin FROM copy;
CREATE TABLE vacuum (begin int, commit int); SELECT begin, commit FROM vacuum; ALTER TABLE vacuum RENAME begin TO atomic; DROP TABLE vacuum; DROP TABLE copy; SELECT 1;

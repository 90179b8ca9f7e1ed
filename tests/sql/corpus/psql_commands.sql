\set ON_ERROR_STOP off
\set VERBOSITY verbose
\timing off
\echo 'a; b' c;
\pset pager off
SELECT 1;
\encoding UTF8
 \timing off
SELECT 2; \echo three;
SELECT 4;
\echo it is; SELECT 5;
SELECT 6;

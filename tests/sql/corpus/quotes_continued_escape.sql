SELECT E'a'
'b\';
SELECT 'unreachable for the server';
SELECT 1;

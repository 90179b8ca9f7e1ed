-- first
SELECT 1;

-- first; 'not open
SELECT 1; -- second; "
--
--;
SELECT 2 --; here
, 3;
SELECT 4--5;
; SELECT - -6; SELECT 7 - --
8;
--- three
SELECT 9; -- no newline at the end
-- ends with CR;SELECT 1; -- again;
SELECT 2 -- here, 3;SELECT 4 /*  ; */;
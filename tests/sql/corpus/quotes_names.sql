SELECT 1 AS "a;b"; SELECT 1 AS "a""b;"; SELECT 1 AS "a'b;"; SELECT 1 AS "a
b;"; SELECT 1 AS "--"; SELECT 1 AS "/*"; SELECT 1 AS "$$"; SELECT 1 AS "\";
CREATE TABLE "t;" ("c;" int, "C""D" text DEFAULT ';'); INSERT INTO "t;" ("c;") VALUES (1);
SELECT "t;"."c;" FROM "t;"; DROP TABLE "t;";
SELECT "";

CREATE TYPE mood AS ENUM ('sad', 'ok;'); ALTER TYPE mood ADD VALUE 'happy' AFTER 'ok;'; ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
CREATE DOMAIN d AS text CHECK (value <> ';'); CREATE TYPE pair AS (a int, b text); SELECT ROW(1, ';')::pair; DROP TYPE pair;
SELECT 'happy'::mood; CREATE SEQUENCE s START 5; SELECT nextval('s');

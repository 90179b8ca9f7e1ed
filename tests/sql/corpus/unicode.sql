SELECT 'é;', '€', '日本;語', '😀;' AS ü; SELECT 1 AS é; SELECT $é$;$é$;
CREATE TABLE größe (straße text DEFAULT 'ß;'); INSERT INTO größe VALUES ('Ä'); SELECT straße FROM größe;
-- ümläute; 'ß
SELECT ' ;', '​;', ' ;'; /* 日本; */ SELECT 2  ; SELECT 3;

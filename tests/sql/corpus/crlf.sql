SELECT 1;
-- a
SELECT
  ';
',
  $$;
$$;
/* ;
*/
SELECT E'a\
;' ;
SELECT 2
;

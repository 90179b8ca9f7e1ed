SELECT 'a'
'b;';
SELECT 'a' -- here; 'goes on
'b;' ;
SELECT 'a'

   'b;'
 'c' AS d;
SELECT 'a' 'b;' ;
SELECT E'a'
'b\\;' ;
SELECT U&'a'
  '\0062;' ;
SELECT B'01'
'10', X'1f'
'2e';
SELECT 'a'/* no */
'b';

SELECT E';';
SELECT E'\';' , e'\\'; SELECT E'\\\';' ; SELECT E'''\'' ;
SELECT E'\x3b\073\u003b\U0000003b;' ; SELECT E'\n;\t;' ;
SELECT E'a\
;' ; SELECT E'' ';' ;
SELECT E'\'''\''';' AS a; SELECT ae'\'; SELECT "e"'\' ;
SELECT E'\8\9\x;\xg;' ; SELECT E'\u12;';
SELECT 1;

SELECT B'01', b'1;', X'1F', x'f;f', N'n;', n'o''p;';
SELECT B'''; SELECT 1; --';
SELECT B'01''10;' ; SELECT xb'01', bx';' ;
SELECT X''; SELECT B''; SELECT N'';
SELECT N'\'; SELECT n'\';

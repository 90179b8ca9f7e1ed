SELECT



1

,

2

;



SELECT '


;

' ,

$$

;

$$

;

SELECT "a

" /*

;

*/ ;

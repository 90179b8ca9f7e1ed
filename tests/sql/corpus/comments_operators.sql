SELECT 1+/*;*/2; SELECT 1 */*;*/ 2; SELECT 1 <--;
2; SELECT 1 @/*;*/-2; SELECT 3 - -2; SELECT 3 -/**/-2; SELECT 4 /2; SELECT 4 / *; SELECT 1 =--;
1; SELECT 5 |/*;*/ 1; SELECT 2 !=/*;*/ 1; SELECT '{1}'::int[] @>/*;*/ '{1}'; SELECT 5 #- -- ;
;

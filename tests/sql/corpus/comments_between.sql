SELECT 1 /* a */ ; /* b */ ; -- c
/* d */ /* e */ -- f
; SELECT /* g */ 2 -- h
/* i */ ;
/* j */ SELECT 3 /* k */ -- l
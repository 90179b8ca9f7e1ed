SELECT $é$;$é$; SELECT $日本$;$日本$; SELECT $a_9$ $a_8$ ; $a_9$;
SELECT $1$; SELECT $9a$; SELECT $a-b$; SELECT $a b$; SELECT $a.b$;
SELECT $a$ $A$ ; $a$; SELECT $tag_with_a_rather_long_name_that_goes_on$;$tag_with_a_rather_long_name_that_goes_on$;

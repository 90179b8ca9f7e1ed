SELECT $$;$$; SELECT $$$$; SELECT $$
;
$$;
SELECT $a$;$a$; SELECT $_$;$_$; SELECT $a1$;$a1$; SELECT $A$;$a$;$A$;
SELECT $$'$$; SELECT $$"$$; SELECT $$\$$; SELECT $$--$$; SELECT $$/*$$; SELECT $$($$;
SELECT $$$ $$; SELECT $$a$ $b$$;

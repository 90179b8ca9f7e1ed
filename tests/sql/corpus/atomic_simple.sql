CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;
CREATE FUNCTION g(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT a; END; SELECT f(), g(2);
create or replace function f() returns int language sql begin atomic; select 2; end; select f();
CREATE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC END; CALL p();
CREATE FUNCTION h() RETURNS int RETURN 1; SELECT h();

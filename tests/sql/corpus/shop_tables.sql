CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('new', 'paid;', 'sent');
CREATE TABLE shop.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE CHECK (email ~ '^[^;@]+@[^;]+$'));
CREATE TABLE shop.orders (
    id bigserial PRIMARY KEY, -- the key;
    customer_id bigint REFERENCES shop.customers (id) ON DELETE CASCADE,
    state shop.state NOT NULL DEFAULT 'new',
    total numeric(12, 2) CHECK (total >= 0) /* never; negative */,
    note text DEFAULT 'it''s; "new"'
);
COMMENT ON TABLE shop.orders IS 'orders; one row each';
COMMENT ON COLUMN shop.orders.note IS E'a\nb;';
CREATE INDEX ON shop.orders (customer_id); CREATE UNIQUE INDEX orders_i ON shop.orders ((note || ';')) WHERE state <> 'sent';
CREATE VIEW shop.open AS SELECT o.*, CASE WHEN total > 100 THEN 'big;' ELSE 'small' END AS size FROM shop.orders o WHERE state <> 'sent';
INSERT INTO shop.customers (email) VALUES ('a@b.c'), ('d@e.f'); INSERT INTO shop.orders (customer_id, total) SELECT id, 5 FROM shop.customers;
WITH x AS (SELECT ';' AS a) SELECT * FROM x, shop.open; TABLE shop.orders; VALUES (1, ';'), (2, ')');
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO PUBLIC; REVOKE ALL ON SCHEMA shop FROM PUBLIC;

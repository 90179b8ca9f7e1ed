CREATE TABLE orders (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id bigint NOT NULL REFERENCES products,
    kilograms  numeric(10, 3) NOT NULL CHECK (kilograms > 0),
    ordered_on date NOT NULL DEFAULT CURRENT_DATE
);

CREATE INDEX products_name ON products USING gin ((name::text) gin_trgm_ops);

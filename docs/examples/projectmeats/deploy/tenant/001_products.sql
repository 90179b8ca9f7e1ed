-- Names without a schema: the search path is the tenant's schema, then public.
CREATE TABLE suppliers (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name citext NOT NULL UNIQUE
);

CREATE TABLE products (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id bigint NOT NULL REFERENCES suppliers,
    code        varchar(20) NOT NULL,
    name        citext NOT NULL
);

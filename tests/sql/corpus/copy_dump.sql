--
-- PostgreSQL database dump
--

\restrict 0123456789abcdefABCDEF

SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;

--
-- Name: orders; Type: TABLE; Schema: public; Owner: tester
--

CREATE TABLE public.orders (
    id integer NOT NULL,
    note text DEFAULT 'none;'::text
);

ALTER TABLE public.orders OWNER TO tester;

--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: tester
--

COPY public.orders (id, note) FROM stdin;
1	it's; "fine"
2	\N
\.


--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: public; Owner: tester
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);

--
-- PostgreSQL database dump complete
--

\unrestrict 0123456789abcdefABCDEF


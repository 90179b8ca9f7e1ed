# SPDX-License-Identifier: Apache-2.0
"""Files and what a plan says of them: cases 1 to 26 of the database's catalogue."""

import unittest

from case import Case, close_server


def tearDownModule():
    close_server()


def look_alike(number, name):
    return f"CREATE TABLE t{number} (id int PRIMARY KEY, {name} text);\nINSERT INTO t{number} VALUES ({number}, '{name}');\n"


class Plan(Case):
    def test_01_fresh_plain_shaped_set(self):
        numbers = [0, 1, *range(11, 38), 40, 41, 42, 53]
        for n in numbers:
            self.write(f"{n:03}_add_t{n}.sql", look_alike(n, f"c{n}"))
        self.write("TEMPLATE.sql", "SELECT wrong")
        self.write("README.md", "# read me")
        self.write("rollback/053_down.sql", "DROP TABLE t53")
        self.assertEqual(len(numbers), 33)
        answer = self.run_ok()
        self.assertEqual(answer.value["applied"], 33)
        self.assertEqual(answer.applied, [f"{n:03}_add_t{n}.sql" for n in numbers])
        self.assertEqual(self.versions(), [f"{n:03}" for n in numbers])
        self.assertEqual(self.tables(), sorted(["schema_migrations", *(f"t{n}" for n in numbers)]))
        self.assertEqual(self.value("SELECT name FROM schema_migrations WHERE version = '053'"), "add_t53")
        self.assertEqual((answer.value["before"], answer.value["after"]), ("", "053"))
        self.assertEqual(self.log("count(*)", "state = 'applied' AND mode = 'tx' AND stmts_done = 2 AND stmts_total = 2 AND stage = 'schema' AND target_schema = 'public' AND blob_oid IS NOT NULL AND norm_sha256 IS NOT NULL AND commit_oid LIKE '9f3c%' AND run_id = 'host/1' AND finished_at >= started_at AND duration_ms >= 0 AND backend_pid > 0 AND agent LIKE 'deploy-agent %' AND db_user = 'postgres'", "1"), [("33",)])
        self.assertEqual(answer.events[1]["rows"], 1)

    def test_02_second_run(self):
        self.files(_001_a="CREATE TABLE a (id int);", _002_b="CREATE TABLE b (id int);")
        self.run_ok()
        before = self.value("SELECT pg_current_wal_lsn()")
        answer = self.run_ok()
        self.assertEqual((answer.value["applied"], answer.events), (0, []))
        self.assertEqual(self.plan_ok()["pending"], [])
        self.assertEqual(self.value("SELECT pg_current_wal_lsn()"), before, "something was written")

    def test_02b_empty_folder_writes_nothing(self):
        self.run_ok()
        self.assertEqual(self.tables(), [])
        self.assertEqual(self.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'deploy_agent'"), "0")

    def test_03_gaps(self):
        self.files(_000_a="SELECT 1", _001_b="SELECT 1", _011_c="SELECT 1")
        answer = self.run_ok()
        self.assertEqual(answer.applied, ["000_a.sql", "001_b.sql", "011_c.sql"])
        self.assertEqual(answer.value["warnings"], [])

    def test_04_duplicate_pending(self):
        self.files(_039_x="SELECT 1", _040_a="CREATE TABLE a (id int)", _040_b="CREATE TABLE b (id int)")
        error = self.plan_refused()
        self.assertIn("040_a.sql", error)
        self.assertIn("040_b.sql", error)
        self.assertEqual(self.tables(), [])

    def test_05_duplicate_already_applied(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()); INSERT INTO schema_migrations VALUES ('040', 'add_user_name_fields')")
        self.files(_040_add_single_task_type="SELECT 1", _040_add_user_name_fields="SELECT 1", _041_more="SELECT 1")
        error = self.plan_refused()
        self.assertIn("040_add_single_task_type.sql never ran", error)
        self.run_ok(accept_duplicates=["040"])
        self.assertEqual(self.versions(), ["040", "041"])
        self.assertEqual(self.log("file, state, mode"), [("040_add_user_name_fields.sql", "applied", "adopted"), ("041_more.sql", "applied", "tx")])

    def test_06_number_and_text(self):
        self.sql("CREATE TABLE schema_migrations (version bigint PRIMARY KEY); INSERT INTO schema_migrations VALUES (15)")
        self.files(_015_a="SELECT wrong", _016_b="SELECT 1")
        self.assertEqual(self.run_ok().applied, ["016_b.sql"])
        self.assertEqual(self.versions(), ["15", "16"])

    def test_06b_file_000_creates_the_table(self):
        for how in ("", "IF NOT EXISTS "):
            with self.subTest(how=how):
                self.sql("DROP TABLE IF EXISTS schema_migrations, a; DROP SCHEMA IF EXISTS deploy_agent CASCADE")
                self.files(
                    _000_table=f"CREATE TABLE {how}schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());",
                    _001_a="CREATE TABLE a (id int);")
                self.run_ok()
                self.assertEqual(self.versions(), ["000", "001"])
                self.assertEqual(self.value("SELECT atttypmod - 4 FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass AND attname = 'version'"), "10")

    def test_07_out_of_order(self):
        self.files(_001_a="SELECT 1", _005_b="SELECT 1")
        self.run_ok()
        self.add(_003_late="CREATE TABLE late (id int)")
        self.assertIn("003_late.sql", self.plan_refused())
        self.add(_003_late="-- deploy: out-of-order\nCREATE TABLE late (id int)")
        answer = self.run_ok()
        self.assertEqual(answer.applied, ["003_late.sql"])
        self.assertIn("out of order", " ".join(answer.value["warnings"]))
        self.assertEqual(answer.value["after"], "005")

    def test_08_edited_tokens(self):
        self.files(_001_a="CREATE TABLE a (id int);")
        self.run_ok()
        stored = self.log("blob_oid")[0][0]
        self.files(_001_a="CREATE TABLE a (id bigint);")
        error = self.plan_refused()
        self.assertIn(stored[:12], error)
        self.assertIn("001_a.sql", error)
        self.assertIn("001", self.plan_ok(on_edited="warn")["modified"])

    def test_09_edited_cosmetic(self):
        self.files(_001_a="CREATE TABLE a (id int);\n")
        self.run_ok()
        for text in ("-- a comment\nCREATE TABLE a (id int);\n", "CREATE TABLE a (id int);\r\n", "/* SPDX: x */\nCREATE  TABLE a\n(id int)\n;"):
            with self.subTest(text=text):
                self.files(_001_a=text)
                answer = self.run_ok()
                self.assertIn("001_a.sql", " ".join(answer.value["warnings"]))

    def test_10_renamed(self):
        self.files(_001_old_name="SELECT 1")
        self.run_ok()
        self.files(_001_new_name="SELECT 1")
        answer = self.run_ok()
        self.assertIn("001_old_name", " ".join(answer.value["warnings"]))
        self.assertEqual(answer.applied, [])

    def test_11_missing_file(self):
        self.files(_001_a="SELECT 1", _002_b="SELECT 1")
        self.run_ok()
        (self.dir / "001_a.sql").unlink()
        self.assertEqual(self.plan_ok()["ahead"], ["001"])
        self.run_ok()

    def test_12_near_misses(self):
        self.files(_001_a="CREATE TABLE a (id int)")
        for name in ("17-x.sql", "018 x.sql", "019_x.SQL"):
            self.write(name, "SELECT 1")
        error = self.plan_refused()
        for name in ("17-x.sql", "018 x.sql", "019_x.SQL"):
            self.assertIn(name, error)
        self.assertEqual(self.tables(), [])

    def test_13_bom(self):
        self.files(_001_a=b"\xef\xbb\xbfSELECT 1;\n", _002_b=b"\xef\xbb\xbfSELECT wrong;\n")
        answer = self.run_fails()
        self.assertEqual(answer.applied, ["001_a.sql"])
        self.assertTrue(answer.error.startswith("002_b.sql:1:8: "), answer.error)

    def test_14_crlf(self):
        self.files(_001_f=b"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\r\nSELECT 'x'\r\n$$;\r\nSELECT 1;\r\n")
        self.run_ok()
        self.assertEqual(self.value("SELECT prosrc = E'\\r\\nSELECT ''x''\\r\\n' FROM pg_proc WHERE proname = 'f'"), "t")

    def test_15_not_utf8(self):
        self.files(_001_a=b"SELECT 1;\n-- caf\xe9\n")
        self.assertIn("001_a.sql:2:", self.plan_refused())
        self.files(_001_a="SELECT 1;".encode("utf-16"))
        self.assertIn("001_a.sql", self.plan_refused())

    def test_16_nul(self):
        self.sql("CREATE TABLE keep (id int)")
        self.files(_001_a=b"SELECT 1;\0DROP TABLE keep;")
        self.assertIn("001_a.sql:1:", self.plan_refused())
        self.assertTrue(self.exists("keep"))

    def test_17_empty(self):
        self.files(_001_a="", _002_b="-- only this\n")
        answer = self.run_ok()
        self.assertEqual(self.versions(), ["001", "002"])
        warnings = " ".join(answer.value["warnings"])
        self.assertRegex(warnings, "001_a.sql:1: empty.*002_b.sql:1: empty")

    def test_18_huge(self):
        line = "INSERT INTO big VALUES (1, '" + "x" * 10000 + "');\n"
        self.files(_001_t="CREATE TABLE big (id int, t text);", _002_big=line * ((63 << 20) // len(line)))
        size = (self.dir / "002_big.sql").stat().st_size
        answer = self.run_ok(timeout_ms=300000)
        self.assertEqual(int(self.value("SELECT count(*) FROM big")), size // len(line))
        self.assertLessEqual(answer.rss_kib, (16 << 10) + 2 * (size >> 10))
        print(f"# file of {size >> 20} MiB: {answer.rss_kib >> 10} MiB resident")
        self.write("003_more.sql", "-- " + "x" * (65 << 20))
        self.assertIn("003_more.sql", self.plan_refused())

    def test_19_no_final_semicolon(self):
        self.files(_001_a="CREATE TABLE a (id int); CREATE TABLE b (id int)")
        self.run_ok()
        self.assertEqual(self.tables(), ["a", "b", "schema_migrations"])

    def test_20_to_23_statements(self):
        self.files(
            _001_dollars="CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $o$ BEGIN EXECUTE $q$ SELECT $$;$$ $q$; RETURN 'x'; END $o$; SELECT f();",
            _002_semicolons="CREATE TABLE \"a;b\" (t text); INSERT INTO \"a;b\" VALUES (';'), (E'\\';'), ('--'); /* ; /* ; */ ; */ -- ;\nSELECT 1;",
            _003_atomic="CREATE FUNCTION g(i int) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN i = 1 THEN 'a' ELSE 'b' END; SELECT 'c'; END; SELECT g(1);",
            _004_rule="CREATE TABLE r (id int); CREATE RULE n AS ON INSERT TO r DO ALSO (SELECT 1; SELECT 2); INSERT INTO r VALUES (1);")
        self.run_ok()
        self.assertEqual(self.log("version, stmts_done"), [("001", "2"), ("002", "3"), ("003", "2"), ("004", "3")])

    def test_24_psql_commands(self):
        for command in ("\\connect other", "\\i other.sql", "\\! id", "\\copy t from 'x'"):
            with self.subTest(command=command):
                self.files(_001_a=f"SELECT 1;\n{command}\n")
                self.assertIn("001_a.sql:2:", self.plan_refused())
        self.files(_001_a="\\set ON_ERROR_STOP on\n\\restrict abc\nCREATE TABLE a (id int);\n\\unrestrict abc\n")
        self.run_ok()
        self.assertTrue(self.exists("a"))

    def test_25_copy_from_stdin(self):
        self.files(_001_t="CREATE TABLE c (id int, t text);", _002_rows="COPY c FROM stdin;\n1\ta\n2\t\\N\n3\tö\n\\.\nSELECT 1;\n")
        answer = self.run_ok()
        self.assertEqual(self.value("SELECT string_agg(coalesce(t, 'null'), ',' ORDER BY id) FROM c"), "a,null,ö")
        self.assertEqual([e["rows"] for e in answer.events if e["event"] == "applied"], [0, 3])
        self.add(_003_bad="SELECT 1;\nCOPY c FROM stdin;\n4\tx\nfive\ty\n6\tz\n\\.\n")
        answer = self.run_fails()
        self.assertTrue(answer.error.startswith("003_bad.sql:4:1: "), answer.error)
        self.assertEqual(self.value("SELECT count(*) FROM c"), "3")
        self.assertEqual(self.log("sqlstate, error_line, stmt_index", "state = 'failed'"), [("22P02", "4", "2")])

    def test_26_copy_out(self):
        self.files(_001_out="COPY (SELECT generate_series(1, 100000)) TO STDOUT;\nCREATE TABLE a (id int);")
        answer = self.run_ok()
        self.assertIn("COPY", " ".join(answer.value["warnings"]))
        self.assertTrue(self.exists("a"))
        self.add(_002_in="COPY a FROM '/nowhere/at/all';")
        self.assertIn("58P01", self.run_fails().error)


if __name__ == "__main__":
    unittest.main(verbosity=2)

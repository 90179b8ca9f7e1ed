# SPDX-License-Identifier: Apache-2.0
"""Fills a journal with a few days of three stacks, in which everything happens that can; rows as the agent writes them."""

import json
import sqlite3
import time

MINUTE = 60 * 1_000_000
DIGEST = "sha256:91a2e0185391c1f0b0a6e7d2b44c1f4f9f3c1ab0c4d5e6f708192a3b4c5d6e7f"


def commit_id(number):
    return f"{number * 2654435761 % 2**32:08x}0c4d5e6f708192a3b4c5d6e7f80912a3"


class Story:
    def __init__(self, path):
        self.db = sqlite3.connect(path)
        self.now = time.time_ns() // 1000
        self.ids = []
        self.good = {}  # of each stack, the last

    def insert(self, table, **row):
        names = ", ".join(row)
        return self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values())).lastrowid

    def ago(self, minutes):
        return None if minutes is None else int(self.now - minutes * MINUTE)

    def spec(self, service, tag):
        body = json.dumps({"Name": f"shop_{service}", "TaskTemplate": {"ContainerSpec": {
            "Image": f"registry.example.org/shop/{service}:{tag}@{DIGEST[:-1]}{tag[-1] if tag[-1] in '0123456789' else 'f'}",
            "Env": ["DATABASE_PASSWORD=hunter22"]}}})
        self.db.execute("INSERT OR IGNORE INTO spec (hash, body) VALUES (?, ?)", (f"{service} {tag}", body))
        return f"{service} {tag}"

    def deployment(self, stack, state, ago, took=1.5, subject="A change", author="alice", reason=None, steps=(), services=(), migrations=(),
                   number=None, trigger="poll", **more):
        """ago, took: minutes; took None: it is under way. Steps: (kind, name, state, seconds, error, output)."""
        ended = state not in ("requested", "planned", "running", "interrupted")
        started = None if state in ("requested", "superseded") else self.ago(ago)
        number = number or len(self.ids) + 1
        plan = more.pop("plan", None)
        id_ = self.insert("deployment", stack=stack, state=state, commit_id=commit_id(number), branch="main", subject=subject, author=author,
                          trigger_name=trigger, reason=reason, requested_us=self.ago(ago + 0.05), started_us=started,
                          finished_us=self.ago(ago - took) if ended else None, base_id=self.good.get(stack, 0), **more)
        self.ids.append(id_)
        if state == "succeeded":
            self.good[stack] = id_
        if plan:
            self.insert("plan", deployment=id_, body=json.dumps(plan))
        at = started or 0
        for seq, step in enumerate(steps, 1):
            kind, name, step_state, seconds, error, output = (*step, None, None, None)[:6]
            begun = step_state not in ("pending", "skipped")
            self.insert("step", deployment=id_, seq=seq, kind=kind, name=name, state=step_state, error=error, started_us=at if begun else None,
                        finished_us=at + int(seconds * 1e6) if begun and step_state != "running" else None, output_head=len(output or ""))
            at += int((seconds or 0) * 1e6)
            if output:
                self.insert("step_output", deployment=id_, seq=seq, part=0, data=output.encode())
        for position, (service, action, service_state, before, after, note) in enumerate(services):
            self.insert("service", deployment=id_, service=service, position=position, name=f"{stack}_{service}", action=action, state=service_state,
                        note=note, before_hash=before and self.spec(service, before), after_hash=after and self.spec(service, after))
            self.insert("image", deployment=id_, position=position, service=service, reference=f"registry.example.org/shop/{service}:{after or before}",
                        digest=DIGEST)
        for position, (step, version, name, migration_state) in enumerate(migrations):
            self.insert("migration", deployment=id_, position=position, step=step, version=version, name=name, state=migration_state)
        return id_

    def stack(self, name, **row):
        self.insert("stack", stack=name, **row)

    def close(self):
        self.db.commit()
        self.db.close()


def rollout(web="healthy", before="41", after="42"):
    worker, note = ("unverified", "seen to run; it has no healthcheck and no check") if web == "healthy" else (web, None)
    return [("db", "none", "unchanged", "15", "15", None), ("redis", "none", "unchanged", "7", "7", None),
            ("worker", "update", worker, before, after, note), ("web", "update", web, before, after, None)]


GOOD = [("pull", "registry.example.org/shop/worker:42", "done", 6.2), ("pull", "registry.example.org/shop/web:42", "done", 9.8),
        ("relay", "shop", "done", 1.1), ("baseline", "shop", "done", 8.0), ("ready", "db", "done", 0.4), ("backup", "db", "done", 3.7),
        ("run", "django", "done", 11.3, None, "Operations to perform:\n  Apply all migrations: admin, auth, tracker\nRunning migrations:\n"
                                              "  Applying tracker.0118_user_email... OK\n"),
        ("roll", "worker", "done", 14.0), ("roll", "web", "done", 21.4), ("soak", "shop", "done", 20.0), ("prune", "shop", "done", 0.2)]

TRACEBACK = """Operations to perform:
  Apply all migrations: admin, auth, tracker
Running migrations:
  Applying tracker.0119_user_email_unique...Traceback (most recent call last):
  File "/srv/app/manage.py", line 22, in <module>
    main()
psycopg.errors.UniqueViolation: could not create unique index "tracker_user_email_fed1c714_uniq"
DETAIL:  Key (email)=(x@example.org) is duplicated.
django.db.utils.IntegrityError: could not create unique index "tracker_user_email_fed1c714_uniq"
"""

FAILED = [*GOOD[:6], ("run", "django", "failed", 3.2, "exit 1: django.db.utils.IntegrityError: could not create unique index "
                      '"tracker_user_email_fed1c714_uniq"', TRACEBACK), ("roll", "worker", "pending", 0), ("roll", "web", "pending", 0)]

REGRESSED = [*GOOD[:8], ("roll", "web", "failed", 38.0, "web /health: 5 of 5 before, 0 of 5 now (200 before, 500 now)",
                         "web.1 | [2026] ERROR in app: Exception on /health [GET]\nweb.1 | KeyError: 'CACHE_URL'\n")]

RUNNING = [*GOOD[:8], ("roll", "web", "running", 0), ("soak", "blog", "pending", 0), ("prune", "blog", "pending", 0)]

PLAN = {"stack": "wiki", "commit": commit_id(900), "empty": False, "objects": [], "steps": [], "migrations": [], "sql": [], "warnings": [],
        "services": [{"service": "web", "action": "update", "restarts": True, "changes": ["image", "env CACHE_URL", "replicas 2 → 3"]},
                     {"service": "db", "action": "none"}]}


def days(story):
    """Three stacks: one in step, one that is being deployed, one that is held and paused."""
    failed_reason = ('django: exit 1: django.db.utils.IntegrityError: could not create unique index "tracker_user_email_fed1c714_uniq"; '
                     "no service was touched")
    back_reason = "web /health: 5 of 5 before, 0 of 5 now (200 before, 500 now); back on #2, the database stays as migrated"
    migrated = [("django", "0118", "tracker.0118_user_email", "applied")]
    story.deployment("shop", "succeeded", 3 * 1440, 1.2, "First deployment", "carol", "4 services rolled, 60s stable", GOOD, rollout(), migrated)
    story.deployment("wiki", "succeeded", 2 * 1440 + 90, 1.1, "Show the revision in the footer", "bob", "2 services rolled, 60s stable", GOOD,
                     rollout(), [], number=800)
    story.deployment("shop", "failed", 1440 + 220, 0.6, "Make e-mail addresses unique", "bob", failed_reason, FAILED,
                     rollout("untouched", "41", None), [("django", "0119", "tracker.0119_user_email_unique", "failed")])
    story.deployment("shop", "superseded", 1440 + 200, 0.0, "Typo", "bob", "by #5")
    story.deployment("shop", "succeeded", 1440 + 180, 1.6, "Merge duplicate accounts, then make e-mail unique", "bob",
                     "2 services rolled, 60s stable", GOOD, rollout(), [("django", "0119", "tracker.0119_merge", "applied"),
                                                                        ("django", "0120", "tracker.0120_unique", "applied")])
    story.deployment("wiki", "rolled_back", 190, 1.9, "Cache rendered pages", "alice", back_reason, REGRESSED,
                     rollout("rolled_back", "41", "41"), [], number=900, plan=PLAN)
    story.deployment("blog", "succeeded", 130, 0.9, "Fewer fonts", "dave", "1 service rolled, 60s stable", GOOD, rollout(), [], number=700)
    in_step = story.deployment("shop", "succeeded", 64, 1.4, "Let orders be cancelled within ten minutes", "alice",
                               "2 services rolled, 60s stable; web answers slower: median 84 ms, was 61 ms (23 and 41 samples)", GOOD, rollout(), migrated)
    blog = story.deployment("blog", "running", 1.25, None, "Comments: answer by mail", "carol", None, RUNNING, [*rollout()[:3], ("web", "update", "updating", "41", "42", None)],
                            [("django", "0044", "blog.0044_reply", "applied")], number=701)
    live = {"of": "replicas", "done": 1, "total": 2, "deadline_us": story.ago(-4.6), "note": "starting"}
    story.db.execute("UPDATE step SET live = ? WHERE deployment = ? AND state = 'running'", (json.dumps(live), blog))
    story.stack("shop", tip=story.db.execute("SELECT commit_id FROM deployment WHERE id = ?", (in_step,)).fetchone()[0], tip_seen_us=story.ago(64))
    story.stack("blog", tip=commit_id(701), tip_seen_us=story.ago(1.4))
    story.stack("wiki", tip=commit_id(900), tip_seen_us=story.ago(191), paused=1, pause_reason="bob looks at the cache", paused_since_us=story.ago(150),
                paused_until_us=story.ago(-600))
    return blog


def every_state(story, text=None):
    """One more stack, with a deployment in each state; `text` stands in every field that holds words."""
    word = text or "words"
    steps = [(kind, word, state, 1.0, word, word) for kind, state in
             [("pull", "done"), ("sql", "failed (allowed)"), ("run", "skipped"), ("expect", "undone"), ("roll", "failed"), ("soak", "pending")]]
    services = [(f"{state}{word}", "update", state, "1", "2", word) for state in
                ["pending", "updating", "healthy", "degraded", "unverified", "failed", "rolled_back", "removed", "unchanged", "untouched", "halted"]]
    migrations = [(word, word, word, state) for state in ["pending", "running", "applied", "failed", "failed (allowed)", "skipped", "not run"]]
    for state in ["succeeded", "failed", "rolled_back", "halted", "cancelled", "superseded", "stuck", "interrupted", "requested", "planned", "running"]:
        story.deployment("intern", state, 30, 0.5, word, word, word, steps, services, migrations, warnings=json.dumps([word]), requested_by=word)
    drift = {"services": [{"service": "web", "text": word}], "note": word}
    story.stack("intern", tip=commit_id(9999), tip_seen_us=story.ago(9), poll_error=word, poll_failing_since_us=story.ago(5), waiting=word,
                waiting_since_us=story.ago(2), alarm=word, paused=1, pause_reason=word, paused_since_us=story.ago(3), drift=json.dumps(drift),
                drift_since_us=story.ago(4))

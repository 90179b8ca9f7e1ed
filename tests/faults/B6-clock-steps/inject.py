# SPDX-License-Identifier: Apache-2.0
"""The wall clock steps within a wait, and is wrong all the time; the monotonic clock is right."""

DAY = 24 * 3600


def begin(row, seconds):
    clock = row.dir / "clock"
    clock.write_text(str(seconds))
    row.shim(SHIM_CLOCK=clock)
    row.running()
    return clock


def inject_ten_years_on(row):
    """In the middle of a gate, whose deadline is a minute."""
    clock = begin(row, 0)
    row.change(HEALTH_AFTER_S=6)
    row.sent()
    clock.write_text(str(3652 * DAY))


def inject_a_day_back(row):
    """The newer deployment begins a day before the older one: order is by number."""
    clock = begin(row, 0)
    commit = row.change(HEALTH_AFTER_S=6)
    row.sent()
    clock.write_text(str(-DAY))
    row.expect(commit, "succeeded")
    row.assertEqual([d["commit"] for d in row.log()][0], commit)
    row.assertEqual(row.status()["tip"], commit)


def inject_tls(row):
    """A certificate that is not valid at such a time: the poll says so."""
    row.configure(stack={"repository": f"{row.lab.env['GIT_HTTPS_URL']}/{row.name}.git", "ca_file": row.lab.env["GIT_CA_FILE"]})
    clock = begin(row, 0)
    clock.write_text(str(3652 * 20 * DAY))
    row.change()
    row.wait(lambda: row.status()["poll_error"], 30, "the poll to fail")

# SPDX-License-Identifier: Apache-2.0
"""The new version ends again and again; what served before serves on."""


def inject_crash_loop(row):
    row.running()
    row.change(EXIT_AFTER_S=0, EXIT_CODE=3)

# SPDX-License-Identifier: Apache-2.0
"""The new version ends again and again; what served before serves on: its container is well before Swarm takes the old one away."""


def inject_crash_loop(row):
    well = {"test": ["CMD", "/web", "probe", "http://127.0.0.1:8000/health"], "interval": "1s", "retries": 3}
    row.running(healthcheck=well)
    row.change(EXIT_AFTER_S=0, EXIT_CODE=3, healthcheck=well)

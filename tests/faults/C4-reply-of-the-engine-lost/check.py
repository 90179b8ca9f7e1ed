# SPDX-License-Identifier: Apache-2.0


def check(row):
    configs = [c for c in row.engine.get("/configs") if c["Spec"]["Name"].startswith(row.full("motd"))]
    row.assertEqual(len(configs), 2, "the config of each version, once")

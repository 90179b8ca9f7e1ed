#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a file as a C array: embed.py INPUT OUTPUT NAME"""
import sys

source, target, name = sys.argv[1:4]
with open(source, "rb") as f:
    data = f.read()
with open(target, "w", encoding="ascii") as f:
    f.write("/* Made from %s by embed.py. */\n" % source.rsplit("/", 1)[-1])
    f.write('#include "docker/relay_internal.h"\n\n')
    f.write("const unsigned char %s[] = {\n" % name)
    for i in range(0, len(data), 24):
        f.write("    %s,\n" % ", ".join(str(b) for b in data[i : i + 24]))
    f.write("};\nconst size_t %s_size = sizeof %s;\n" % (name, name))

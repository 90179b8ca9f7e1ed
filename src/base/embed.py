#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a file as a C array, a NUL after its last byte, and its size without that: embed.py INPUT OUTPUT NAME HEADER"""
import sys

source, target, name, header = sys.argv[1:5]
with open(source, "rb") as f:
    data = f.read() + b"\0"
with open(target, "w", encoding="ascii") as f:
    f.write("/* Made from %s by embed.py. */\n" % source.rsplit("/", 1)[-1])
    f.write('#include "%s"\n\n' % header)
    f.write("const unsigned char %s[] = {\n" % name)
    for i in range(0, len(data), 24):
        f.write("    %s,\n" % ", ".join(str(b) for b in data[i : i + 24]))
    f.write("};\nconst size_t %s_size = sizeof %s - 1;\n" % (name, name))

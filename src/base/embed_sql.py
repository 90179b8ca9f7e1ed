#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns migrations/NAME/NNNN_*.sql into C arrays of their names and texts, in the order of their numbers:
embed_sql.py NAME HEADER OUT.c IN.sql…"""
import os
import sys

name, header, out = sys.argv[1:4]
inputs = sorted(sys.argv[4:], key=os.path.basename)
lines = [f'/* Made by embed_sql.py from migrations/{name}; do not edit. */', f'#include "{header}"', '']
for number, path in enumerate(inputs, 1):
    if int(os.path.basename(path)[:4]) != number:
        sys.exit(f'{path}: number {number:04} expected, numbers have no gaps')
    with open(path, 'rb') as f:
        data = f.read()
    lines.append(f'static const unsigned char sql_{number:04}[] = {{')
    for i in range(0, len(data), 24):
        lines.append('    ' + ', '.join(f'0x{b:02x}' for b in data[i:i + 24]) + ',')
    lines.append('    0x00,\n};')
numbers = range(1, len(inputs) + 1)
lines.append(f'const char *const {name}_migrations_file[] = {{' + ', '.join(f'"{os.path.basename(p)}"' for p in inputs) + '};')
lines.append(f'const char *const {name}_migrations_sql[] = {{' + ', '.join(f'(const char *)sql_{n:04}' for n in numbers) + '};')
lines.append(f'const int {name}_schema_version = {len(inputs)};')
with open(out, 'w', encoding='ascii') as f:
    f.write('\n'.join(lines) + '\n')

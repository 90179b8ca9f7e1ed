#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns migrations/journal/NNNN_*.sql into one C array, in the order of their numbers: embed.py OUT.c IN.sql…"""
import os
import sys

out, inputs = sys.argv[1], sorted(sys.argv[2:], key=os.path.basename)
lines = ['/* Made by src/journal/embed.py from migrations/journal; do not edit. */', '#include "journal/migrations.h"', '']
for number, path in enumerate(inputs, 1):
    if int(os.path.basename(path)[:4]) != number:
        sys.exit(f'{path}: number {number:04} expected, numbers have no gaps')
    with open(path, 'rb') as f:
        data = f.read()
    lines.append(f'static const unsigned char sql_{number:04}[] = {{')
    for i in range(0, len(data), 24):
        lines.append('    ' + ', '.join(f'0x{b:02x}' for b in data[i:i + 24]) + ',')
    lines.append('    0x00,\n};')
lines.append('const char *const journal_migrations_sql[] = {' + ', '.join(f'(const char *)sql_{n:04}' for n in range(1, len(inputs) + 1)) + '};')
lines.append(f'const int journal_schema_version = {len(inputs)};')
with open(out, 'w', encoding='ascii') as f:
    f.write('\n'.join(lines) + '\n')

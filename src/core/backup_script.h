/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* backup.sh, made an array by embed.py; text that ends with a NUL */
extern const unsigned char backup_script[];
extern const size_t backup_script_size;

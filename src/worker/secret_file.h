/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/error.h"
#include "base/arena.h"

/* The one line of a file that holds a token or a URL, without blanks around it; `key` is what names the file
 * in agent.conf. Registered as a secret. Rights as fs_read_private(). */
int secret_file_line(struct arena *arena, const char *key, const char *path, const char **ret,
                     struct error *err) MUST_CHECK;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Redaction. Secret values are registered when they are loaded; redact() replaces each occurrence of
 * them (values of 6 bytes and more), and the user information of any URL, by "***". Every text that
 * leaves the process (log, journal, JSON) and can hold foreign words passes through it.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

void secret_register(const char *value);
/* The password in it, as it is written and with percent signs decoded; a text that is no URL: nothing. */
void secret_register_url(const char *url);
/* Is a variable of this name a secret by its name: PASSWORD, SECRET, TOKEN, KEY, URL with userinfo? */
bool secret_name(const char *name);
char *secret_redact(struct arena *arena, const char *text);
void secret_forget_all(void); /* wipes the registry: for tests, which share a process */

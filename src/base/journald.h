/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/*
 * To systemd's journal, in its native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), and without the
 * one property of sd_journal_sendv() that a supervisor cannot use: it waits for as long as journald takes
 * nothing.
 *
 * fields: NAME=VALUE each. 0, or -1 when journald did not take it: the line is lost. The first such line
 * waits for a fifth of a second, those behind it not at all, until one goes through again.
 */
int journald_send(const char *const *fields, size_t n);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that is wrong, told at once: one line each, so that one commit can mend it. */

#include "agent/error.h"
#include "base/str.h"

struct complaints {
    struct str text;
    size_t n;
};

void complain(struct complaints *complaints, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0 when nothing was complained about; else -1, ERR_INVALID, a line each. */
int complaints_end(const struct complaints *complaints, struct error *err) MUST_CHECK;
void complaints_release(struct complaints *complaints);
#define cleanup_complaints __attribute__((cleanup(complaints_release)))

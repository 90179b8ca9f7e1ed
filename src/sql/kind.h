/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/sql.h"

/* Fills in kind, index and table from the text. */
void sql_statement_classify(struct sql_statement *s);

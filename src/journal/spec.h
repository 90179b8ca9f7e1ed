/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Service specs are stored once by content. Inside a transaction; the hash is what a row refers to. */

#include <string.h>

#include "base/hash.h"
#include "journal/db.h"

int spec_store(struct journal *j, const char *body, char ret_hash[SHA256_HEX_SIZE],
               struct error *err) MUST_CHECK;

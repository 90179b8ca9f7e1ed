/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Values of the JSON that programs read: `agentctl --json` and /api/v1 alike. */

#include <jansson.h>
#include <stdint.h>

json_t *json_time(int64_t us);                         /* RFC 3339 in UTC; 0: null */
json_t *json_text(const char *text);                   /* NULL: null; cleaned */
json_t *json_duration(int64_t from_us, int64_t to_us); /* seconds; null when one is 0 */
json_t *json_id(int64_t id);                           /* 0: null */
json_t *json_hidden(const char *text); /* JSON of the journal without what readers must not see; NULL: null */

/* How all of it is printed: numbers of seconds as they were rounded. */
#define JSON_PRINT JSON_REAL_PRECISION(12)

/* Values of environment variables and the data of secrets are not for readers: "NAME=***". In place. */
void json_redact(json_t *value);

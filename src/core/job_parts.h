/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all our jobs have in common; see agent/plan.h. */

#include <jansson.h>

/* A replicated job of one task that is run once. The values are taken over. */
json_t *job_body(const char *name, json_t *container, json_t *resources, json_t *placement, json_t *networks);
/* Attachments without aliases: requests for the service must never reach a job. */
json_t *job_networks(const json_t *service_networks);

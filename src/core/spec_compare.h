/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files behind agent/spec.h. */

#include <jansson.h>

/* Both in the comparable form, predefined networks matched. New references. */
void spec_normalise_both(const json_t *desired, const json_t *live, const json_t *networks,
                         json_t **ret_desired, json_t **ret_live);

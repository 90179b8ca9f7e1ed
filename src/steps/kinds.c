/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/kinds.h"

#include <string.h>

/* Deployment order. plan_make() adds steps in this order; a unit test holds the two together. sql, run and
 * expect come as x-release lists them; admin's sql steps, with a login of their own, may stand before ready.
 */
const struct step_kind *const step_kinds[] = {
    &step_kind_pull,
    &step_kind_network,
    &step_kind_secret,
    &step_kind_config,
    &step_kind_relay,
    &step_kind_baseline,
    &step_kind_before,
    &step_kind_ready,
    &step_kind_backup,
    &step_kind_sql,
    &step_kind_run,
    &step_kind_expect,
    &step_kind_compare,
    &step_kind_roll,
    &step_kind_soak,
    &step_kind_prune,
    NULL,
};

const struct step_kind *step_kind_find(const char *name)
{
    for (size_t i = 0; step_kinds[i]; i++)
        if (strcmp(step_kinds[i]->name, name) == 0)
            return step_kinds[i];
    return NULL;
}

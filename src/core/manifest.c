/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/manifest.h"

#include <string.h>

int manifest_load(const struct stack_input *input, struct manifest *ret, struct error *err)
{
    struct manifest m = {0};
    if (stack_load(input, &m.stack, err) < 0)
        return -1;
    if (release_decode(&m.arena, m.stack->x_release, m.stack, &m.release, err) < 0 ||
        release_rollout_order(&m.arena, &m.release, m.stack, &m.order, &m.n_before, err) < 0) {
        manifest_release(&m);
        return -1;
    }
    *ret = m;
    return 0;
}

void manifest_release(struct manifest *manifest)
{
    stack_free(manifest->stack);
    arena_release(&manifest->arena);
    *manifest = (struct manifest){0};
}

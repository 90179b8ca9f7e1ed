/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/stack.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena arena = {0};
    struct image_ref ref, again;
    struct error err = {0};
    const char *text = copy_of(&arena, data, size);
    if (image_ref_parse(&arena, text, &ref, &err) < 0) {
        promise_good_error(&err);
        return 0;
    }
    PROMISE(ref.familiar && ref.repository && str_starts(ref.familiar, ref.repository));
    PROMISE(image_ref_parse(&arena, ref.familiar, &again, &err) == 0);
    /* and means the same, unless what stood behind docker.io/ looks like a registry: docker.io/a.b/c */
    if (!str_eq(ref.domain, "docker.io") || str_eq(again.path, ref.path)) {
        PROMISE(str_eq(ref.familiar, again.familiar) && str_eq(ref.repository, again.repository));
        PROMISE(str_eq(ref.path, again.path) && str_eq(ref.digest, again.digest));
    }
    return 0;
}

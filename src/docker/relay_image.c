/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "docker/client.h"
#include "docker/relay_internal.h"

#define TAR_BLOCK 512

/* POSIX ustar header: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_06 */
struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
        version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a tar header is one block");

static void pad_to_block(struct str *s)
{
    while (s->len % TAR_BLOCK)
        str_append_char(s, '\0');
}

void relay_tar(const char *name, const void *data, size_t len, struct str *ret)
{
    struct tar_header h = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
    snprintf(h.name, sizeof h.name, "%s", name);
    snprintf(h.mode, sizeof h.mode, "%07o", 0755U);
    snprintf(h.uid, sizeof h.uid, "%07o", 0U);
    snprintf(h.gid, sizeof h.gid, "%07o", 0U);
    snprintf(h.size, sizeof h.size, "%011zo", len);
    snprintf(h.mtime, sizeof h.mtime, "%011o", 0U);
    memset(h.checksum, ' ', sizeof h.checksum);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof h.checksum - 1, "%06o", sum & 0777777);

    str_append_n(ret, (const char *)&h, sizeof h);
    str_append_n(ret, data, len);
    pad_to_block(ret);
    static const char end[2 * TAR_BLOCK];
    str_append_n(ret, end, sizeof end);
}

int relay_image(struct docker *docker, struct arena *arena, const char **ret_id, struct error *err)
{
    char hash[SHA256_HEX_SIZE];
    sha256_hex(relay_program, relay_program_size, hash);
    const char *label = arena_printf(arena, RELAY_LABEL "=%s", hash);

    cleanup_json json_t *images = NULL;
    if (docker_images(docker, label, &images, err) < 0)
        return -1;
    /* Two of us may have imported at once: always the same one, or the service would go back and forth. */
    const char *first = NULL;
    size_t i;
    json_t *image;
    json_array_foreach (images, i, image) {
        const char *id = json_string_value(json_object_get(image, "Id"));
        if (id && (!first || strcmp(id, first) < 0))
            first = id;
    }
    if (first) {
        *ret_id = arena_strdup(arena, first);
        return 0;
    }
    cleanup_str struct str tar = {0};
    relay_tar(&RELAY_PROGRAM[1], relay_program, relay_program_size, &tar);
    const char *const changes[] = {
        "ENTRYPOINT [\"" RELAY_PROGRAM "\"]",
        arena_printf(arena, "LABEL %s", label),
        NULL,
    };
    cleanup_free char *imported = NULL;
    if (docker_image_import(docker, tar.data, tar.len, changes, &imported, err) < 0)
        return error_wrap(err, "relay image");
    *ret_id = arena_strdup(arena, imported);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "decode.h"
#include "syntax.h"

enum {
    MAX_FILES = 256,
    MAX_BYTES = 4 * 1024 * 1024,
};

/* A file that many services share is read and counted once. */
static const struct read_text *find_read(const struct decoder *d, const char *path)
{
    for (size_t i = 0; i < d->n_files; i++)
        if (str_eq(d->files[i].path, path))
            return &d->files[i];
    return NULL;
}

static const char *keep(struct decoder *d, const char *path, const char *data, size_t len)
{
    d->files = arena_grow(d->arena, d->files, d->n_files, sizeof *d->files);
    d->files[d->n_files++] = (struct read_text){path, data, len};
    d->n_bytes += len;
    return data;
}

const char *read_file(struct decoder *d, const struct node *at, const struct path *path, const char *file,
                      const char **ret_path, size_t *ret_len)
{
    const char *inside = path_inside(d->arena, d->folder, file);
    if (!inside || !*inside) {
        report_node(d->report, at, path,
                    "%s leads out of the repository (a path relative to the first stack file)", file);
        return NULL;
    }
    *ret_path = inside;
    const struct read_text *known = find_read(d, inside);
    if (known) {
        *ret_len = known->len;
        return known->data;
    }
    if (!d->read) {
        report_node(d->report, at, path, "%s: files cannot be read here", file);
        return NULL;
    }
    if (d->n_files >= MAX_FILES || d->n_bytes >= MAX_BYTES) {
        report_node(d->report, at, path, "too many files (at most %d, %d MiB in total)", MAX_FILES,
                    MAX_BYTES >> 20);
        return NULL;
    }
    struct error err = {0};
    const char *data;
    if (d->read(d->userdata, inside, d->arena, &data, ret_len, &err) < 0) {
        if (err.kind == ERR_NOT_FOUND)
            report_node(d->report, at, path, "open %s: no such file or directory", inside);
        else
            report_node(d->report, at, path, "%s", err.text);
        return NULL;
    }
    if (*ret_len > MAX_BYTES - d->n_bytes) {
        report_node(d->report, at, path, "%s: the files add up to more than %d MiB", inside, MAX_BYTES >> 20);
        return NULL;
    }
    return keep(d, inside, data, *ret_len);
}

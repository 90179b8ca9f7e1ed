/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/secret_file.h"

#include <string.h>

#include "base/fs.h"
#include "base/secret.h"

enum { LINE_MAX_LEN = 4096 };

int secret_file_line(struct arena *arena, const char *key, const char *path, const char **ret,
                     struct error *err)
{
    char *text;
    size_t len;
    if (fs_read_private(arena, path, LINE_MAX_LEN, &text, &len, err) < 0)
        return error_wrap(err, "%s", key);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return error_set(err, ERR_INVALID, 0, "%s: %s must hold one line", key, path);
    if (len == 0)
        return error_set(err, ERR_INVALID, 0, "%s: %s is empty", key, path);
    secret_register(text);
    *ret = text;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(struct arena *arena, const void *data, size_t len)
{
    const unsigned char *in = data;
    char *out = arena_alloc(arena, (len + 2) / 3 * 4 + 1), *to = out;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16;
        group |= i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0;
        group |= i + 2 < len ? in[i + 2] : 0;
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = i + 1 < len ? alphabet[group >> 6 & 63] : '=';
        *to++ = i + 2 < len ? alphabet[group & 63] : '=';
    }
    return out;
}

char *base64_decode(struct arena *arena, const char *text, size_t *ret_len)
{
    char *out = arena_alloc(arena, strlen(text) / 4 * 3 + 4);
    size_t n = 0, digits = 0, padding = 0;
    uint32_t group = 0;
    for (; *text; text++) {
        if (*text == '\n' || *text == '\r')
            continue;
        const char *digit = strchr(alphabet, *text);
        if (*text == '=' && digits % 4 >= 2)
            padding++;
        else if (!digit || padding)
            return NULL;
        group = group << 6 | (digit ? (uint32_t)(digit - alphabet) : 0);
        if (++digits % 4)
            continue;
        out[n++] = (char)(group >> 16);
        if (padding < 2)
            out[n++] = (char)(group >> 8 & 255);
        if (padding < 1)
            out[n++] = (char)(group & 255);
        group = 0;
        if (padding && *(text + 1) && strspn(text + 1, "\r\n") != strlen(text + 1))
            return NULL;
    }
    if (digits % 4)
        return NULL;
    out[n] = '\0';
    *ret_len = n;
    return out;
}

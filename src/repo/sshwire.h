/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SSH's binary strings (RFC 4251, section 5), read with bounds. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ssh_reader {
    const uint8_t *at, *end;
};

struct ssh_bytes {
    const uint8_t *data;
    size_t len;
};

static inline bool ssh_read_u32(struct ssh_reader *reader, uint32_t *ret)
{
    if (reader->end - reader->at < 4)
        return false;
    const uint8_t *p = reader->at;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    reader->at += 4;
    return true;
}

static inline bool ssh_read_string(struct ssh_reader *reader, struct ssh_bytes *ret)
{
    struct ssh_reader ahead = *reader;
    uint32_t len;
    if (!ssh_read_u32(&ahead, &len) || len > (size_t)(ahead.end - ahead.at))
        return false;
    *ret = (struct ssh_bytes){ahead.at, len};
    reader->at = ahead.at + len;
    return true;
}

static inline bool ssh_bytes_is(const struct ssh_bytes *bytes, const char *text)
{
    return bytes->len == strlen(text) && memcmp(bytes->data, text, bytes->len) == 0;
}

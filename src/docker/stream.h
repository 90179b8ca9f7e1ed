/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Byte streams of the engine, taken apart piece by piece in bounded memory. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* ---- lines ---- */
typedef int (*line_fn)(void *userdata, const char *line,
                       size_t len); /* without the newline; non-zero stops */

struct lines {
    size_t max; /* a longer line is cut to this; its rest is dropped */
    line_fn fn;
    void *userdata;
    struct str partial;
};
int lines_feed(struct lines *lines, const char *data, size_t len); /* what fn returned, or 0 */
int lines_end(struct lines *lines);                                /* a last line without a newline */
void lines_release(struct lines *lines);

/* ---- multiplexed output: 8 bytes of header {stream, 0, 0, 0, length big-endian}, then the bytes
        (https://docs.docker.com/engine/api/v1.41/#operation/ContainerAttach "Stream format") ---- */
enum { STREAM_STDIN, STREAM_STDOUT, STREAM_STDERR, STREAM_SYSTEM };

/* `starts`: these are the first bytes of a frame. Non-zero stops. */
typedef int (*demux_fn)(void *userdata, unsigned stream, bool starts, const char *data, size_t len);

struct demux {
    demux_fn fn;
    void *userdata;
    bool may_be_raw; /* the stream of a TTY has no frames: told from its first bytes */
    bool raw;        /* it has none; everything is stdout */
    bool decided, starts;
    unsigned char header[8];
    size_t header_len;
    uint32_t left; /* of the frame */
};
/* 0, what fn returned, or DEMUX_BROKEN when a header makes no sense. */
#define DEMUX_BROKEN (-2)
int demux_feed(struct demux *demux, const char *data, size_t len);
int demux_end(struct demux *demux); /* DEMUX_BROKEN: cut within a frame */

/* "2026-08-23T14:02:11.123456789Z" to ns since 1970; false: not that. */
bool parse_timestamp(const char *text, size_t len, int64_t *ret_ns);

/* SPDX-License-Identifier: Apache-2.0 */
#include "docker/stream.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

int lines_feed(struct lines *lines, const char *data, size_t len)
{
    while (len > 0) {
        const char *newline = memchr(data, '\n', len);
        size_t piece = newline ? (size_t)(newline - data) : len;
        if (piece > 0)
            str_append_n(&lines->partial, data, smaller(piece, lines->max - lines->partial.len));
        if (!newline)
            return 0;
        int r = lines->fn(lines->userdata, str_text(&lines->partial), lines->partial.len);
        str_clear(&lines->partial);
        if (r != 0)
            return r;
        data += piece + 1;
        len -= piece + 1;
    }
    return 0;
}

int lines_end(struct lines *lines)
{
    if (lines->partial.len == 0)
        return 0;
    int r = lines->fn(lines->userdata, str_text(&lines->partial), lines->partial.len);
    str_clear(&lines->partial);
    return r;
}

void lines_release(struct lines *lines)
{
    str_release(&lines->partial);
}

static bool header_makes_sense(const unsigned char header[8])
{
    return header[0] <= STREAM_SYSTEM && header[1] == 0 && header[2] == 0 && header[3] == 0;
}

/* A complete header: opens a frame, or shows that there are none. */
static int open_frame(struct demux *demux)
{
    const unsigned char *h = demux->header;
    bool sane = header_makes_sense(h);
    if (!sane && (demux->decided || !demux->may_be_raw))
        return DEMUX_BROKEN;
    demux->decided = true;
    if (!sane) {
        demux->raw = true;
        return demux->fn(demux->userdata, STREAM_STDOUT, true, (const char *)h, demux->header_len);
    }
    demux->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
    demux->starts = true;
    if (demux->left == 0)
        demux->header_len = 0;
    return 0;
}

int demux_feed(struct demux *demux, const char *data, size_t len)
{
    while (len > 0) {
        size_t n;
        int r = 0;
        if (demux->raw) {
            return demux->fn(demux->userdata, STREAM_STDOUT, false, data, len);
        } else if (demux->header_len < sizeof demux->header) {
            n = smaller(len, sizeof demux->header - demux->header_len);
            memcpy(demux->header + demux->header_len, data, n);
            demux->header_len += n;
            if (demux->header_len == sizeof demux->header)
                r = open_frame(demux);
        } else {
            n = smaller(len, demux->left);
            bool starts = demux->starts;
            demux->starts = false;
            demux->left -= (uint32_t)n;
            if (demux->left == 0)
                demux->header_len = 0;
            r = demux->fn(demux->userdata, demux->header[0], starts, data, n);
        }
        if (r != 0)
            return r;
        data += n;
        len -= n;
    }
    return 0;
}

int demux_end(struct demux *demux)
{
    if (demux->raw || demux->header_len == 0)
        return 0;
    if (demux->may_be_raw && !demux->decided &&
        !header_makes_sense(demux->header)) /* fewer than 8 bytes in all */
        return demux->fn(demux->userdata, STREAM_STDOUT, true, (const char *)demux->header,
                         demux->header_len);
    return DEMUX_BROKEN;
}

bool parse_timestamp(const char *text, size_t len, int64_t *ret_ns)
{
    char copy[40];
    if (len < 20 || len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';

    struct tm tm = {0};
    int used = 0;
    if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used) != 6 ||
        used != 19)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    const char *p = copy + used;
    int64_t ns = 0;
    if (*p == '.') {
        int64_t unit = 100000000;
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            ns += (*p - '0') * unit;
    }
    int hours = 0, minutes = 0;
    char sign = *p;
    if (sign == 'Z' ? p[1] != '\0'
                    : (sign != '+' && sign != '-') || sscanf(p + 1, "%2d:%2d", &hours, &minutes) != 2)
        return false;
    int64_t offset_s = (hours * 60 + minutes) * 60;
    int64_t seconds = (int64_t)timegm(&tm) - (sign == '-' ? -offset_s : offset_s);
    *ret_ns = seconds * 1000000000 + ns;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "docker/log_reader.h"

#include <string.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)

static int deliver(struct log_reader *reader, unsigned stream)
{
    struct log_stream *s = &reader->streams[stream];
    int r = 0;
    if (reader->demux.raw && s->line.len > 0 && s->line.data[s->line.len - 1] == '\r')
        s->line.data[--s->line.len] = '\0'; /* a terminal's line ends */
    /* the engine's `since` includes its own moment, and more (logs.c): those lines were seen before */
    int64_t since_ns = stream == STREAM_STDERR ? reader->since.err_ns : reader->since.out_ns;
    if (stream != STREAM_SYSTEM && (s->timestamp_ns > since_ns || since_ns == 0))
        r = reader->fn(reader->userdata, s->timestamp_ns, stream == STREAM_STDERR, str_text(&s->line),
                       s->line.len);
    if (stream != STREAM_SYSTEM)
        str_clear(&s->line);
    return r;
}

static void append(struct log_stream *s, const char *data, size_t len)
{
    size_t room = LINE_MAX_BYTES - s->line.len;
    if (len > 0 && room > 0)
        str_append_n(&s->line, data, len < room ? len : room);
}

/* Takes bytes of the timestamp until it is complete; returns how many. */
static size_t take_prefix(struct log_stream *s, const char *data, size_t len)
{
    size_t n = 0;
    while (n < len && s->prefix_len < sizeof s->prefix) {
        char c = data[n++];
        if (c == ' ') {
            int64_t ns;
            bool is_timestamp = parse_timestamp(s->prefix, s->prefix_len, &ns);
            if (!is_timestamp) {
                append(s, s->prefix, s->prefix_len);
                append(s, " ", 1);
            } else if (s->line.len == 0) {
                s->timestamp_ns = ns;
            }
            s->in_prefix = false;
            return n;
        }
        if (c == '\n') {
            n--;
            break;
        }
        s->prefix[s->prefix_len++] = c;
    }
    if (n < len) { /* too long, or a line without a blank: no timestamp */
        append(s, s->prefix, s->prefix_len);
        s->in_prefix = false;
    }
    return n;
}

static int on_frame(void *userdata, unsigned stream, bool starts, const char *data, size_t len)
{
    struct log_reader *reader = userdata;
    struct log_stream *s = &reader->streams[stream];
    if (starts) {
        s->in_prefix = stream != STREAM_SYSTEM;
        s->prefix_len = 0;
    }
    while (len > 0) {
        size_t n;
        if (s->in_prefix) {
            n = take_prefix(s, data, len);
        } else {
            const char *newline = memchr(data, '\n', len);
            n = newline ? (size_t)(newline - data) : len;
            append(s, data, n);
            if (newline) {
                n++;
                if (deliver(reader, stream) != 0)
                    return 1;
                s->in_prefix = reader->demux.raw;
                s->prefix_len = 0;
            }
        }
        data += n;
        len -= n;
    }
    return 0;
}

void log_reader_init(struct log_reader *reader)
{
    reader->demux = (struct demux){.fn = on_frame, .userdata = reader, .may_be_raw = true};
}

bool log_reader_feed(struct log_reader *reader, const char *data, size_t len)
{
    if (reader->ended_by == 0)
        reader->ended_by = demux_feed(&reader->demux, data, len);
    return reader->ended_by == 0;
}

void log_reader_end(struct log_reader *reader)
{
    if (reader->ended_by != 0)
        return;
    reader->ended_by = demux_end(&reader->demux);
    for (unsigned i = 0; reader->ended_by == 0 && i < STREAM_SYSTEM; i++) {
        struct log_stream *s = &reader->streams[i];
        if (s->in_prefix)
            append(s, s->prefix, s->prefix_len);
        if (s->line.len > 0)
            reader->ended_by = deliver(reader, i);
    }
}

void log_reader_release(struct log_reader *reader)
{
    for (unsigned i = 0; i <= STREAM_SYSTEM; i++)
        str_release(&reader->streams[i].line);
}

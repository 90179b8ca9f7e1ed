/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Takes the bytes of a service's log apart into lines with their timestamps. Pure, in bounded memory. */

#include "agent/docker.h"
#include "docker/stream.h"

/* One of the streams. A message of the engine's log begins with a timestamp and a blank; a line of more than
   16 KiB is several messages, of which only the last one ends with a newline. */
struct log_stream {
    char prefix[40];
    size_t prefix_len;
    bool in_prefix;
    int64_t timestamp_ns;
    struct str line;
};

struct log_reader {
    struct log_position since; /* set these three, zero the rest */
    docker_log_fn fn;
    void *userdata;
    struct demux demux;
    struct log_stream streams[STREAM_SYSTEM + 1];
    int ended_by; /* 1: the reader's fn, DEMUX_BROKEN: nonsense came */
};

void log_reader_init(struct log_reader *reader);
/* false: over, see ended_by */
bool log_reader_feed(struct log_reader *reader, const char *data, size_t len);
/* Delivers last lines without a newline; what the engine itself had to say of missing parts is in the line of
   stream STREAM_SYSTEM then. */
void log_reader_end(struct log_reader *reader);
void log_reader_release(struct log_reader *reader);

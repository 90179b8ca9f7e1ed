/* SPDX-License-Identifier: Apache-2.0 */
/* Output of a service's tasks: https://docs.docker.com/engine/api/v1.41/#operation/ServiceLogs */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "docker/client.h"
#include "docker/log_reader.h"

#define STALL_US (20 * US_PER_S) /* a node that stopped answering, but is not known to be down */

/* So late may a line be written after it was stamped, on a machine that is busy. */
static const int64_t overlap_ns = INT64_C(2000000000);

static int on_data(void *userdata, const char *data, size_t len)
{
    return log_reader_feed(userdata, data, len) ? 0 : -1;
}

static int finish(struct log_reader *reader, const char *id, struct error *err)
{
    log_reader_end(reader);
    if (reader->ended_by == DEMUX_BROKEN)
        return error_set(err, ERR_UNAVAILABLE, 0, "reading the log of service %s: cut off", id);
    const struct str *system = &reader->streams[STREAM_SYSTEM].line;
    if (reader->ended_by != 0 || system->len == 0)
        return 0;
    /* a node does not answer, a task has no node yet */
    cleanup_arena struct arena arena = {0};
    return error_set(err, ERR_UNAVAILABLE, 0, "reading the log of service %s: %s", id,
                     str_clean(&arena, system->data, system->len, true, 1024));
}

static int read_log(struct docker *docker, struct log_reader *reader, enum endpoint endpoint, const char *id,
                    unsigned tail, struct error *err)
{
    struct call call = {
        .endpoint = endpoint, .object = id, .stall_us = STALL_US, .on_data = on_data, .userdata = reader};
    const struct log_position *since = &reader->since;
    int64_t since_ns = (since->out_ns > since->err_ns ? since->out_ns : since->err_ns) - overlap_ns;
    char number[40];
    call_query(&call, "stdout", "1");
    call_query(&call, "stderr", "1");
    call_query(&call, "timestamps", "1");
    if (since_ns > 0) {
        snprintf(number, sizeof number, "%lld.%09lld", (long long)(since_ns / 1000000000),
                 (long long)(since_ns % 1000000000));
        call_query(&call, "since", number);
    }
    if (tail > 0) {
        snprintf(number, sizeof number, "%u", tail);
        call_query(&call, "tail", number);
    }
    if (docker_send(docker, &call, NULL, err) < 0 && reader->ended_by == 0)
        return -1;
    return finish(reader, id, err); /* on_data() ended it otherwise */
}

int docker_service_logs(struct docker *docker, const char *id, const struct log_position *since,
                        unsigned tail, docker_log_fn fn, void *userdata, struct error *err)
{
    struct log_reader reader = {
        .since = since ? *since : (struct log_position){0}, .fn = fn, .userdata = userdata};
    log_reader_init(&reader);
    int r = read_log(docker, &reader, EP_SERVICE_LOGS, id, tail, err);
    log_reader_release(&reader);
    return r;
}

int docker_task_logs(struct docker *docker, const char *id, unsigned tail, docker_log_fn fn, void *userdata,
                     struct error *err)
{
    struct log_reader reader = {.fn = fn, .userdata = userdata};
    log_reader_init(&reader);
    int r = read_log(docker, &reader, EP_TASK_LOGS, id, tail, err);
    log_reader_release(&reader);
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <git2/sys/transport.h>
#if __has_include(<git2/sys/errors.h>)
#include <git2/sys/errors.h> /* libgit2 1.9; 1.5 has git_error_set_str() in git2.h */
#endif
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "repo/smart_http.h"

/* A listing in version 0 of the protocol has all references: about 70 bytes each. */
#define LISTING_MAX ((size_t)64 << 20)

/*
 * libgit2 pulls bytes, src/net pushes them: an answer is spooled to a nameless file and read from there.
 * A pack is written twice that way, and in exchange never sits in memory.
 */
struct channel {
    git_smart_subtransport base;
    struct remote *remote;
    struct smart_http http;
};

struct stream {
    git_smart_subtransport_stream base;
    struct channel *channel;
    bool listing;
    bool sent;
    struct str body;
    int spool_fd;
    size_t received;
};

static int fail(struct remote *remote)
{
    git_error_set_str(GIT_ERROR_NET, remote->error.text);
    return -1;
}

static int open_spool(struct remote *remote, int *ret)
{
    char *path = arena_printf(&remote->arena, "%s/answer.XXXXXX", remote->spool_dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return error_errno(&remote->error, "%s", path);
    unlink(path);
    *ret = fd;
    return 0;
}

static int write_spool(void *userdata, const char *data, size_t len)
{
    struct stream *stream = userdata;
    size_t max = stream->listing ? LISTING_MAX : (size_t)REPO_MAX_BYTES;
    stream->received += len;
    if (stream->received > max)
        return remote_too_large(stream->channel->remote);
    if (remote_received(stream->channel->remote, stream->received) < 0)
        return -1;
    while (len > 0) {
        ssize_t n = write(stream->spool_fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(&stream->channel->remote->error, "keeping the server's answer in %s",
                               stream->channel->remote->spool_dir);
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int send_request(struct stream *stream)
{
    struct remote *remote = stream->channel->remote;
    struct smart_http_call call = {.on_data = write_spool, .userdata = stream};
    if (!stream->listing) {
        call.body = str_text(&stream->body);
        call.len = stream->body.len;
        call.grace_us = REPO_MAX_BYTES / REPO_MIN_RATE * US_PER_S;
    }
    if (open_spool(remote, &stream->spool_fd) < 0)
        return -1;

    struct http_response response = {0};
    struct error err = {0};
    int r = smart_http_send(&stream->channel->http, &call, &response, &err);
    http_response_release(&response);
    if (r < 0) {
        if (remote->error.kind == ERR_NONE) /* else the spool's error is the cause */
            remote->error = err;
        return -1;
    }
    if (lseek(stream->spool_fd, 0, SEEK_SET) < 0)
        return error_errno(&remote->error, "%s", remote->spool_dir);
    return 0;
}

static int stream_read(git_smart_subtransport_stream *base, char *buffer, size_t size, size_t *ret_read)
{
    struct stream *stream = (struct stream *)base;
    struct remote *remote = stream->channel->remote;
    if (!stream->sent) {
        stream->sent = true;
        if (send_request(stream) < 0)
            return fail(remote);
    }
    ssize_t n = read(stream->spool_fd, buffer, size);
    if (n < 0) {
        error_errno(&remote->error, "%s", remote->spool_dir);
        return fail(remote);
    }
    *ret_read = (size_t)n;
    return 0;
}

static int stream_write(git_smart_subtransport_stream *base, const char *buffer, size_t len)
{
    struct stream *stream = (struct stream *)base;
    str_append_n(&stream->body, buffer, len);
    return 0;
}

static void stream_free(git_smart_subtransport_stream *base)
{
    struct stream *stream = (struct stream *)base;
    if (stream->spool_fd >= 0)
        close(stream->spool_fd);
    str_release(&stream->body);
    free(stream);
}

static int channel_action(git_smart_subtransport_stream **ret, git_smart_subtransport *base, const char *url,
                          git_smart_service_t action)
{
    struct channel *channel = (struct channel *)base;
    (void)url; /* the configured one, and only that, is asked */
    if (action != GIT_SERVICE_UPLOADPACK_LS && action != GIT_SERVICE_UPLOADPACK) {
        error_set(&channel->remote->error, ERR_INTERNAL, 0, "nothing is ever pushed");
        return fail(channel->remote);
    }
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        abort();
    stream->base = (git_smart_subtransport_stream){base, stream_read, stream_write, stream_free};
    stream->channel = channel;
    stream->listing = action == GIT_SERVICE_UPLOADPACK_LS;
    stream->spool_fd = -1;
    *ret = &stream->base;
    return 0;
}

static int channel_close(git_smart_subtransport *base)
{
    (void)base;
    return 0;
}

static void channel_free(git_smart_subtransport *base)
{
    struct channel *channel = (struct channel *)base;
    smart_http_close(&channel->http);
    free(channel);
}

static int channel_new(git_smart_subtransport **ret, git_transport *owner, void *param)
{
    struct remote *remote = param;
    (void)owner;
    struct channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        abort();
    channel->base = (git_smart_subtransport){channel_action, channel_close, channel_free};
    channel->remote = remote;
    if (smart_http_open(remote->stack, remote->url, remote->deadline_us, &channel->http, &remote->error) <
        0) {
        free(channel);
        return fail(remote);
    }
    *ret = &channel->base;
    return 0;
}

int remote_http_transport(git_transport **ret, git_remote *owner, void *payload)
{
    git_smart_subtransport_definition definition = {.callback = channel_new, .rpc = 1, .param = payload};
    return git_transport_smart(ret, owner, &definition);
}

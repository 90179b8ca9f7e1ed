/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Git's wire format, as far as a reference listing needs it. Pure: bytes in, structs out; every byte may
 * be hostile. Sources: gitprotocol-common(5) (pkt-line), gitprotocol-http(5) (smart GET),
 * gitprotocol-pack(5) (the advertisement of versions 0 and 1), gitprotocol-v2(5) (capabilities, ls-refs).
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/error.h"
#include "base/str.h"

#define PKT_MAX 65520 /* with its four digits of length */
#define OID_HEX 40

enum pkt_kind {
    PKT_DATA,
    PKT_FLUSH,        /* 0000 */
    PKT_DELIM,        /* 0001 */
    PKT_RESPONSE_END, /* 0002 */
    PKT_EOF,          /* no byte left */
    PKT_BROKEN,       /* cut off, or not a length */
};

struct pkt_reader {
    const char *at, *end;
};

/* The next packet; *ret points into the input and has no NUL at its end; one newline at its end is cut. */
enum pkt_kind pkt_next(struct pkt_reader *reader, const char **ret, size_t *ret_len);

/* Appends "LINE\n" as one packet. */
void pkt_append(struct str *out, const char *line);

struct ref_listing {
    bool version2;            /* capabilities only: ask with ls-refs */
    bool sends_object_format; /* version 2: the server wants to hear object-format=sha1 */
    bool found;
    char id[OID_HEX + 1]; /* of the wanted reference, when found */
};

/*
 * The answer to GET info/refs. With versions 0 and 1 it is the listing; `ref` is looked for in it.
 * ERR_INVALID: not Git's format, or a repository with SHA-256 ids; ERR_NOT_FOUND: the server's own "ERR …".
 */
int pkt_parse_advertisement(const char *body, size_t len, const char *ref, struct ref_listing *ret,
                            struct error *err) MUST_CHECK;
/* The answer to ls-refs. */
int pkt_parse_ls_refs(const char *body, size_t len, const char *ref, struct ref_listing *ret,
                      struct error *err) MUST_CHECK;
/* The request body of ls-refs for one reference. */
void pkt_make_ls_refs(struct str *out, const char *ref, bool send_object_format);

/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/pktline.h"

#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"

enum pkt_kind pkt_next(struct pkt_reader *reader, const char **ret, size_t *ret_len)
{
    size_t left = (size_t)(reader->end - reader->at);
    if (left == 0)
        return PKT_EOF;
    if (left < 4)
        return PKT_BROKEN;

    size_t size = 0;
    for (int i = 0; i < 4; i++) {
        int digit = str_hex_digit(reader->at[i]);
        if (digit < 0)
            return PKT_BROKEN;
        size = size * 16 + (size_t)digit;
    }
    if (size < 3) {
        reader->at += 4;
        return size == 0 ? PKT_FLUSH : size == 1 ? PKT_DELIM : PKT_RESPONSE_END;
    }
    if (size == 3 || size > PKT_MAX || size > left)
        return PKT_BROKEN;

    *ret = reader->at + 4;
    *ret_len = size - 4;
    if (*ret_len > 0 && (*ret)[*ret_len - 1] == '\n')
        (*ret_len)--;
    reader->at += size;
    return PKT_DATA;
}

void pkt_append(struct str *out, const char *line)
{
    str_printf(out, "%04zx%s\n", strlen(line) + 5, line);
}

static bool pkt_is(const char *line, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(line, text, len) == 0;
}

static bool pkt_starts(const char *line, size_t len, const char *text)
{
    return len >= strlen(text) && memcmp(line, text, strlen(text)) == 0;
}

static int broken(struct error *err)
{
    return error_set(err, ERR_INVALID, 0,
                     "the server's answer is not a reference listing of Git; is the address a repository's?");
}

static int foreign_format(struct error *err)
{
    return error_set(err, ERR_INVALID, 0, "repositories with SHA-256 object ids are not supported");
}

/* "ERR explanation": the server's way to say no */
static int server_error(const char *line, size_t len, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    return error_set(err, ERR_NOT_FOUND, 0, "the server says: %s",
                     str_clean(&arena, line + 4, len - 4, true, 200));
}

/* "OID NAME", after which a blank (version 2) or NUL (versions 0 and 1) may start attributes */
static int parse_ref(const char *line, size_t len, const char *ref, struct ref_listing *listing,
                     struct error *err)
{
    size_t digits = 0;
    while (digits < len && str_hex_digit(line[digits]) >= 0)
        digits++;
    if (digits == 64 && digits < len && line[digits] == ' ')
        return foreign_format(err);
    if (digits != OID_HEX || digits + 1 >= len || line[digits] != ' ')
        return broken(err);

    const char *name = line + OID_HEX + 1;
    size_t name_len = 0, rest = len - OID_HEX - 1;
    while (name_len < rest && name[name_len] != '\0' && name[name_len] != ' ')
        name_len++;
    if (!pkt_is(name, name_len, ref))
        return 0;
    listing->found = true;
    for (int i = 0; i < OID_HEX; i++)
        listing->id[i] = "0123456789abcdef"[str_hex_digit(line[i])];
    listing->id[OID_HEX] = '\0';
    return 0;
}

static int parse_refs(struct pkt_reader *reader, const char *ref, struct ref_listing *listing,
                      struct error *err)
{
    const char *line;
    size_t len;
    for (;;) {
        switch (pkt_next(reader, &line, &len)) {
        case PKT_DATA:
            if (pkt_starts(line, len, "ERR "))
                return server_error(line, len, err);
            /* A shallow repository says where its history is cut; "unborn HEAD" is of version 2. */
            if (pkt_starts(line, len, "shallow ") || pkt_starts(line, len, "unborn "))
                continue;
            if (parse_ref(line, len, ref, listing, err) < 0)
                return -1;
            break;
        case PKT_FLUSH:
            return 0;
        default:
            return broken(err);
        }
    }
}

static int parse_capabilities(struct pkt_reader *reader, struct ref_listing *listing, struct error *err)
{
    const char *line;
    size_t len;
    bool ls_refs = false;
    for (;;) {
        switch (pkt_next(reader, &line, &len)) {
        case PKT_DATA:
            if (pkt_starts(line, len, "ERR "))
                return server_error(line, len, err);
            if (pkt_is(line, len, "ls-refs") || pkt_starts(line, len, "ls-refs="))
                ls_refs = true;
            if (pkt_is(line, len, "object-format=sha1"))
                listing->sends_object_format = true;
            else if (pkt_starts(line, len, "object-format="))
                return foreign_format(err);
            break;
        case PKT_FLUSH:
            return ls_refs ? 0 : broken(err);
        default:
            return broken(err);
        }
    }
}

int pkt_parse_advertisement(const char *body, size_t len, const char *ref, struct ref_listing *ret,
                            struct error *err)
{
    struct pkt_reader reader = {body, body + len};
    struct ref_listing listing = {0};
    const char *line = "";
    size_t n = 0;

    /* "# service=git-upload-pack" and a flush come first; servers may leave them out in version 2. */
    struct pkt_reader ahead = reader;
    if (pkt_next(&ahead, &line, &n) == PKT_DATA && pkt_is(line, n, "# service=git-upload-pack")) {
        if (pkt_next(&ahead, &line, &n) != PKT_FLUSH)
            return broken(err);
        reader = ahead;
    }

    ahead = reader;
    if (pkt_next(&ahead, &line, &n) == PKT_DATA && pkt_starts(line, n, "version ")) {
        listing.version2 = pkt_is(line, n, "version 2");
        if (!listing.version2 && !pkt_is(line, n, "version 1"))
            return broken(err);
        reader = ahead;
    }
    int r = listing.version2 ? parse_capabilities(&reader, &listing, err)
                             : parse_refs(&reader, ref, &listing, err);
    if (r == 0)
        *ret = listing;
    return r;
}

int pkt_parse_ls_refs(const char *body, size_t len, const char *ref, struct ref_listing *ret,
                      struct error *err)
{
    struct pkt_reader reader = {body, body + len};
    struct ref_listing listing = {.version2 = true};
    if (parse_refs(&reader, ref, &listing, err) < 0)
        return -1;
    *ret = listing;
    return 0;
}

void pkt_make_ls_refs(struct str *out, const char *ref, bool send_object_format)
{
    cleanup_str struct str line = {0};
    pkt_append(out, "command=ls-refs");
    pkt_append(out, "agent=deploy-agent/" VERSION);
    if (send_object_format)
        pkt_append(out, "object-format=sha1");
    str_append(out, "0001");
    str_printf(&line, "ref-prefix %s", ref);
    pkt_append(out, str_text(&line));
    str_append(out, "0000");
}

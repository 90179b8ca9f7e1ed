/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "repo/credentials.h"
#include "repo/internal.h"
#include "repo/knownhosts.h"
#include "repo/pktline.h"
#include "repo/url.h"

#define A10  "aaaaaaaaaa"
#define A40  A10 A10 A10 A10
#define A250 A40 A40 A40 A40 A40 A40 A10

/* ---- addresses ---- */

static void urls_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum repo_scheme scheme;
        const char *user, *host;
        unsigned port;
        const char *path, *clean;
    } cases[] = {
        {"https://github.com/a/b.git", REPO_HTTPS, NULL, "github.com", 443, "/a/b.git",
         "https://github.com/a/b.git"},
        {"HTTPS://GitHub.COM/A/B", REPO_HTTPS, NULL, "github.com", 443, "/A/B", "https://github.com/A/B"},
        {"https://bob@git.example:8443/a", REPO_HTTPS, "bob", "git.example", 8443, "/a",
         "https://git.example:8443/a"},
        {"https://git.example:443/a", REPO_HTTPS, NULL, "git.example", 443, "/a", "https://git.example/a"},
        {"http://127.0.0.1:80/a", REPO_HTTP, NULL, "127.0.0.1", 80, "/a", "http://127.0.0.1/a"},
        {"http://127.255.0.9/a", REPO_HTTP, NULL, "127.255.0.9", 80, "/a", "http://127.255.0.9/a"},
        {"http://localhost:3000/a", REPO_HTTP, NULL, "localhost", 3000, "/a", "http://localhost:3000/a"},
        {"http://[::1]:3000/a", REPO_HTTP, NULL, "::1", 3000, "/a", "http://[::1]:3000/a"},
        {"http://git.lan/a", REPO_HTTP, NULL, "git.lan", 80, "/a", "http://git.lan/a"},
        {"ssh://git@h.example/a/b", REPO_SSH, "git", "h.example", 22, "/a/b", "ssh://git@h.example/a/b"},
        {"ssh://h.example:2222/a", REPO_SSH, "git", "h.example", 2222, "/a", "ssh://git@h.example:2222/a"},
        {"ssh://u@[fe80::1]:22/~/a", REPO_SSH, "u", "fe80::1", 22, "/~/a", "ssh://u@[fe80::1]/~/a"},
        {"git@github.com:a/b.git", REPO_SSH, "git", "github.com", 22, "a/b.git", "git@github.com:a/b.git"},
        {"github.com:a/b.git", REPO_SSH, "git", "github.com", 22, "a/b.git", "git@github.com:a/b.git"},
        {"git@h:/srv/a.git", REPO_SSH, "git", "h", 22, "/srv/a.git", "ssh://git@h/srv/a.git"},
        {"file:///srv/git/a.git", REPO_FILE, NULL, "", 0, "/srv/git/a.git", "file:///srv/git/a.git"},
        {"file://localhost/srv/a", REPO_FILE, NULL, "", 0, "/srv/a", "file:///srv/a"},
        {"https://h/gr\303\274n.git", REPO_HTTPS, NULL, "h", 443, "/gr\303\274n.git",
         "https://h/gr\303\274n.git"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct repo_url url;
        struct error err = {0};
        if (repo_url_parse(&arena, cases[i].text, true, &url, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(url.scheme, cases[i].scheme);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        assert_string_equal(url.text, cases[i].clean);
        assert_true(str_eq(url.user, cases[i].user));
        /* what it prints means the same (but for the user, which http(s) addresses lose) */
        struct repo_url again;
        assert_int_equal(repo_url_parse(&arena, url.text, true, &again, &err), 0);
        assert_string_equal(again.text, url.text);
    }
}

static void urls_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "write https"},
        {"https://", "host is missing"},
        {"https:///a", "host is missing"},
        {"https://h", "path is missing"},
        {"https://h/", "path is missing"},
        {"https://:443/a", "host is missing"},
        {"https://h:0/a", "port"},
        {"https://h:65536/a", "port"},
        {"https://h:99999999999/a", "port"},
        {"https://h:/a", "port"},
        {"https://h:8a/a", "port"},
        {"https://-h/a", "host must be"},
        {"https://.h/a", "host must be"},
        {"https://h_/a\tb", "control character"},
        {"https://h/a b", "blank"},
        {"https://h/a\n", "control character"},
        {"https://h/a\x7f", "control character"},
        {"https://h/\xff", "UTF-8"},
        {"https://h/a?x=1", "query"},
        {"https://h/a#f", "fragment"},
        {"https://bob:hunter2@h/a", "token_file"},
        {"ssh://bob:hunter2@h/a", "token_file"},
        {"https://a@b@h/a", "user name"},
        {"https://-u@h/a", "user name"},
        {"https://@h/a", "user name"},
        {"https://%67it@h/a", "user name"},
        {"https://h%2ecom/a", "host must be"},
        {"https://h\xc3\xa9/a", "host must be"},
        {"https://[::1/a", "IPv6"},
        {"https://[nope]/a", "IPv6"},
        {"https://[]/a", "IPv6"},
        {"https://[::1]x/a", "IPv6"},
        {"https://" A250 "aaaa/a", "too long"},
        {"http://git.example/a", "insecure"},
        {"http://127.0.0.1.evil.example/a", "insecure"},
        {"http://localhost.evil.example/a", "insecure"},
        {"http://128.0.0.1/a", "insecure"},
        {"http://127.1/a", "insecure"},
        {"git://h/a", "git://"},
        {"GIT://h/a", "git://"},
        {"ftp://h/a", "scheme"},
        {"ext::sh -c x", "blank"},
        {"ext::sh", "write https"},
        {"/srv/git/a", "file:///PATH"},
        {"file://srv/a", "three slashes"},
        {"file://", "path is missing"},
        {"file:///", "path is missing"},
        {"-oProxyCommand=x", "begin with -"},
        {"ssh://-oProxyCommand=x/a", "host must be"},
        {"ssh://-l@h/a", "user name"},
        {"ssh://h/a'b", "quotes"},
        {"ssh://h/$(x)", "quotes"},
        {"ssh://h/a`b", "quotes"},
        {"git@h:-a", "begin with -"},
        {"git@h:", "path is missing"},
        {"git@-h:a", "host must be"},
        {"a/b", "write https"},
        {"./a:b", "write https"},
        {"git@[::1]:a", "write https"},
        {"[::1]:a", "write https"},
        {"u:p@h:a", "token_file"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct repo_url url = {.port = 12345};
        struct error err = {0};
        if (repo_url_parse(&arena, cases[i].text, false, &url, &err) == 0)
            fail_msg("%s was accepted", cases[i].text);
        assert_int_equal(err.kind, ERR_INVALID);
        if (!strstr(err.text, cases[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, err.text, cases[i].why);
        assert_null(strstr(err.text, "hunter2"));
        assert_int_equal(url.port, 12345); /* written only on success */
    }
}

static void loopback_needs_no_insecure(void **state)
{
    (void)state;
    static const char *const urls[] = {"http://127.0.0.1/a", "http://127.9.9.9:1/a", "http://localhost/a",
                                       "http://LOCALHOST/a", "http://[::1]/a",       "http://[0::1]:80/a"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        cleanup_arena struct arena arena = {0};
        struct repo_url url;
        struct error err = {0};
        if (repo_url_parse(&arena, urls[i], false, &url, &err) < 0)
            fail_msg("%s: %s", urls[i], err.text);
    }
}

static void branches(void **state)
{
    (void)state;
    static const char *const good[] = {"main",        "release/1.2", "a.b", "feature/x_y-z",
                                       "gr\303\274n", "a@b",         A40};
    static const char *const bad[] = {"",      "-x",   "a..b",   "a b",      "a~b", "a^b", "a:b",
                                      "a?b",   "a*b",  "a[b",    "a\\",      "/a",  "a/",  "a//b",
                                      ".a",    "a/.b", "a.lock", "a.lock/b", "a.",  "@",   "a@{b",
                                      "a\x7f", "a\n",  "\xff",   "\x1b[31m", A250};
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(repo_branch_check(good[i], &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (repo_branch_check(bad[i], &err) == 0)
            fail_msg("\"%s\" was accepted", bad[i]);
}

/* ---- pkt-lines ---- */

static void pkt_lines(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum pkt_kind kind;
        const char *line;
    } cases[] = {
        {"", PKT_EOF, NULL},
        {"0000", PKT_FLUSH, NULL},
        {"0001", PKT_DELIM, NULL},
        {"0002", PKT_RESPONSE_END, NULL},
        {"0003", PKT_BROKEN, NULL},
        {"0004", PKT_DATA, ""},
        {"0005a", PKT_DATA, "a"},
        {"0005\n", PKT_DATA, ""},
        {"0006a\n", PKT_DATA, "a"},
        {"0007a\n\n", PKT_DATA, "a\n"},
        {"000aabcdefXYZ", PKT_DATA, "abcdef"},
        {"000Aabcdef", PKT_DATA, "abcdef"},
        {"0006a", PKT_BROKEN, NULL},
        {"000", PKT_BROKEN, NULL},
        {"0", PKT_BROKEN, NULL},
        {"00g5a", PKT_BROKEN, NULL},
        {"-005a", PKT_BROKEN, NULL},
        {" 05a", PKT_BROKEN, NULL},
        {"+005a", PKT_BROKEN, NULL},
        {"0x05a", PKT_BROKEN, NULL},
        {"ffffa", PKT_BROKEN, NULL},
        {"fff1a", PKT_BROKEN, NULL},
        {"fff0a", PKT_BROKEN, NULL},
        {"\xff\xff\xff\xff", PKT_BROKEN, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pkt_reader reader = {cases[i].bytes, cases[i].bytes + strlen(cases[i].bytes)};
        const char *line = NULL;
        size_t len = 0;
        enum pkt_kind kind = pkt_next(&reader, &line, &len);
        if (kind != cases[i].kind)
            fail_msg("%s: %d", cases[i].bytes, (int)kind);
        if (cases[i].line) {
            assert_int_equal(len, strlen(cases[i].line));
            assert_memory_equal(line, cases[i].line, len);
        }
        assert_true(reader.at <= reader.end);
    }
}

static void pkt_largest(void **state)
{
    (void)state;
    static char bytes[PKT_MAX];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "fff0", 4);
    struct pkt_reader reader = {bytes, bytes + sizeof bytes};
    const char *line;
    size_t len;
    assert_int_equal(pkt_next(&reader, &line, &len), PKT_DATA);
    assert_int_equal(len, PKT_MAX - 4);
    assert_int_equal(pkt_next(&reader, &line, &len), PKT_EOF);
}

/*
 * Listings are written here as lines: "flush", "delim", or the line itself ("|" stands for NUL); `raw` after
 * them as it is.
 */
static void build(struct str *out, const char *const *lines, const char *raw)
{
    for (; *lines; lines++) {
        if (str_eq(*lines, "flush")) {
            str_append(out, "0000");
        } else if (str_eq(*lines, "delim")) {
            str_append(out, "0001");
        } else {
            str_printf(out, "%04zx", strlen(*lines) + 5);
            size_t start = out->len;
            str_append(out, *lines);
            str_append_char(out, '\n');
            for (size_t i = start; i < out->len; i++)
                if (out->data[i] == '|')
                    out->data[i] = '\0';
        }
    }
    if (raw)
        str_append(out, raw);
}

#define ID1     "1111111111111111111111111111111111111111"
#define ID2     "22222222222222222222222222222222222222AB"
#define ID2_LOW "22222222222222222222222222222222222222ab"
#define SERVICE "# service=git-upload-pack", "flush"
#define WANTED  "refs/heads/main"

static void advertisements(void **state)
{
    (void)state;
    static const struct {
        const char *lines[12], *raw;
        enum error_kind kind; /* ERR_NONE: success */
        const char *id;       /* NULL: not found */
        bool version2, object_format;
    } cases[] = {
        /* version 0 */
        {{SERVICE, ID1 " HEAD|multi_ack", ID2 " refs/heads/main", "flush"}, .id = ID2_LOW},
        {{SERVICE, ID2 " refs/heads/main|multi_ack agent=git/2", "flush"}, .id = ID2_LOW},
        {{SERVICE, ID1 " refs/heads/main-2|caps", ID1 " refs/heads/mai", ID1 " arefs/heads/main", "flush"},
         .id = NULL},
        {{SERVICE, ID1 " refs/tags/refs/heads/main|caps", ID1 " refs/heads/main^{}", "flush"}, .id = NULL},
        {{SERVICE, "0000000000000000000000000000000000000000 capabilities^{}|caps", "flush"}, .id = NULL},
        {{SERVICE, "flush"}, .id = NULL},
        {{SERVICE, ID1 " refs/heads/main|caps", "shallow " ID2, "flush"}, .id = ID1},
        {{ID1 " refs/heads/main|caps", "flush"}, .id = ID1},
        {{SERVICE, ID1 " refs/heads/main|caps", "flush"}, .raw = "what comes after is not read", .id = ID1},
        /* version 1 */
        {{SERVICE, "version 1", ID1 " refs/heads/main|caps", "flush"}, .id = ID1},
        /* version 2 */
        {{SERVICE, "version 2", "agent=git/2", "ls-refs=unborn", "fetch=shallow", "object-format=sha1",
          "flush"},
         .version2 = true,
         .object_format = true},
        {{"version 2", "ls-refs", "flush"}, .version2 = true},
        {{SERVICE, "version 2", "fetch", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, "version 2", "ls-refs-not", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, "version 2", "ls-refs", "object-format=sha256", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, "version 2", "ls-refs"}, .kind = ERR_INVALID},
        {{SERVICE, "version 2", "ERR no"}, .kind = ERR_NOT_FOUND},
        {{SERVICE, "version 3", "flush"}, .kind = ERR_INVALID},
        /* hostile */
        {{NULL}, .kind = ERR_INVALID},
        {{NULL}, .raw = "<html>", .kind = ERR_INVALID},
        {{"# service=git-upload-pack"}, .kind = ERR_INVALID},
        {{"# service=git-upload-pack", ID1 " refs/heads/main|c"}, .kind = ERR_INVALID},
        {{"# service=git-receive-pack", "flush", ID1 " refs/heads/main|c", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, ID1 " refs/heads/main|caps"}, .kind = ERR_INVALID},
        {{SERVICE, ID1 " refs/heads/main|caps", "delim"}, .kind = ERR_INVALID},
        {{SERVICE, ID1 " refs/heads/main|caps"}, .raw = "00ffcut", .kind = ERR_INVALID},
        {{SERVICE, ID1 " refs/heads/main|caps", "short refs/heads/main", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, ID1 "refs/heads/main", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, ID1, "flush"}, .kind = ERR_INVALID},
        {{SERVICE, ID1 " ", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, "111111111111111111111111111111111111111g refs/heads/main", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, ID1 "111111111111111111111111 refs/heads/main", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, ID1 "1 refs/heads/main", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, "", "flush"}, .kind = ERR_INVALID},
        {{SERVICE, "ERR access denied\x1b[31m"}, .kind = ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_str struct str body = {0};
        struct ref_listing listing = {0};
        struct error err = {0};
        build(&body, cases[i].lines, cases[i].raw);
        int r = pkt_parse_advertisement(str_text(&body), body.len, WANTED, &listing, &err);
        if (r == 0 && cases[i].kind)
            fail_msg("case %zu was accepted", i);
        if (r < 0 && err.kind != cases[i].kind)
            fail_msg("case %zu: %s", i, err.text);
        assert_null(strchr(err.text, '\x1b'));
        if (r < 0)
            continue;
        assert_int_equal(listing.version2, cases[i].version2);
        assert_int_equal(listing.sends_object_format, cases[i].object_format);
        assert_int_equal(listing.found, cases[i].id != NULL);
        assert_string_equal(listing.id, cases[i].id ? cases[i].id : "");
    }
}

static void ls_refs(void **state)
{
    (void)state;
    static const struct {
        const char *lines[6];
        enum error_kind kind;
        const char *id;
    } cases[] = {
        {{ID1 " refs/heads/main", "flush"}, .id = ID1},
        {{ID2 " refs/heads/main-old", ID1 " refs/heads/main symref-target:refs/heads/x", "flush"}, .id = ID1},
        {{ID2 " refs/heads/main-old", "flush"}, .id = NULL},
        {{"unborn HEAD symref-target:refs/heads/main", "flush"}, .id = NULL},
        {{"flush"}, .id = NULL},
        {{"ERR too busy", "flush"}, .kind = ERR_NOT_FOUND},
        {{ID1 " refs/heads/main"}, .kind = ERR_INVALID},
        {{ID1 " refs/heads/main", "delim", "flush"}, .kind = ERR_INVALID},
        {{NULL}, .kind = ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_str struct str body = {0};
        struct ref_listing listing = {0};
        struct error err = {0};
        build(&body, cases[i].lines, NULL);
        int r = pkt_parse_ls_refs(str_text(&body), body.len, WANTED, &listing, &err);
        assert_int_equal(r < 0 ? err.kind : ERR_NONE, cases[i].kind);
        assert_true(str_eq(listing.found ? listing.id : NULL, cases[i].id));
    }

    cleanup_str struct str request = {0};
    pkt_make_ls_refs(&request, WANTED, true);
    assert_non_null(strstr(request.data, "0014command=ls-refs\n"));
    assert_non_null(strstr(request.data, "0017object-format=sha1\n"));
    assert_non_null(strstr(request.data, "0001001fref-prefix refs/heads/main\n0000"));
}

/* Every prefix of a good answer, and the answer with each byte changed: no crash, no id but the true one. */
static void mutated_answers(void **state)
{
    (void)state;
    static const char *const lines[] = {SERVICE, ID1 " HEAD|multi_ack", ID1 " refs/heads/main", "flush",
                                        NULL};
    cleanup_str struct str body = {0};
    build(&body, lines, NULL);
    for (size_t i = 0; i < body.len; i++) {
        struct ref_listing listing = {0};
        struct error err = {0};
        assert_int_equal(pkt_parse_advertisement(body.data, i, WANTED, &listing, &err), -1);
        cleanup_free char *copy = malloc(body.len); /* no byte more: sanitizers see an overrun */
        for (int c = 0; c < 256; c += 5) {
            memcpy(copy, body.data, body.len);
            copy[i] = (char)c;
            struct ref_listing other = {0};
            if (pkt_parse_advertisement(copy, body.len, WANTED, &other, &err) == 0 && other.found)
                assert_int_equal(strlen(other.id), OID_HEX);
        }
    }
}

/* ---- SSH ---- */

#define ED1 "AAAAC3NzaC1lZDI1NTE5AAAAIM3Cn5tS3nMHZtznUcgOD6lAmeb61BuzEIWeVRyPMUft"
#define ED2 "AAAAC3NzaC1lZDI1NTE5AAAAIFkJbMHX3lYi5ZkiE6/vHcKp3UbnpvD9SCA0Z2IQOr98"
#define ECDSA                                                                                                \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFDZ56glJDNAlok65i1+"                               \
    "OPkIEkkltLvqBbjKlKTedjsBQSRzzI65mL8uVY01CIiyoaD0W6BEx6UTEWGhQq+03wA="
#define RSA2048                                                                                              \
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDLENwMw/4BasTXXcLVHxRxT/Ji3+/"                                            \
    "gSs5x4PcPQjVgBFCEIilL2WfxfZT+z8II1U1uhdr2rbK"                                                           \
    "QGluE7LftmP/"                                                                                           \
    "22JAPhiBwxFBn9MSrX3G2BMjnIIhcvYP6+xIDd3L9VBHH2gdCunUV8i3MEv+9ErkYh9cZxBI0ZiYQT47ZWKJlKkl4U5V"           \
    "pnFFq2A1rSg9qB0ZtaTTZDwjWzmTLMI039IZ9pGWnXg02r7IvxifJF+/"                                               \
    "SNcs7nE4vN0+vkcktJeHc1VoK9fwgGoDvbU9cqnBZKD0WZjH"                                                       \
    "EnYU+RS1hqDe2kzudetKeZXvlsKbcnvwBvND7fE2eIWOrA5ycpl/c1hlehxa9"
#define RSA3072                                                                                              \
    "AAAAB3NzaC1yc2EAAAADAQABAAABgQDW+I9+"                                                                   \
    "H0QR28HKHb9KyXALjBBwFNBTPVwUlsKuZd4ITTmpmTo69JR39LSTm8hsLbS7XvBgjkS"                                    \
    "3DYvbuoZOEZfEH1wsd8pGoFIyDw/"                                                                           \
    "Cz90h53tsTpLE8XZh3YIkXNg9B0ITmakbGIrxwcDcTNNkVTIAtNrXffBV5aRnu8Lu2rszlZ1xWpZ"                           \
    "TMxhaEffjE89lDHmnIJnXMZja98wTccL4AXjpHd19y1CAUhsBrMCAbOTb5gLOwlQ50jL2RfSD/yCgd8U/"                      \
    "8MusXGUXQlnvlbiuNtPNBmL"                                                                                \
    "e83ISzuNECkf9l4U2TlMH9L3xN9TCe41/"                                                                      \
    "TVC1LdXu4fX4F0XnI9dJA7CdY5XUw1AYP8Y4aJN15oZ62ugx6pizMhxBRP2d7ysaEMeGuaQ"                                \
    "jYqX/"                                                                                                  \
    "9rXBCI0GZlFB3wwEwnnOaEXPiYvI87Us0TZjqmaOAaVONH6hOfxHYa35w7YWPggeMN8BspD0pp7xGqcbyN3MoAErYp4XPtmniSP"    \
    "/JXVC/hbsFTFF8r/gphecCLU="
#define HASHED_22   "|1|Gc5t8CzfKW1tqPBX4GGM2GIAuQ0=|7aBxylfHFAikVhPT/rkBEq3lp1A="
#define HASHED_2222 "|1|rH/RQ+Jh5A+Nt/UZ2BAZtLb+tmE=|gBntrip0y8llvrxgD539KHeCKJs="

static struct host_key decode(struct arena *arena, const char *base64)
{
    struct base64_decode_ctx ctx;
    size_t n = BASE64_DECODE_LENGTH(strlen(base64));
    uint8_t *blob = arena_alloc(arena, n + 1);
    base64_decode_init(&ctx);
    assert_true(base64_decode_update(&ctx, &n, blob, strlen(base64), base64));
    return (struct host_key){blob, n};
}

static void known_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *file, *key, *host;
        unsigned port;
        enum host_key_verdict verdict;
        unsigned line;
    } cases[] = {
        {"h ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_KNOWN, 1},
        {"H ssh-ed25519 " ED1 "\n", ED1, "h", 22, HOST_KEY_KNOWN, 1},
        {"h ssh-ed25519 " ED1 " a comment\r\n", ED1, "h", 22, HOST_KEY_KNOWN, 1},
        {"\n# c\n \t\n  h\tssh-ed25519  " ED1, ED1, "h", 22, HOST_KEY_KNOWN, 4},
        {"a,h,b ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_KNOWN, 1},
        {"", ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"hh ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"h ssh-ed25519 " ED1, ED1, "hh", 22, HOST_KEY_UNKNOWN, 0},
        {"h ssh-ed25519 " ED2, ED1, "h", 22, HOST_KEY_CHANGED, 1},
        {"h ssh-ed25519 " ED2 "\nh ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_KNOWN, 2},
        {"h ecdsa-sha2-nistp256 " ECDSA, ED1, "h", 22, HOST_KEY_CHANGED, 1},
        {"h ecdsa-sha2-nistp256 " ECDSA "\nh ssh-ed25519 " ED2, ED1, "h", 22, HOST_KEY_CHANGED, 2},
        /* ports: the name alone is port 22 */
        {"h ssh-ed25519 " ED1, ED1, "h", 2222, HOST_KEY_UNKNOWN, 0},
        {"[h]:2222 ssh-ed25519 " ED1, ED1, "h", 2222, HOST_KEY_KNOWN, 1},
        {"[h]:2222 ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"[h]:2222 ssh-ed25519 " ED1, ED1, "h", 222, HOST_KEY_UNKNOWN, 0},
        {"[::1]:2222 ssh-ed25519 " ED1, ED1, "::1", 2222, HOST_KEY_KNOWN, 1},
        {"::1 ssh-ed25519 " ED1, ED1, "::1", 22, HOST_KEY_KNOWN, 1},
        /* wildcards and negation */
        {"* ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_KNOWN, 1},
        {"* ssh-ed25519 " ED1, ED1, "h", 2222, HOST_KEY_KNOWN, 1},
        {"*.example ssh-ed25519 " ED1, ED1, "a.b.example", 22, HOST_KEY_KNOWN, 1},
        {"*.example ssh-ed25519 " ED1, ED1, "example", 22, HOST_KEY_UNKNOWN, 0},
        {"git?.example ssh-ed25519 " ED1, ED1, "git1.example", 22, HOST_KEY_KNOWN, 1},
        {"git?.example ssh-ed25519 " ED1, ED1, "git.example", 22, HOST_KEY_UNKNOWN, 0},
        {"*.example,!bad.example ssh-ed25519 " ED1, ED1, "bad.example", 22, HOST_KEY_UNKNOWN, 0},
        {"!bad.example,*.example ssh-ed25519 " ED1, ED1, "bad.example", 22, HOST_KEY_UNKNOWN, 0},
        {"!bad.example,*.example ssh-ed25519 " ED1, ED1, "good.example", 22, HOST_KEY_KNOWN, 1},
        {"*a*a*a*a*a*b ssh-ed25519 " ED1, ED1, A40, 22, HOST_KEY_UNKNOWN, 0},
        {",,h, ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_KNOWN, 1},
        /* hashed: made by ssh-keygen -H */
        {HASHED_22 " ssh-ed25519 " ED1, ED1, "example.org", 22, HOST_KEY_KNOWN, 1},
        {HASHED_22 " ssh-ed25519 " ED1, ED1, "Example.ORG", 22, HOST_KEY_KNOWN, 1},
        {HASHED_22 " ssh-ed25519 " ED1, ED1, "example.org", 2222, HOST_KEY_UNKNOWN, 0},
        {HASHED_22 " ssh-ed25519 " ED1, ED2, "example.org", 22, HOST_KEY_CHANGED, 1},
        {HASHED_2222 " ecdsa-sha2-nistp256 " ECDSA, ECDSA, "example.org", 2222, HOST_KEY_KNOWN, 1},
        {"|1|Gc5t8CzfKW1tqPBX4GGM2GIAuQ0= ssh-ed25519 " ED1, ED1, "example.org", 22, HOST_KEY_UNKNOWN, 0},
        {"|1|| ssh-ed25519 " ED1, ED1, "example.org", 22, HOST_KEY_UNKNOWN, 0},
        {"|1|!!|!! ssh-ed25519 " ED1, ED1, "example.org", 22, HOST_KEY_UNKNOWN, 0},
        {"|2|Gc5t8CzfKW1tqPBX4GGM2GIAuQ0=|7aBxylfHFAikVhPT/rkBEq3lp1A= ssh-ed25519 " ED1, ED1, "example.org",
         22, HOST_KEY_UNKNOWN, 0},
        /* markers */
        {"@revoked * ssh-ed25519 " ED1 "\nh ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_REVOKED, 1},
        {"h ssh-ed25519 " ED1 "\n@revoked h ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_REVOKED, 2},
        {"h ssh-ed25519 " ED1 "\n@revoked h ssh-ed25519 " ED2, ED1, "h", 22, HOST_KEY_KNOWN, 1},
        {"h ssh-ed25519 " ED1 "\n@revoked other ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_KNOWN, 1},
        {"@revoked h ssh-ed25519 " ED2, ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"@cert-authority * ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"@revokedx h ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"@ h ssh-ed25519 " ED1, ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        /* lines that mean nothing */
        {"h", ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"h ssh-ed25519", ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"h ssh-ed25519 !!!!", ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"h ssh-ed25519 AAAA", ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"h ssh-rsa " ED1, ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        {"h ssh-ed25519 " ED1 "AAAA", ED1, "h", 22, HOST_KEY_CHANGED, 1},
        {"h 2048 65537 123456", ED1, "h", 22, HOST_KEY_UNKNOWN, 0},
        /* strength */
        {"h ssh-rsa " RSA3072, RSA3072, "h", 22, HOST_KEY_KNOWN, 1},
        {"h ssh-rsa " RSA2048, RSA2048, "h", 22, HOST_KEY_WEAK, 0},
        {"h ssh-rsa " RSA2048, "AAAA", "h", 22, HOST_KEY_WEAK, 0},
        {"h ssh-dss AAAAB3NzaC1kc3M=", "AAAAB3NzaC1kc3M=", "h", 22, HOST_KEY_WEAK, 0},
        {"h ssh-rsa AAAAB3NzaC1yc2E=", "AAAAB3NzaC1yc2E=", "h", 22, HOST_KEY_WEAK, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct host_key_result result;
        known_hosts_check(&arena, cases[i].file, strlen(cases[i].file), cases[i].host, cases[i].port,
                          decode(&arena, cases[i].key), &result);
        if (result.verdict != cases[i].verdict || result.line != cases[i].line)
            fail_msg("case %zu, %.40s: verdict %d line %u", i, cases[i].file, (int)result.verdict,
                     result.line);
        struct error err = {0};
        int r = known_hosts_require("F", cases[i].file, strlen(cases[i].file), cases[i].host, cases[i].port,
                                    decode(&arena, cases[i].key), &err);
        assert_int_equal(r, result.verdict == HOST_KEY_KNOWN ? 0 : -1);
        assert_int_equal(err.kind, result.verdict == HOST_KEY_KNOWN ? ERR_NONE : ERR_REFUSED);
    }
}

static void known_hosts_messages(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    const char *file = "x ssh-ed25519 " ED2 "\nh ssh-ed25519 " ED2 "\n";
    struct host_key key = decode(&arena, ED1);

    assert_string_equal(host_key_fingerprint(&arena, key),
                        "SHA256:AcAa4a4bwxHvmpkDr6tSj60eIOT8bz8dwo1sRJLsViY");
    assert_string_equal(host_key_type(&arena, key), "ssh-ed25519");
    assert_int_equal(known_hosts_require("/etc/kh", file, strlen(file), "h", 22, key, &err), -1);
    assert_non_null(strstr(err.text, "/etc/kh line 2 has ssh-ed25519 SHA256:"));
    assert_non_null(strstr(err.text, "shows ssh-ed25519 SHA256:AcAa4a4bwxHvmpkDr6tSj60eIOT8bz8dwo1sRJLsViY"));
    assert_non_null(strstr(err.text, "h ssh-ed25519 " ED1));
    assert_int_equal(known_hosts_require("/etc/kh", file, strlen(file), "h", 2222, key, &err), -1);
    assert_non_null(strstr(err.text, "add this line: [h]:2222 ssh-ed25519 " ED1));
}

static void known_hosts_order(void **state)
{
    (void)state;
    static const struct {
        const char *file, *line;
    } cases[] = {
        {"", NULL},
        {"h ssh-rsa " RSA2048, NULL},
        {"@revoked h ssh-ed25519 " ED1, NULL},
        {"h ecdsa-sha2-nistp256 " ECDSA, "[h]:22 ecdsa-sha2-nistp256 " ECDSA "\n"},
        {"h ssh-rsa " RSA3072 "\nh ecdsa-sha2-nistp256 " ECDSA "\n*\tssh-ed25519 " ED1,
         "[h]:22 ssh-ed25519 " ED1 "\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        assert_true(str_eq(known_hosts_preferred(&arena, cases[i].file, strlen(cases[i].file), "h", 22),
                           cases[i].line));
    }
}

static void add_string(struct str *out, const char *bytes, size_t n)
{
    char len[4] = {0, 0, (char)(n >> 8), (char)n};
    str_append_n(out, len, 4);
    str_append_n(out, bytes, n);
}

/* A file in OpenSSH's format without any secret in it. */
static char *make_key(struct arena *arena, const char *cipher, const char *type, size_t cut)
{
    cleanup_str struct str blob = {0}, public_key = {0};
    add_string(&public_key, type, strlen(type));
    str_append_n(&blob, "openssh-key-v1", 15);
    add_string(&blob, cipher, strlen(cipher));
    add_string(&blob, "none", 4);
    add_string(&blob, "", 0);
    str_append_n(&blob, "\0\0\0\1", 4);
    add_string(&blob, public_key.data, public_key.len);
    size_t n = blob.len > cut ? blob.len - cut : 0;
    char *text = arena_alloc(arena, BASE64_ENCODE_RAW_LENGTH(n) + 1);
    base64_encode_raw(text, n, (const uint8_t *)blob.data);
    return arena_printf(arena, "-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n-----END OPENSSH PRIVATE KEY-----\n",
                        text);
}

static void ssh_keys(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    const struct {
        const char *text, *why; /* NULL: accepted */
    } cases[] = {
        {make_key(&arena, "none", "ssh-ed25519", 0), NULL},
        {make_key(&arena, "none", "ecdsa-sha2-nistp256", 0), NULL},
        {make_key(&arena, "none", "ecdsa-sha2-nistp521", 0), NULL},
        {make_key(&arena, "none", "ssh-rsa", 0), "must be ed25519 or ecdsa"},
        {make_key(&arena, "none", "ssh-dss", 0), "must be ed25519 or ecdsa"},
        {make_key(&arena, "none", "sk-ssh-ed25519@openssh.com", 0), "must be ed25519 or ecdsa"},
        {make_key(&arena, "aes256-ctr", "ssh-ed25519", 0), "passphrase"},
        {make_key(&arena, "none", "ssh-ed25519", 3), "damaged"},
        {make_key(&arena, "none", "ssh-ed25519", 30), "damaged"},
        {make_key(&arena, "none", "ssh-ed25519", 1000), "not an OpenSSH private key"},
        {"-----BEGIN EC PRIVATE KEY-----\nx\n", NULL},
        {"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "passphrase"},
        {"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "passphrase"},
        {"-----BEGIN RSA PRIVATE KEY-----\n", "RSA and DSA"},
        {"ssh-ed25519 " ED1, "public key"},
        {"ecdsa-sha2-nistp256 " ECDSA, "public key"},
        {"", "not a private key"},
        {"hello", "not a private key"},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "cut off"},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n-----END OPENSSH PRIVATE KEY-----\n", "damaged"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        int r = ssh_key_check(cases[i].text, strlen(cases[i].text), &err);
        if (r == 0 ? cases[i].why != NULL : !cases[i].why || !strstr(err.text, cases[i].why))
            fail_msg("case %zu: %s", i, err.text);
    }
}

/* ---- a local repository ---- */

struct fixture {
    struct arena arena;
    char *root, *remote, *work, *mirror;
    struct stack_config stack;
};

static void git(struct fixture *f, const char *const *args)
{
    const char *argv[24] = {"/usr/bin/env",
                            "GIT_CONFIG_GLOBAL=/dev/null",
                            "GIT_AUTHOR_NAME=Alice",
                            "GIT_AUTHOR_EMAIL=a@example.org",
                            "GIT_COMMITTER_NAME=Alice",
                            "GIT_COMMITTER_EMAIL=a@example.org",
                            "GIT_COMMITTER_DATE=1700000000 +0000",
                            "git",
                            "-C",
                            f->work};
    size_t n = 10;
    while (*args && n < ARRAY_SIZE(argv) - 1)
        argv[n++] = *args++;
    struct error err = {0};
    cleanup_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct proc_options options = {.argv = argv, .stdout_fd = null, .stderr_fd = -1, .die_with_parent = true};
    pid_t pid;
    int status = 1;
    if (proc_spawn(&options, &pid, &err) < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail_msg("git %s: %s", argv[10], err.text);
}
#define GIT(f, ...) git(f, (const char *const[]){__VA_ARGS__, NULL})

static void put(struct fixture *f, const char *name, const char *content)
{
    struct error err = {0};
    char *path = arena_printf(&f->arena, "%s/%s", f->work, name);
    assert_int_equal(fs_write_atomic(path, content, strlen(content), 0644, &err), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char root[] = "/tmp/test-repo-XXXXXX";
    assert_non_null(mkdtemp(root));
    f->root = arena_strdup(&f->arena, root);
    f->remote = arena_printf(&f->arena, "%s/remote.git", root);
    f->work = arena_printf(&f->arena, "%s/work", root);
    f->mirror = arena_printf(&f->arena, "%s/state/repo/web", root);
    assert_int_equal(mkdir(f->work, 0700), 0);
    GIT(f, "init", "-q", "--bare", "--initial-branch=main", f->remote);
    GIT(f, "init", "-q", "--initial-branch=main", ".");
    put(f, "stack.yml", "services: {}\n");
    GIT(f, "add", ".");
    GIT(f, "commit", "-qm", "first \xe2\x80\xae \x1b[31mred\n\nbody");
    GIT(f, "tag", "v1");
    GIT(f, "push", "-q", "--tags", f->remote, "main");
    f->stack = (struct stack_config){
        .name = "web", .branch = "main", .repository = arena_printf(&f->arena, "file://%s", f->remote)};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    int r = mirror_remove(f->root, &err);
    arena_release(&f->arena);
    free(f);
    return r;
}

static void follows_a_branch(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct repo *repo;
    char tip[COMMIT_HEX_SIZE], second[COMMIT_HEX_SIZE];
    struct commit commit;
    const char *text;
    size_t len;
    bool yes = true;

    assert_int_equal(repo_open(f->mirror, &f->stack, &repo, &err), 0);
    assert_int_equal(repo_tip(&f->stack, tip, &err), 0);
    assert_false(repo_has_commit(repo, tip));
    assert_int_equal(repo_fetch(repo, second, &err), 0);
    assert_string_equal(tip, second);
    assert_true(repo_has_commit(repo, tip));
    assert_true(repo_has_commit(repo, "main"));

    assert_int_equal(repo_commit(repo, &f->arena, "main", &commit, &err), 0);
    assert_string_equal(commit.id, tip);
    assert_string_equal(commit.subject, "first  [31mred");
    assert_string_equal(commit.author, "Alice");
    assert_string_equal(commit.tag, "v1");
    assert_int_equal(commit.committed_us, INT64_C(1700000000) * US_PER_S);
    assert_int_equal(repo_read(repo, &f->arena, tip, "stack.yml", 100, &text, &len, &err), 0);
    assert_string_equal(text, "services: {}\n");
    assert_int_equal(len, 13);
    assert_int_equal(repo_read(repo, &f->arena, tip, "stack.yml", 12, &text, &len, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_int_equal(repo_read(repo, &f->arena, tip, "none", 12, &text, &len, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);

    put(f, "other", "x");
    GIT(f, "add", ".");
    GIT(f, "commit", "-qm", "second");
    GIT(f, "push", "-q", f->remote, "main");
    assert_int_equal(repo_fetch(repo, second, &err), 0);
    assert_string_not_equal(second, tip);
    assert_int_equal(repo_is_ancestor(repo, tip, second, &yes, &err), 0);
    assert_true(yes);
    assert_int_equal(repo_is_ancestor(repo, second, tip, &yes, &err), 0);
    assert_false(yes);
    assert_int_equal(repo_changed(repo, tip, second, (const char *const[]){"stack.yml", NULL}, &yes, &err),
                     0);
    assert_false(yes);
    assert_int_equal(repo_changed(repo, tip, second, (const char *const[]){".", NULL}, &yes, &err), 0);
    assert_true(yes);

    /* The branch moves back; what was fetched stays readable. */
    GIT(f, "push", "-qf", f->remote, "v1:main");
    assert_int_equal(repo_fetch(repo, second, &err), 0);
    assert_string_equal(second, tip);
    repo_close(repo);
}

static void mirror_is_private_and_plain(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct repo *repo;
    struct stat st;
    char tip[COMMIT_HEX_SIZE];
    assert_int_equal(repo_open(f->mirror, &f->stack, &repo, &err), 0);
    assert_int_equal(repo_fetch(repo, tip, &err), 0);
    repo_close(repo);
    assert_int_equal(stat(f->mirror, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    /* no work tree, no index */
    assert_int_equal(access(arena_printf(&f->arena, "%s/index", f->mirror), F_OK), -1);
    assert_int_equal(access(arena_printf(&f->arena, "%s/stack.yml", f->mirror), F_OK), -1);
}

static void a_folder_of_rubbish_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct repo *repo;
    char tip[COMMIT_HEX_SIZE];
    assert_int_equal(fs_mkdir(arena_printf(&f->arena, "%s/objects/pack", f->mirror), 0755, &err), 0);
    assert_int_equal(fs_write_atomic(arena_printf(&f->arena, "%s/HEAD", f->mirror), "\377", 1, 0644, &err),
                     0);
    assert_int_equal(repo_open(f->mirror, &f->stack, &repo, &err), 0);
    assert_int_equal(repo_fetch(repo, tip, &err), 0);
    assert_true(repo_has_commit(repo, tip));
    repo_close(repo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_accepted),
        cmocka_unit_test(urls_refused),
        cmocka_unit_test(loopback_needs_no_insecure),
        cmocka_unit_test(branches),
        cmocka_unit_test(pkt_lines),
        cmocka_unit_test(pkt_largest),
        cmocka_unit_test(advertisements),
        cmocka_unit_test(ls_refs),
        cmocka_unit_test(mutated_answers),
        cmocka_unit_test(known_hosts),
        cmocka_unit_test(known_hosts_messages),
        cmocka_unit_test(known_hosts_order),
        cmocka_unit_test(ssh_keys),
        cmocka_unit_test_setup_teardown(follows_a_branch, setup, teardown),
        cmocka_unit_test_setup_teardown(mirror_is_private_and_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_of_rubbish_is_replaced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

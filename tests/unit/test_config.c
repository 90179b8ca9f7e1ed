/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/config.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "core/config_table.h"

#define STACK_WEB                                                                                            \
    "[stack web]\n"                                                                                          \
    "repository = https://example.org/shop.git\n"                                                            \
    "file = stack.yml\n"
/* a repository that makes credentials fit */
#define STACK_SSH                                                                                            \
    "[stack web]\n"                                                                                          \
    "repository = ssh://git@example.org/shop.git\n"                                                          \
    "file = stack.yml\n"
#define STACK_AT(url) "[stack web]\nfile = stack.yml\nrepository = " url "\n"
#define A10           "aaaaaaaaaa"
#define A50           A10 A10 A10 A10 A10
#define A250          A50 A50 A50 A50 A50

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* want: part of the message, beginning with ":LINE: " where there is one */
    } cases[] = {
        /* sections */
        {"[agents]\n", ":1: [agents]: unknown section; known are [agent]"},
        {"\n\n[Agent]\n", ":3: [Agent]: unknown section"},
        {"[agent]\n[agent]\n", ":2: [agent]: this section is already in line 1"},
        {STACK_WEB STACK_WEB, ":4: [stack web]: this section is already in line 1"},
        {"[stack]\n", ":1: [stack] needs a name"},
        {"[]\n", ":1: []: unknown section"},
        {"[\n", ":1: a section ends with ]"},
        {"[agent\n", ":1: a section ends with ]"},
        {"[agent] # mine\n", ":1: a section ends with ]"},
        {"[agent one]\n", ":1: [agent one]: this section takes no name"},
        {"[stack a b]\n", ":1: [stack a b]: a name is one word"},
        {"[stack Web]\n", ":1: [stack Web]: the name of a stack has lower-case letters"},
        {"[stack -web]\n", ":1: [stack -web]: the name of a stack"},
        {"[stack ../web]\n", ":1: [stack ../web]: the name of a stack"},
        {"[stack web.one]\n", ":1: [stack web.one]: the name of a stack"},
        {"[stack " A50 "]\n", ": the name of a stack has"},
        {"[notify chat]\n", ":1: [notify chat] needs url, or url_file"},
        {"[notify chat]\nurl =\nurl_file =\n", ":1: [notify chat] needs url, or url_file"},
        {"[notify Chat]\n", ":1: [notify Chat]: the name has lower-case letters"},
        {"[notify chat]\nurl = ftp://example.org/x\n", ":2: [notify chat] url: it is https://HOST/"},
        {"[notify chat]\nurl = https:///x\n", "url: the URL names no host"},
        {"[notify chat]\nurl = https://h/a b\n", "url: a URL has no blanks"},
        {"[notify chat]\nurl = https://h/x\nurl_file = /etc/x\n", ":3: [notify chat] url_file: url is there"},
        {"[notify chat]\nurl = http://10.0.0.1/x\n", "write insecure = yes"},
        {"[notify chat]\nurl = https://h/x\non =\n", "on: at least one state is needed"},
        {"[notify chat]\nurl = https://h/x\non = failed broken\n",
         "'broken' cannot be told; the states of a deployment are"},
        {"[notify chat]\nurl = https://h/x\non = failed failed\n", "'failed' is there twice"},
        {"[notify chat]\nurl = https://h/x\nshape = teams\n",
         "'teams' is not known; it is generic, slack, discord or ntfy"},
        {"[notify chat]\nurl = https://h/x\nstacks = web\n",
         ":3: [notify chat] stacks: there is no [stack web]"},
        {"[http]\nlink = https://h/?a=b\n", "link: the URL of a base has no user, password or query"},
        {"[notify]\n", ":1: [notify] needs a name"},
        /* lines */
        {"state_dir = /x\n", ":1: state_dir: a key before the first [section]"},
        {"[agent]\nstate_dir /x\n", ":2: 'state_dir /x' is neither [section] nor key = value"},
        {"[agent]\n= /x\n", ":2: '= /x' is neither"},
        {"[agent]\nstate_dir: /x\n", ":2: 'state_dir: /x' is neither"},
        {"[agent]\nfoo = 1\n", ":2: [agent] foo: unknown key; known are state_dir run_dir docker act"},
        {"[agent]\nState_Dir = /x\n", ":2: [agent] State_Dir: unknown key"},
        {"[agent]\n[http]\nstate_dir = /x\n", ":3: [http] state_dir: unknown key; known are listen"},
        {STACK_WEB "poll_intervall = 30s\n", ":4: [stack web] poll_intervall: unknown key"},
        {"[agent]\nact = never\nact = never\n", ":3: [agent] act: already set in line 2"},
        {STACK_WEB "branch = a\n\nbranch = b\n", ":6: [stack web] branch: already set in line 4"},
        {"[agent]\nstate_dir = \"/x\"\n", ":2: [agent] state_dir: values are written without quotes"},
        {"[agent]\nact = never # watch\n", ":2: [agent] act: comments stand on lines of their own"},
        {"[agent]\ncontrol_uids = 1 \\\n", ":2: [agent] control_uids: a value does not go on"},
        {"[agent]\nstate_dir = /x\001y\n", ":2: [agent] state_dir: the value holds a control character"},
        {"[agent]\nstate_dir = /x\ry\n", ":2: [agent] state_dir: the value holds a control character"},
        {"[agent]\nstate_dir = /\xff\n", ":2: the line is not valid UTF-8"},
        {"[agent]\n# \xc3\x28\n", ":2: the line is not valid UTF-8"},
        {"\xff\xfe[\n", ":1: the line is not valid UTF-8"},
        {"[agent]\n\xef\xbb\xbf"
         "act = never\n",
         ":2: [agent] act: unknown key"},
        /* [agent] */
        {"[agent]\nstate_dir = var/lib\n", ":2: [agent] state_dir: 'var/lib' is not an absolute path"},
        {"[agent]\nstate_dir =\n", ":2: [agent] state_dir: a path is needed"},
        {"[agent]\nstate_dir = /\n", ":2: [agent] state_dir: '/' is not accepted"},
        {"[agent]\nstate_dir = /var/../etc\n", ":2: [agent] state_dir: '/var/../etc' is not accepted"},
        {"[agent]\nstate_dir = /var//lib\n", "is not accepted: write it without //"},
        {"[agent]\nstate_dir = /run/deploy-agent\n", ": [agent] run_dir and state_dir are the same folder"},
        {"[agent]\nrun_dir = /" A50 A50 "\n",
         ": [agent] run_dir: too long for the control socket in it, at most 94 bytes"},
        {"[agent]\ndocker = tcp://127.0.0.1:2375\n",
         ":2: [agent] docker: 'tcp://127.0.0.1:2375' is not accepted"},
        {"[agent]\ndocker = /var/run/docker.sock\n",
         ":2: [agent] docker: '/var/run/docker.sock' is not accepted"},
        {"[agent]\ndocker = unix://var/run\n", ":2: [agent] docker: "},
        {"[agent]\ndocker = unix:///" A50 A50 A10 "\n", "the path of a socket has at most 107 bytes"},
        {"[agent]\nact = sometimes\n",
         ":2: [agent] act: 'sometimes' is not known; it is leader, always or never"},
        {"[agent]\nact =\n", ":2: [agent] act: '' is not known"},
        {"[agent]\nlog_level = loud\n",
         ":2: [agent] log_level: 'loud' is not known; it is err, warning, notice, info or debug"},
        {"[agent]\nparallel = 0\n", ":2: [agent] parallel: '0' is not a whole number from 1 to 64"},
        {"[agent]\nparallel = 65\n", ":2: [agent] parallel: '65' is not a whole number"},
        {"[agent]\nparallel = -1\n", ":2: [agent] parallel: '-1' is not a whole number"},
        {"[agent]\nparallel = 2x\n", ":2: [agent] parallel: '2x' is not a whole number"},
        {"[agent]\nparallel = 18446744073709551618\n", ":2: [agent] parallel: "},
        {"[agent]\ncontrol_uids = 1000 alice\n",
         ":2: [agent] control_uids: user ids are numbers separated by blanks: 'alice'"},
        {"[agent]\ncontrol_uids = 4294967295\n", ":2: [agent] control_uids: "},
        {"[agent]\ncontrol_uids = 1000,1001\n", ":2: [agent] control_uids: "},
        /* [registry] [records] [http] */
        {"[registry]\nauth_file = config.json\n",
         ":2: [registry] auth_file: 'config.json' is not an absolute path"},
        {"[registry]\nauth_file = ~/.docker/config.json\n", ":2: [registry] auth_file: "},
        {"[records]\npostgres = u:secret@h/db\n",
         ":2: [records] postgres: a URL is needed that begins with postgresql://"},
        {"[records]\npostgres = postgres://u@h/db\npostgres_file = /etc/x\n",
         "[records] postgres and postgres_file are both set"},
        {"[records]\npostgres_file = x\n", ":2: [records] postgres_file: 'x' is not an absolute path"},
        {"[records]\nkeep = 0\n", ":2: [records] keep: '0' is not a whole number from 1 to 1000000"},
        {"[records]\nkeep = 1k\n", ":2: [records] keep: "},
        {"[http]\nlisten = localhost:80\n", ":2: [http] listen: 'localhost:80' is no address and port"},
        {"[http]\nlisten = 127.0.0.1\n", ":2: [http] listen: '127.0.0.1' is no address and port"},
        {"[http]\nlisten = :80\n", "is no address and port"},
        {"[http]\nlisten = 127.0.0.1:0\n", "is no address and port"},
        {"[http]\nlisten = 127.0.0.1:65536\n", "is no address and port"},
        {"[http]\nlisten = 127.0.0.1:8x\n", "is no address and port"},
        {"[http]\nlisten = ::1:80\n", "is no address and port"},
        {"[http]\nlisten = [127.0.0.1]:80\n", "is no address and port"},
        /* required keys */
        {"[stack web]\n", ":1: [stack web] repository is missing"},
        {"[stack web]\nrepository = https://h/x\n", ":1: [stack web] file is missing"},
        /* repository */
        {STACK_AT(""), ":3: [stack web] repository: a URL is needed"},
        {STACK_AT("example.org/shop.git"), "repository: not a URL"},
        {STACK_AT("git@github.com:owner/shop.git"),
         "repository: not a URL; it is https://HOST/PATH, ssh://HOST/PATH"},
        {STACK_AT("/srv/git/shop.git"), "repository: not a URL"},
        {STACK_AT("ftp://example.org/shop.git"), "repository: 'ftp' is not accepted"},
        {STACK_AT("git://example.org/shop.git"), "repository: 'git' is not accepted"},
        {STACK_AT("ext::sh -c x"), "repository: a URL has no blanks"},
        {STACK_AT("https:///shop.git"), "repository: the URL names no host"},
        {STACK_AT("https://-x/shop.git"), "repository: the URL names no host"},
        {STACK_AT("ssh://-oProxyCommand=x/shop.git"), "repository: the URL names no host"},
        {STACK_AT("https://example.org"), "repository: the URL has no path"},
        {STACK_AT("https://example.org/"), "repository: the URL has no path"},
        {STACK_AT("https://example.org:port/x"), "repository: host or port are not understood"},
        {STACK_AT("https://example.org:123456/x"), "repository: host or port are not understood"},
        {STACK_AT("https://[::1]x/x"), "repository: host or port are not understood"},
        {STACK_AT("https://bob@example.org/x"), "repository: no user and password in the URL"},
        {STACK_AT("https://bob:pw12345@example.org/x"), "repository: no user and password in the URL"},
        {STACK_AT("ssh://bob:pw12345@example.org/x"), "repository: no user and password in the URL"},
        {STACK_AT("https://example.org/a b"), "repository: a URL has no blanks"},
        {STACK_AT("https://example.org/\xc3\xa4"),
         "repository: a URL has no blanks, no characters beyond ASCII"},
        {STACK_AT("https://example.org/x?token=1"), "repository: the URL of a repository has no ? and no #"},
        {STACK_AT("file://host/x"), "repository: file URLs have no host"},
        {STACK_AT("http://example.org/x"), ":3: [stack web] repository: plain http lets anybody"},
        {STACK_AT("http://128.0.0.1/x"), "plain http lets anybody"},
        {STACK_AT("http://127.0.0.1.example.org/x"), "plain http lets anybody"},
        {STACK_AT("http://localhost.example.org/x"), "plain http lets anybody"},
        /* branch: git-check-ref-format(1) */
        {STACK_WEB "branch =\n", ":4: [stack web] branch: '': a branch is needed"},
        {STACK_WEB "branch = -x\n", ":4: [stack web] branch: '-x': not a branch"},
        {STACK_WEB "branch = HEAD\n", "branch: 'HEAD': not a branch"},
        {STACK_WEB "branch = @\n", "branch: '@': not a branch"},
        {STACK_WEB "branch = refs/heads/main\n", "write the branch alone"},
        {STACK_WEB "branch = a..b\n", "a branch has no .., @{ or //"},
        {STACK_WEB "branch = a@{1}\n", "a branch has no .., @{ or //"},
        {STACK_WEB "branch = a//b\n", "a branch has no .., @{ or //"},
        {STACK_WEB "branch = a b\n", "a branch has no blanks"},
        {STACK_WEB "branch = a~1\n", "a branch has no blanks and none of"},
        {STACK_WEB "branch = a:b\n", "a branch has no blanks and none of"},
        {STACK_WEB "branch = feature/*\n", "a branch has no blanks and none of"},
        {STACK_WEB "branch = a\\b\n", "a branch has no blanks and none of"},
        {STACK_WEB "branch = /a\n", "neither starts nor ends with /"},
        {STACK_WEB "branch = a/\n", "neither starts nor ends with /"},
        {STACK_WEB "branch = a.\n", "does not end with a dot"},
        {STACK_WEB "branch = a/.b\n", "starts with a dot or ends with .lock"},
        {STACK_WEB "branch = a.lock\n", "starts with a dot or ends with .lock"},
        {STACK_WEB "branch = a.lock/b\n", "starts with a dot or ends with .lock"},
        {STACK_WEB "branch = " A250 "\n", "longer than 244 bytes"},
        /* file, image_paths */
        {"[stack web]\nrepository = https://h/x\nfile =\n",
         ":3: [stack web] file: a path in the repository is needed"},
        {"[stack web]\nrepository = https://h/x\nfile = /stack.yml\n", "file: '/stack.yml' starts with /"},
        {"[stack web]\nrepository = https://h/x\nfile = ../stack.yml\n",
         "file: '../stack.yml' is not accepted"},
        {"[stack web]\nrepository = https://h/x\nfile = a/../b.yml\n", "file: 'a/../b.yml' is not accepted"},
        {"[stack web]\nrepository = https://h/x\nfile = ./a.yml\n", "file: './a.yml' is not accepted"},
        {"[stack web]\nrepository = https://h/x\nfile = a\\b.yml\n", "is not accepted"},
        {"[stack web]\nrepository = https://h/x\nfile = .git/config\n", "leads into .git"},
        {"[stack web]\nrepository = https://h/x\nfile = a/.GIT/config\n", "leads into .git"},
        {"[stack web]\nrepository = https://h/x\nfile = deploy/\n", "is a folder: name the stack file"},
        {"[stack web]\nrepository = https://h/x\nfile = a.yml a.yml\n", "'a.yml' is there twice"},
        {"[stack web]\nrepository = https://h/x\nfile = " A250 A10 "\n", "a part longer than 255 bytes"},
        {STACK_WEB "image_paths =\n", "image_paths: a path in the repository is needed; . is all of it"},
        {STACK_WEB "image_paths = ../x\n", "image_paths: '../x' is not accepted"},
        {STACK_WEB "image_of_commit = web:latest\n",
         "image_of_commit: 'web:latest': write the repository without a tag"},
        {STACK_WEB "image_of_commit = web@sha256:00\n", "is not an image repository"},
        {STACK_WEB "image_of_commit = https://h/x\n", "is not an image repository"},
        /* durations */
        {STACK_WEB "poll_interval = 0\n",
         ":4: [stack web] poll_interval: '0' is out of bounds: from 1s to 1d"},
        {STACK_WEB "poll_interval = 999ms\n", "is out of bounds: from 1s to 1d"},
        {STACK_WEB "poll_interval = -30s\n", "poll_interval: '-30s' is not a duration"},
        {STACK_WEB "poll_interval = 30\n", "poll_interval: '30' is not a duration"},
        {STACK_WEB "poll_interval = thirty seconds\n", "is not a duration"},
        {STACK_WEB "poll_interval = 2d\n", "is out of bounds"},
        {STACK_WEB "poll_interval = 99999999999999999999s\n", "is too long a duration"},
        {STACK_WEB "poll_interval = " A250 "\n", "is not a duration"},
        {STACK_WEB "image_wait = 8d\n", "image_wait: '8d' is out of bounds: from 0 to 7d"},
        {STACK_WEB "image_wait = 9223372036854775807w\n", "is too long a duration"},
        /* words */
        {STACK_WEB "insecure = maybe\n", "insecure: 'maybe' is neither yes nor no"},
        {STACK_WEB "prune =\n", "prune: '' is neither yes nor no"},
        {STACK_WEB "resolve_image = never\n", "resolve_image: 'never' is not known; it is always or changed"},
        {STACK_WEB "on_failure = retry\n", "on_failure: 'retry' is not known; it is rollback or halt"},
        {STACK_WEB "drift = yes\n", "drift: 'yes' is not known; it is ignore, report or correct"},
        {STACK_WEB "username = a:b\n", "username: a user name has"},
        {STACK_WEB "username = a b\n", "username: a user name has"},
        /* credentials */
        {STACK_WEB "token_file = token\n", "token_file: 'token' is not an absolute path"},
        {STACK_WEB "token_file = credential:git\n",
         "token_file: credential: is not supported by this version yet"},
        {STACK_WEB "env_file = credential:env\n",
         "env_file: credential: is not supported by this version yet"},
        {STACK_WEB "known_hosts =\n", "known_hosts: a path is needed"},
        {STACK_WEB "ssh_key = /etc/key\n", ":4: [stack web] ssh_key: only for ssh; https takes token_file"},
        {STACK_SSH "token_file = /etc/token\n",
         ":4: [stack web] token_file: only for https; ssh takes ssh_key"},
        {STACK_AT("file:///srv/x") "ssh_key = /etc/key\n",
         "ssh_key: only for ssh; file:// takes no credentials"},
        {STACK_WEB "freeze = weekends\n",
         ":4: [stack web] freeze: 'weekends' is no window such as Fri 16:00"},
        {STACK_WEB "freeze = 00:00..24:00\n", ":4: [stack web] freeze: no time of the week is left"},
        /* known, not done yet */
        {STACK_WEB "signatures = head\n",
         ":4: [stack web] signatures: not supported by this version yet; leave it out, or write off"},
        {STACK_WEB "allowed_signers = /etc/signers\n",
         ":4: [stack web] allowed_signers: not supported by this version yet"},
        {STACK_WEB "allowed_keyring = /etc/keys\n", "allowed_keyring: not supported by this version yet"},
        {STACK_WEB "webhook_secret_file = hook\n", "webhook_secret_file: "},
        {STACK_WEB "status_token_file = /etc/token\n",
         "status_token_file: the forge is not known by the repository's host; write status_forge"},
        {"[stack web]\nrepository = https://example.org/a/b\nfile = a.yml\nstatus_token_file = /etc/token\n"
         "status_forge = gitea\nstatus_url = http://h\n",
         "status_url: plain http lets anybody"},
        {"[stack web]\nrepository = file:///git/a/b.git\nfile = a.yml\nstatus_token_file = /etc/token\n"
         "status_forge = gitea\n",
         "status_token_file: a repository of this host has no forge; write status_url"},
        {"[stack web]\nrepository = https://github.com/b.git\nfile = a.yml\nstatus_token_file = /etc/token\n",
         "status_token_file: the repository's path is no OWNER/REPOSITORY"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config config = {0};
        struct error err = {0};
        int r = config_parse("agent.conf", cases[i].text, strlen(cases[i].text), &config, &err);
        if (r == 0)
            fail_msg("accepted: %s", cases[i].text);
        if (!strstr(err.text, cases[i].want) || !str_starts(err.text, "agent.conf:") ||
            strstr(err.text, "pw12345"))
            fail_msg("for\n%s\nwanted  %s\nbut got %s", cases[i].text, cases[i].want, err.text);
        /* one fault, one line: no error that follows from another */
        if (!strstr(cases[i].text, "file") && !strstr(err.text, "missing"))
            if (strchr(err.text, '\n'))
                fail_msg("more than one line: %s", err.text);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_null(config.path);
    }
    print_message("# %zu refusals\n", ARRAY_SIZE(cases));
}

static void parse_good(const char *text, struct config *ret)
{
    struct error err = {0};
    if (config_parse("agent.conf", text, strlen(text), ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void accepted_values(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n# nothing\n; at all\n",
        "[http]\nlisten =\n",
        "[agent]\nact=never",
        STACK_AT("http://127.0.0.1:8080/x"),
        STACK_AT("http://127.8.9.10/x"),
        STACK_AT("http://localhost/x"),
        STACK_AT("http://[::1]:80/x"),
        STACK_AT("http://example.org/x") "insecure = yes\n",
        STACK_AT("file:///srv/git/x.git"),
        STACK_AT("ssh://git@example.org:2222/x") "ssh_key = /etc/key\n",
        STACK_AT("https://example.org:8443/x") "username = bob\ntoken_file = /etc/token\n",
        STACK_WEB "branch = feature/ä#1\n",
        STACK_WEB "signatures = off\nallowed_signers =\nfreeze =\n",
        STACK_WEB "username =\ntoken_file =\nca_file =\nimage_of_commit =\n",
        STACK_WEB "freeze = Fri 16:00..Mon 08:00, 22:00..06:00\n",
        STACK_WEB "image_wait = 0\npoll_interval = 1d\n",
        STACK_WEB "image_of_commit = ghcr.io/o/web localhost:5000/x\nimage_paths = src/ docker\n",
        STACK_WEB "[stack web2]\nrepository = https://h/x\nfile = a.yml\n[stack 3_-]\nrepository = "
                  "file:///x\nfile=b.yml\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct config config = {0};
        parse_good(texts[i], &config);
        config_release(&config);
        config_release(&config);
    }
}

static void fields(void **state)
{
    (void)state;
    struct config config = {0};
    parse_good("\xef\xbb\xbf[agent]\r\n"
               "  state_dir = /srv/state/\r\n"
               "run_dir=/srv/run\r\n"
               "act = never\r\n"
               "log_level = debug\r\n"
               "control_uids = 0 1000\t1001\r\n"
               "\r\n"
               "[ stack   shop ]\r\n"
               "repository = https://example.org/shop.git\r\n"
               "file = a.yml  deploy/b.yml\r\n"
               "poll_interval = 1h30m\r\n"
               "image_paths = src/ Dockerfile\r\n"
               "on_failure = halt\r\n"
               "drift = correct\r\n"
               "resolve_image = changed\r\n"
               "follow_tags = yes\r\n"
               "prune = no\r\n",
               &config);
    assert_string_equal(config.state_dir, "/srv/state");
    assert_int_equal(config.act, ACT_NEVER);
    assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config.n_control_uids, 3);
    assert_int_equal(config.control_uids[2], 1001);
    const struct stack_config *shop = config_stack(&config, "shop");
    assert_non_null(shop);
    assert_null(config_stack(&config, "sho"));
    assert_int_equal(shop->line, 8);
    assert_int_equal(shop->n_files, 2);
    assert_string_equal(shop->files[1], "deploy/b.yml");
    assert_null(shop->files[2]);
    assert_int_equal(shop->poll_interval_us, 5400 * US_PER_S);
    assert_string_equal(shop->image_paths[0], "src");
    assert_null(shop->image_of_commit[0]);
    assert_int_equal(shop->on_failure, ON_FAILURE_HALT);
    assert_int_equal(shop->resolve_image, RESOLVE_CHANGED);
    assert_true(shop->follow_tags);
    assert_int_equal(shop->drift, DRIFT_CORRECT);
    assert_false(shop->prune);
    assert_string_equal(config_journal_path(&config.arena, &config), "/srv/state/journal.db");
    assert_string_equal(config_control_path(&config.arena, &config), "/srv/run/control.sock");
    config_release(&config);
}

static void defaults(void **state)
{
    (void)state;
    struct config config = {0};
    parse_good(STACK_WEB, &config);
    assert_string_equal(config.state_dir, "/var/lib/deploy-agent");
    assert_string_equal(config.docker, "unix:///var/run/docker.sock");
    assert_string_equal(config.http_listen, "127.0.0.1:9180");
    assert_int_equal(config.act, ACT_LEADER);
    assert_int_equal(config.parallel, 2);
    assert_int_equal(config.records_keep, 1000);
    assert_null(config.registry_auth_file);
    const struct stack_config *web = &config.stacks[0];
    assert_string_equal(web->branch, "main");
    assert_string_equal(web->known_hosts, "/etc/deploy-agent/known_hosts");
    assert_int_equal(web->poll_interval_us, 30 * US_PER_S);
    assert_int_equal(web->image_wait_us, 900 * US_PER_S);
    assert_string_equal(web->image_paths[0], ".");
    assert_int_equal(web->on_failure, ON_FAILURE_ROLLBACK);
    assert_true(web->prune);
    assert_null(web->env_file);
    config_release(&config);
}

/* All errors of a file are listed, in the order of its lines. */
static void many_errors(void **state)
{
    (void)state;
    static const char text[] = "[agent]\nact = x\nfoo = 1\n[stack web]\nbranch = -x\n[nonsense]\nkey = 1\n";
    struct config config = {0};
    struct error err = {0};
    assert_int_equal(config_parse("c", text, strlen(text), &config, &err), -1);
    const char *want[] = {"c:2: [agent] act",
                          "\nc:3: [agent] foo",
                          "\nc:5: [stack web] branch",
                          "\nc:6: [nonsense]",
                          "\nc:4: [stack web] repository",
                          "\nc:4: [stack web] file"};
    const char *at = err.text;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        at = strstr(at, want[i]);
        if (!at)
            fail_msg("no '%s' where it belongs in: %s", want[i], err.text);
    }
    assert_null(strstr(err.text, "c:7:")); /* a key of an unknown section is no second error */
}

static void bytes_and_sizes(void **state)
{
    (void)state;
    struct config config = {0};
    struct error err = {0};
    static const char nul[] = "[agent]\nact = never\0\n";
    assert_int_equal(config_parse("c", nul, sizeof nul - 1, &config, &err), -1);
    assert_non_null(strstr(err.text, "c:2: the line holds a NUL byte"));

    size_t size = (1 << 20) + 1;
    char *big = malloc(size);
    assert_non_null(big);
    memset(big, 'x', size);
    assert_int_equal(config_parse("c", big, size, &config, &err), -1);
    assert_string_equal(err.text, "c: larger than 1 MiB");
    assert_int_equal(config_parse("c", big, size - 1, &config, &err), -1);
    assert_non_null(strstr(err.text, "c:1: 'xxxxxxxx"));
    assert_true(strlen(err.text) < 200);

    /* a long line is fine where its value is */
    static const char head[] = "#";
    memcpy(big, head, 1);
    assert_int_equal(config_parse("c", big, size - 1, &config, &err), 0);
    config_release(&config);

    /* errors without end are counted, not listed, and quickly */
    for (size_t i = 0; i + 4 <= size - 1; i += 4)
        memcpy(big + i, "[a]\n", 4);
    assert_int_equal(config_parse("c", big, (size - 1) / 4 * 4, &config, &err), -1);
    assert_non_null(strstr(err.text, "\nc: and "));
    assert_true(strlen(err.text) < sizeof err.text - 1);
    free(big);
}

/* A password in the file closes it to others. */
static void rights(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned mode;
        const char *error; /* NULL: accepted */
    } cases[] = {
        {"[records]\npostgres = postgresql://u:secret@h/db\n", 0644, "[records] postgres is a secret"},
        {"[records]\npostgres = postgresql://u:secret@h/db\n", 0640, NULL},
        {"[records]\npostgres = postgresql://u@h:5432/db\n", 0644, NULL},
        {"[records]\npostgres = postgresql://h:5432/d:b@x\n", 0644, NULL},
        {"[notify chat]\nurl = https://h/token\n", 0644, "[notify chat] url is a secret"},
        {"[notify chat]\nurl = https://h/token\n", 0640, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char path[] = "/tmp/test-config-XXXXXX";
        struct config config = {0};
        struct error err = {0};
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, cases[i].text, strlen(cases[i].text)), strlen(cases[i].text));
        assert_int_equal(fchmod(fd, cases[i].mode), 0);
        close(fd);
        int r = config_load(path, &config, &err);
        unlink(path);
        if ((r == 0) != !cases[i].error || (r < 0 && !strstr(err.text, cases[i].error)))
            fail_msg("case %zu: %d %s", i, r, err.text);
        assert_null(strstr(err.text, "secret@"));
        if (r == 0)
            config_release(&config);
    }
}

static void loading(void **state)
{
    (void)state;
    struct config config = {0};
    struct error err = {0};
    assert_int_equal(config_load("/nonexistent/agent.conf", &config, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/agent.conf: No such file"));
    assert_int_equal(config_load("/dev", &config, &err), -1);
    assert_non_null(strstr(err.text, "not a regular file"));

    char path[] = "/tmp/test-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, STACK_WEB, strlen(STACK_WEB)), (ssize_t)strlen(STACK_WEB));
    assert_int_equal(config_load(path, &config, &err), 0);
    assert_int_equal(config.n_stacks, 1);
    config_release(&config);

    /* a URL in it makes the file one of secrets */
    static const char chat[] = "[notify chat]\nurl = https://h/x\n";
    assert_int_equal(write(fd, chat, strlen(chat)), (ssize_t)strlen(chat));
    assert_int_equal(config_load(path, &config, &err), 0);
    config_release(&config);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(config_load(path, &config, &err), -1);
    assert_non_null(strstr(err.text, "every user may read it, and [notify chat] url is a secret"));
    close(fd);
    unlink(path);
}

/* ---- who is told ---- */

static void receivers(void **state)
{
    (void)state;
    struct config config = {0};
    parse_good(
        "[http]\nlink = https://deploy.example.org/x/\n"
        "[notify chat]\nurl = https://chat.example.org/hooks/T0/secret-part\nstacks = web\n"
        "[notify ops]\nurl_file = /etc/ops\nshape = ntfy\non = succeeded halted polls_stalled\n" STACK_WEB,
        &config);
    assert_string_equal(config.http_link, "https://deploy.example.org/x");
    assert_int_equal(config.n_notify, 2);
    const struct notify_config *chat = config_notify(&config, "chat"), *ops = config_notify(&config, "ops");
    assert_null(config_notify(&config, "none"));
    assert_int_equal(chat->shape, SHAPE_GENERIC);
    assert_string_equal(chat->on[1], "rolled_back");
    assert_null(chat->on[4]);
    assert_string_equal(chat->stacks[0], "web");
    assert_null(chat->url_file);
    assert_null(ops->url);
    assert_null(ops->stacks[0]);
    assert_int_equal(ops->shape, SHAPE_NTFY);
    assert_string_equal(ops->on[1], "halted");
    config_release(&config);

    /* what receivers have their tokens in is a secret from the moment it is read */
    cleanup_arena struct arena arena = {0};
    assert_string_equal(secret_redact(&arena, "POST /hooks/T0/secret-part failed"), "POST /*** failed");
    secret_forget_all();
}

static void forges(void **state)
{
    (void)state;
    static const struct {
        const char *repository, *keys;
        enum forge forge;
        const char *url, *project;
    } cases[] = {
        {"https://github.com/a/b.git", "", FORGE_GITHUB, "https://api.github.com", "a/b"},
        {"ssh://git@github.com/a/b.git", "", FORGE_GITHUB, "https://api.github.com", "a/b"},
        {"https://GitHub.com/a/b/", "", FORGE_GITHUB, "https://api.github.com", "a/b"},
        {"https://github.example.org:8443/a/b", "", FORGE_GITHUB, "https://github.example.org:8443/api/v3",
         "a/b"},
        {"https://gitlab.com/a/b/c.git", "", FORGE_GITLAB, "https://gitlab.com/api/v4", "a/b/c"},
        {"ssh://git@gitlab.example.org:2222/a/b.git", "", FORGE_GITLAB, "https://gitlab.example.org/api/v4",
         "a/b"},
        {"https://codeberg.org/a/b", "", FORGE_GITEA, "https://codeberg.org/api/v1", "a/b"},
        {"https://git.example.org/a/b", "status_forge = gitea\n", FORGE_GITEA,
         "https://git.example.org/api/v1", "a/b"},
        {"https://git.example.org/sub/a/b",
         "status_forge = github\nstatus_url = https://api.example.org/v3/\n", FORGE_GITHUB,
         "https://api.example.org/v3", "a/b"},
        {"file:///srv/git/a/b.git", "status_forge = gitlab\nstatus_url = http://127.0.0.1:1/\n", FORGE_GITLAB,
         "http://127.0.0.1:1", "a/b"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct config config = {0};
        parse_good(arena_printf(&arena,
                                "[stack web]\nrepository = %s\nfile = a.yml\nstatus_token_file = /t\n%s",
                                cases[i].repository, cases[i].keys),
                   &config);
        const struct stack_config *web = &config.stacks[0];
        assert_int_equal(web->forge, cases[i].forge);
        assert_string_equal(web->status_url, cases[i].url);
        assert_string_equal(web->project, cases[i].project);
        config_release(&config);
    }
}

/* The array is what a newcomer reads: whole, in the order of the sections, no key twice. */
static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_config_keys; i++) {
        const struct config_key *key = &config_keys[i];
        assert_true((key->parse == NULL) == ((key->flags & CONFIG_LATER) != 0));
        assert_true((key->fallback == NULL) == ((key->flags & CONFIG_REQUIRED) != 0));
        assert_true(strlen(key->help) > 0 && strlen(key->help) < 115);
        for (size_t j = 0; j < i; j++)
            assert_false(str_eq(key->section, config_keys[j].section) &&
                         str_eq(key->key, config_keys[j].key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),  cmocka_unit_test(accepted_values), cmocka_unit_test(fields),
        cmocka_unit_test(defaults),  cmocka_unit_test(many_errors),     cmocka_unit_test(bytes_and_sizes),
        cmocka_unit_test(rights),    cmocka_unit_test(loading),         cmocka_unit_test(table),
        cmocka_unit_test(receivers), cmocka_unit_test(forges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

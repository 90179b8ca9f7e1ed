/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/secret.h"
#include "base/str.h"
#include "core/config_table.h"

enum { MAX_SIZE = 1 << 20, MAX_SECTIONS = 256, MAX_ERRORS_SIZE = 3800 };

/* A [section] of the file, and where it set which key: rows of config_keys. */
struct section {
    const struct config_section *type;
    const char *name; /* of [stack NAME] */
    unsigned line;
    unsigned set[CONFIG_MAX_KEYS]; /* 0: not set */
    bool faulty;                   /* a value of it was refused, and that is said */
    size_t index;                  /* in config->stacks or config->notify */
};

struct parser {
    struct config *config;
    struct arena scratch;
    unsigned line;
    struct section *sections;
    size_t n_sections;
    struct section *current; /* NULL: before the first section, or in one that is not known */
    bool skipping;           /* in a section that is not known: its keys make no further errors */
    struct str errors;
    unsigned n_errors, n_left_out;
    unsigned listed; /* bit per section type whose keys were already listed in a message */
};

__attribute__((format(printf, 3, 4))) static void fault(struct parser *p, unsigned line, const char *format,
                                                        ...)
{
    p->n_errors++;
    if (p->errors.len > MAX_ERRORS_SIZE) {
        p->n_left_out++;
        return;
    }
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(&p->scratch, format, ap);
    va_end(ap);
    str_printf(&p->errors, "%s%s:", p->errors.len ? "\n" : "", p->config->path);
    if (line)
        str_printf(&p->errors, "%u:", line);
    str_printf(&p->errors, " %s", text);
}

/* "[stack web]" */
static const char *section_text(struct parser *p, const struct section *s)
{
    return s->name ? arena_printf(&p->scratch, "[%s %s]", s->type->name, s->name)
                   : arena_printf(&p->scratch, "[%s]", s->type->name);
}

/* Foreign words in a message: short and harmless. */
static const char *shown(struct parser *p, const char *text)
{
    return str_clean(&p->scratch, text, strlen(text), true, 60);
}

/* ---- sections ---- */

static const struct config_section *section_type(const char *name)
{
    for (size_t i = 0; i < n_config_sections; i++)
        if (str_eq(config_sections[i].name, name))
            return &config_sections[i];
    return NULL;
}

static struct section *section_find(struct parser *p, const struct config_section *type, const char *name)
{
    for (size_t i = 0; i < p->n_sections; i++)
        if (p->sections[i].type == type && str_eq(p->sections[i].name, name))
            return &p->sections[i];
    return NULL;
}

static struct section *section_add(struct parser *p, const struct config_section *type, const char *name)
{
    struct config *config = p->config;
    p->sections = arena_grow(&p->scratch, p->sections, p->n_sections, sizeof *p->sections);
    struct section *s = &p->sections[p->n_sections++];
    *s = (struct section){.type = type, .name = arena_strdup(&p->scratch, name), .line = p->line};
    if (str_eq(type->name, "stack")) {
        config->stacks = arena_grow(&config->arena, config->stacks, config->n_stacks, sizeof *config->stacks);
        s->index = config->n_stacks++;
        config->stacks[s->index] =
            (struct stack_config){.name = arena_strdup(&config->arena, name), .line = p->line};
    } else if (str_eq(type->name, "notify")) {
        config->notify = arena_grow(&config->arena, config->notify, config->n_notify, sizeof *config->notify);
        s->index = config->n_notify++;
        config->notify[s->index] =
            (struct notify_config){.name = arena_strdup(&config->arena, name), .line = p->line};
    }
    return s;
}

static bool section_name_is_good(struct parser *p, const struct config_section *type, const char *name)
{
    if (type->named && !name)
        fault(p, p->line, "[%s] needs a name: [%s NAME]", type->name, type->name);
    else if (!type->named && name)
        fault(p, p->line, "[%s %s]: this section takes no name", type->name, shown(p, name));
    else if (type->named && !config_stack_name_is_valid(name))
        fault(p, p->line,
              "[%s %s]: the name %shas lower-case letters, digits, - and _, starts with a letter "
              "or digit, "
              "and has at most 48 bytes",
              type->name, shown(p, name), str_eq(type->name, "stack") ? "of a stack " : "");
    else if (type->flags & CONFIG_LATER)
        fault(p, p->line, "[%s %s]: not supported by this version yet", type->name,
              shown(p, name ? name : ""));
    else
        return true;
    return false;
}

static void parse_section(struct parser *p, char *text)
{
    size_t len = strlen(text), n;
    p->current = NULL;
    p->skipping = true;
    if (text[len - 1] != ']') {
        fault(p, p->line, "a section ends with ] and nothing follows it");
        return;
    }
    text[len - 1] = '\0';
    char **words = words_split(&p->scratch, text + 1, &n);
    const struct config_section *type = n ? section_type(words[0]) : NULL;
    if (!type) {
        fault(
            p, p->line,
            "[%s]: unknown section; known are [agent] [registry] [records] [http] [notify NAME] [stack NAME]",
            shown(p, text + 1));
        return;
    }
    if (n > 2) {
        fault(p, p->line, "[%s]: a name is one word", shown(p, text + 1));
        return;
    }
    if (!section_name_is_good(p, type, words[1]))
        return;
    const struct section *first = section_find(p, type, words[1]);
    if (first) {
        fault(p, p->line, "%s: this section is already in line %u", section_text(p, first), first->line);
        return;
    }
    if (p->n_sections == MAX_SECTIONS) {
        fault(p, p->line, "%s: more than %d sections", shown(p, text + 1), MAX_SECTIONS);
        return;
    }
    p->current = section_add(p, type, words[1]);
    p->skipping = false;
}

/* ---- keys ---- */

static void *target_of(struct parser *p, const struct section *s, const struct config_key *key)
{
    struct config *config = p->config;
    char *base = str_eq(s->type->name, "stack")    ? (char *)&config->stacks[s->index]
                 : str_eq(s->type->name, "notify") ? (char *)&config->notify[s->index]
                                                   : (char *)config;
    return base + key->offset;
}

static void fault_unknown_key(struct parser *p, const char *key)
{
    const struct section *s = p->current;
    unsigned bit = 1U << (s->type - config_sections);
    cleanup_str struct str known = {0};
    for (size_t i = 0; i < n_config_keys && !(p->listed & bit); i++)
        if (str_eq(config_keys[i].section, s->type->name))
            str_printf(&known, "%s %s", known.len ? "" : "; known are", config_keys[i].key);
    p->listed |= bit;
    fault(p, p->line, "%s %s: unknown key%s", section_text(p, s), shown(p, key), str_text(&known));
}

static void set_value(struct parser *p, struct section *s, const struct config_key *key, const char *value)
{
    struct error err = {0};
    if (key->flags & CONFIG_LATER) {
        if (!str_eq(value, key->fallback))
            fault(p, p->line, "%s %s: not supported by this version yet; leave it out%s%s",
                  section_text(p, s), key->key, *key->fallback ? ", or write " : ", or empty", key->fallback);
    } else if (key->parse(&p->config->arena, value, target_of(p, s, key), &err) < 0) {
        fault(p, p->line, "%s %s: %s", section_text(p, s), key->key, err.text);
        s->faulty = true;
    }
}

/* Spellings that systemd or other INI files know and that would be read as part of the value. */
static const char *value_fault(const char *value)
{
    size_t len = strlen(value);
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p < ' ' && *p != '\t')
            return "the value holds a control character";
        if ((*p == ' ' || *p == '\t') && (p[1] == '#' || p[1] == ';'))
            return "comments stand on lines of their own";
    }
    if (len >= 1 && (value[0] == '"' || value[0] == '\''))
        return "values are written without quotes";
    if (len >= 1 && value[len - 1] == '\\')
        return "a value does not go on in the next line";
    return NULL;
}

static void parse_key(struct parser *p, const char *name, const char *value)
{
    struct section *s = p->current;
    if (!s) {
        if (!p->skipping)
            fault(p, p->line, "%s: a key before the first [section]", shown(p, name));
        return;
    }
    for (size_t i = 0; i < n_config_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (!str_eq(key->section, s->type->name) || !str_eq(key->key, name))
            continue;
        if (s->set[i]) {
            fault(p, p->line, "%s %s: already set in line %u", section_text(p, s), name, s->set[i]);
            return;
        }
        s->set[i] = p->line;
        const char *odd = value_fault(value);
        if (odd)
            fault(p, p->line, "%s %s: %s", section_text(p, s), name, odd);
        else
            set_value(p, s, key, value);
        return;
    }
    fault_unknown_key(p, name);
}

/* ---- lines ---- */

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';
    return text;
}

static void parse_line(struct parser *p, const char *bytes, size_t len)
{
    if (len && bytes[len - 1] == '\r')
        len--;
    if (memchr(bytes, '\0', len)) {
        fault(p, p->line, "the line holds a NUL byte: this is not a text file");
        return;
    }
    if (!str_is_utf8(bytes, len)) {
        fault(p, p->line, "the line is not valid UTF-8");
        return;
    }
    char *text = trim(arena_strndup(&p->scratch, bytes, len));
    if (*text == '\0' || *text == '#' || *text == ';')
        return;
    if (*text == '[') {
        parse_section(p, text);
        return;
    }
    char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        if (p->current || !p->skipping)
            fault(p, p->line, "'%s' is neither [section] nor key = value", shown(p, text));
        return;
    }
    *equals = '\0';
    parse_key(p, trim(text), trim(equals + 1));
}

/* ---- what no single line tells ---- */

static void complete(struct parser *p, struct section *s)
{
    for (size_t i = 0; i < n_config_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (s->set[i] || !str_eq(key->section, s->type->name) || key->flags & CONFIG_LATER)
            continue;
        if (key->flags & CONFIG_REQUIRED) {
            fault(p, s->line, "%s %s is missing: %s", section_text(p, s), key->key, key->help);
            continue;
        }
        p->line = s->line;
        set_value(p, s, key, key->fallback);
    }
}

/* Where the section sets the key; its header when it does not. */
static unsigned line_of(const struct section *s, const char *key)
{
    for (size_t i = 0; i < n_config_keys; i++)
        if (s->set[i] && str_eq(config_keys[i].section, s->type->name) && str_eq(config_keys[i].key, key))
            return s->set[i];
    return s->line;
}

static void check_status(struct parser *p, const struct section *s, struct stack_config *stack)
{
    if (!stack->status_token_file)
        return;
    const char *odd = config_find_forge(&p->config->arena, stack);
    if (odd)
        fault(p, line_of(s, "status_token_file"), "%s status_token_file: %s", section_text(p, s), odd);
    else if (config_url_is_insecure(stack->status_url) && !stack->insecure)
        fault(p, line_of(s, "status_url"),
              "%s status_url: plain http lets anybody on the way read the token; use https, or write "
              "insecure = yes",
              section_text(p, s));
}

static void check_stack(struct parser *p, const struct section *s)
{
    struct stack_config *stack = &p->config->stacks[s->index];
    for (stack->n_files = 0; stack->files && stack->files[stack->n_files];)
        stack->n_files++;
    if (!stack->repository)
        return; /* that is said already */
    bool ssh = str_starts(stack->repository, "ssh:"), http = str_starts(stack->repository, "http");
    if (config_url_is_insecure(stack->repository) && !stack->insecure)
        fault(p, line_of(s, "repository"),
              "%s repository: plain http lets anybody on the way change what is deployed; use https, or "
              "write insecure = yes",
              section_text(p, s));
    if (stack->token_file && !http)
        fault(p, line_of(s, "token_file"), "%s token_file: only for https; %s", section_text(p, s),
              ssh ? "ssh takes ssh_key" : "file:// takes no credentials");
    if (stack->ssh_key && !ssh)
        fault(p, line_of(s, "ssh_key"), "%s ssh_key: only for ssh; %s", section_text(p, s),
              http ? "https takes token_file" : "file:// takes no credentials");
    check_status(p, s, stack);
}

static void check_notify(struct parser *p, const struct section *s)
{
    struct notify_config *notify = &p->config->notify[s->index];
    if (!notify->url && !notify->url_file && !s->faulty)
        fault(p, s->line, "%s needs url, or url_file: where to send to", section_text(p, s));
    if (notify->url && notify->url_file)
        fault(p, line_of(s, "url_file"), "%s url_file: url is there, too; keep one of them",
              section_text(p, s));
    if (notify->url && config_url_is_insecure(notify->url) && !notify->insecure)
        fault(p, line_of(s, "url"),
              "%s url: plain http lets anybody on the way read it; use https, or write insecure = yes",
              section_text(p, s));
    for (char **stack = notify->stacks; stack && *stack; stack++)
        if (!config_stack(p->config, *stack))
            fault(p, line_of(s, "stacks"), "%s stacks: there is no [stack %s]", section_text(p, s),
                  shown(p, *stack));
}

static void check_main(struct parser *p)
{
    static const char socket_name[] = "/control.sock";
    const struct config *config = p->config;
    size_t max = sizeof((struct sockaddr_un *)0)->sun_path;
    if (config->run_dir && strlen(config->run_dir) + sizeof socket_name > max)
        fault(p, 0, "[agent] run_dir: too long for the control socket in it, at most %zu bytes",
              max - sizeof socket_name);
    if (config->run_dir && str_eq(config->run_dir, config->state_dir))
        fault(p, 0, "[agent] run_dir and state_dir are the same folder");
    if (config->records_postgres && config->records_postgres_file)
        fault(p, 0, "[records] postgres and postgres_file are both set: leave one of them out");
}

static void finish(struct parser *p)
{
    for (size_t i = 0; i < n_config_sections; i++)
        if (!config_sections[i].named && !section_find(p, &config_sections[i], NULL)) {
            p->line = 0;
            section_add(p, &config_sections[i], NULL);
        }
    for (size_t i = 0; i < p->n_sections; i++)
        complete(p, &p->sections[i]);
    for (size_t i = 0; i < p->n_sections; i++)
        if (str_eq(p->sections[i].type->name, "stack"))
            check_stack(p, &p->sections[i]);
        else if (str_eq(p->sections[i].type->name, "notify"))
            check_notify(p, &p->sections[i]);
    check_main(p);
}

static int report(struct parser *p, struct error *err)
{
    if (p->n_errors == 0)
        return 0;
    if (p->n_left_out)
        str_printf(&p->errors, "\n%s: and %u more", p->config->path, p->n_left_out);
    const char *text = secret_redact(&p->scratch, str_text(&p->errors));
    text = str_clean(&p->scratch, text, strlen(text), false, 0);
    return error_set(err, ERR_INVALID, 0, "%s", text);
}

int config_parse(const char *path, const char *text, size_t len, struct config *ret, struct error *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    struct config config = {0};
    struct parser p = {.config = &config};
    config.path = arena_strdup(&config.arena, path);
    if (len > MAX_SIZE) {
        fault(&p, 0, "larger than 1 MiB");
        len = 0;
    }
    if (len >= sizeof bom - 1 && memcmp(text, bom, sizeof bom - 1) == 0) {
        text += sizeof bom - 1;
        len -= sizeof bom - 1;
    }
    p.line = 1;
    for (const char *end = text + len; text < end; p.line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = newline ? (size_t)(newline - text) : (size_t)(end - text);
        parse_line(&p, text, n);
        text += n + (newline != NULL);
    }
    finish(&p);
    int r = report(&p, err);
    arena_release(&p.scratch);
    str_release(&p.errors);
    if (r < 0)
        arena_release(&config.arena);
    else
        *ret = config;
    return r;
}

int config_read(struct arena *arena, const char *path, char **ret_text, size_t *ret_len, struct error *err)
{
    struct stat st;
    if (fs_read(arena, path, MAX_SIZE, ret_text, ret_len, err) < 0)
        return -1;
    /* who may write it decides what runs on the Swarm */
    if (stat(path, &st) == 0 && st.st_mode & S_IWOTH)
        return error_set(err, ERR_INVALID, 0, "%s: every user may write it; mend it with: chmod o-w %s", path,
                         path);
    return 0;
}

int config_load(const char *path, struct config *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char *text;
    size_t len;
    if (config_read(&arena, path, &text, &len, err) < 0 || config_parse(path, text, len, ret, err) < 0)
        return -1;
    if (config_check_rights(path, ret, err) == 0)
        return 0;
    config_release(ret);
    return -1;
}

void config_release(struct config *config)
{
    for (size_t i = 0; i < config->n_stacks; i++)
        if (config->stacks[i].webhook_secret)
            explicit_bzero(config->stacks[i].webhook_secret, strlen(config->stacks[i].webhook_secret));
    arena_release(&config->arena);
    *config = (struct config){0};
}

const struct stack_config *config_stack(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_stacks; i++)
        if (str_eq(config->stacks[i].name, name))
            return &config->stacks[i];
    return NULL;
}

const struct notify_config *config_notify(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_notify; i++)
        if (str_eq(config->notify[i].name, name))
            return &config->notify[i];
    return NULL;
}

int64_t config_poll_alarm_us(const struct stack_config *stack)
{
    static const int64_t shortest_us = 15 * 60 * US_PER_S;
    int64_t ten_us = 10 * stack->poll_interval_us;
    return ten_us > shortest_us ? ten_us : shortest_us;
}

char *config_journal_path(struct arena *arena, const struct config *config)
{
    return arena_printf(arena, "%s/journal.db", config->state_dir);
}

char *config_control_path(struct arena *arena, const struct config *config)
{
    return arena_printf(arena, "%s/control.sock", config->run_dir);
}

char *config_repo_path(struct arena *arena, const struct config *config, const struct stack_config *stack)
{
    return arena_printf(arena, "%s/repo/%s", config->state_dir, stack->name);
}

char *config_lock_path(struct arena *arena, const struct config *config, const char *stack)
{
    return arena_printf(arena, "%s/stack-%s.lock", config->state_dir, stack);
}

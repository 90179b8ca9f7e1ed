/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "core/config_reading.h"

/* agent.conf line by line: sections, keys, and what is wrong with them. */

enum { MAX_SECTIONS = 256, MAX_ERRORS_SIZE = 3800 };

__attribute__((format(printf, 3, 4))) void config_fault(struct config_reading *p, unsigned line,
                                                        const char *format, ...)
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

const char *config_part_text(struct config_reading *p, const struct config_part *s)
{
    return s->name ? arena_printf(&p->scratch, "[%s %s]", s->type->name, s->name)
                   : arena_printf(&p->scratch, "[%s]", s->type->name);
}

const char *config_shown(struct config_reading *p, const char *text)
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

struct config_part *config_part_find(struct config_reading *p, const struct config_section *type,
                                     const char *name)
{
    for (size_t i = 0; i < p->n_sections; i++)
        if (p->sections[i].type == type && str_eq(p->sections[i].name, name))
            return &p->sections[i];
    return NULL;
}

struct config_part *config_part_add(struct config_reading *p, const struct config_section *type,
                                    const char *name)
{
    struct config *config = p->config;
    p->sections = arena_grow(&p->scratch, p->sections, p->n_sections, sizeof *p->sections);
    struct config_part *s = &p->sections[p->n_sections++];
    *s = (struct config_part){.type = type, .name = arena_strdup(&p->scratch, name), .line = p->line};
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

static bool section_name_is_good(struct config_reading *p, const struct config_section *type,
                                 const char *name)
{
    if (type->named && !name)
        config_fault(p, p->line, "[%s] needs a name: [%s NAME]", type->name, type->name);
    else if (!type->named && name)
        config_fault(p, p->line, "[%s %s]: this section takes no name", type->name, config_shown(p, name));
    else if (type->named && !config_stack_name_is_valid(name))
        config_fault(p, p->line,
                     "[%s %s]: the name %shas lower-case letters, digits, - and _, starts with a letter "
                     "or digit, "
                     "and has at most 48 bytes",
                     type->name, config_shown(p, name), str_eq(type->name, "stack") ? "of a stack " : "");
    else if (type->flags & CONFIG_LATER)
        config_fault(p, p->line, "[%s %s]: not supported by this version yet", type->name,
                     config_shown(p, name ? name : ""));
    else
        return true;
    return false;
}

static void parse_section(struct config_reading *p, char *text)
{
    size_t len = strlen(text), n;
    p->current = NULL;
    p->skipping = true;
    if (text[len - 1] != ']') {
        config_fault(p, p->line, "a section ends with ] and nothing follows it");
        return;
    }
    text[len - 1] = '\0';
    char **words = words_split(&p->scratch, text + 1, &n);
    const struct config_section *type = n ? section_type(words[0]) : NULL;
    if (!type) {
        config_fault(
            p, p->line,
            "[%s]: unknown section; known are [agent] [registry] [records] [http] [notify NAME] [stack NAME]",
            config_shown(p, text + 1));
        return;
    }
    if (n > 2) {
        config_fault(p, p->line, "[%s]: a name is one word", config_shown(p, text + 1));
        return;
    }
    if (!section_name_is_good(p, type, words[1]))
        return;
    const struct config_part *first = config_part_find(p, type, words[1]);
    if (first) {
        config_fault(p, p->line, "%s: this section is already in line %u", config_part_text(p, first),
                     first->line);
        return;
    }
    if (p->n_sections == MAX_SECTIONS) {
        config_fault(p, p->line, "%s: more than %d sections", config_shown(p, text + 1), MAX_SECTIONS);
        return;
    }
    p->current = config_part_add(p, type, words[1]);
    p->skipping = false;
}

/* ---- keys ---- */

static void *target_of(struct config_reading *p, const struct config_part *s, const struct config_key *key)
{
    struct config *config = p->config;
    char *base = str_eq(s->type->name, "stack")    ? (char *)&config->stacks[s->index]
                 : str_eq(s->type->name, "notify") ? (char *)&config->notify[s->index]
                                                   : (char *)config;
    return base + key->offset;
}

static void fault_unknown_key(struct config_reading *p, const char *key)
{
    const struct config_part *s = p->current;
    unsigned bit = 1U << (s->type - config_sections);
    cleanup_str struct str known = {0};
    for (size_t i = 0; i < n_config_keys && !(p->listed & bit); i++)
        if (str_eq(config_keys[i].section, s->type->name))
            str_printf(&known, "%s %s", known.len ? "" : "; known are", config_keys[i].key);
    p->listed |= bit;
    config_fault(p, p->line, "%s %s: unknown key%s", config_part_text(p, s), config_shown(p, key),
                 str_text(&known));
}

void config_set(struct config_reading *p, struct config_part *s, const struct config_key *key,
                const char *value)
{
    struct error err = {0};
    if (key->flags & CONFIG_LATER) {
        if (!str_eq(value, key->fallback))
            config_fault(p, p->line, "%s %s: not supported by this version yet; leave it out%s%s",
                         config_part_text(p, s), key->key, *key->fallback ? ", or write " : ", or empty",
                         key->fallback);
    } else if (key->parse(&p->config->arena, value, target_of(p, s, key), &err) < 0) {
        config_fault(p, p->line, "%s %s: %s", config_part_text(p, s), key->key, err.text);
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

static void parse_key(struct config_reading *p, const char *name, const char *value)
{
    struct config_part *s = p->current;
    if (!s) {
        if (!p->skipping)
            config_fault(p, p->line, "%s: a key before the first [section]", config_shown(p, name));
        return;
    }
    for (size_t i = 0; i < n_config_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (!str_eq(key->section, s->type->name) || !str_eq(key->key, name))
            continue;
        if (s->set[i]) {
            config_fault(p, p->line, "%s %s: already set in line %u", config_part_text(p, s), name,
                         s->set[i]);
            return;
        }
        s->set[i] = p->line;
        const char *odd = value_fault(value);
        if (odd)
            config_fault(p, p->line, "%s %s: %s", config_part_text(p, s), name, odd);
        else
            config_set(p, s, key, value);
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

static void parse_line(struct config_reading *p, const char *bytes, size_t len)
{
    if (len && bytes[len - 1] == '\r')
        len--;
    if (memchr(bytes, '\0', len)) {
        config_fault(p, p->line, "the line holds a NUL byte: this is not a text file");
        return;
    }
    if (!str_is_utf8(bytes, len)) {
        config_fault(p, p->line, "the line is not valid UTF-8");
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
            config_fault(p, p->line, "'%s' is neither [section] nor key = value", config_shown(p, text));
        return;
    }
    *equals = '\0';
    parse_key(p, trim(text), trim(equals + 1));
}
static int report(struct config_reading *p, struct error *err)
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
    struct config_reading p = {.config = &config};
    config.path = arena_strdup(&config.arena, path);
    if (len > CONFIG_MAX_SIZE) {
        config_fault(&p, 0, "larger than 1 MiB");
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
    config_finish(&p);
    int r = report(&p, err);
    arena_release(&p.scratch);
    str_release(&p.errors);
    if (r < 0)
        arena_release(&config.arena);
    else
        *ret = config;
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/config.h"
#include "base/fs.h"
#include "core/config_table.h"
#include "core_fixture.h"

/* What people are told of settings and keys is what there is. */

static char *read_source(struct arena *arena, const char *path)
{
    char *text;
    size_t len;
    struct error err = {0};
    if (fs_read(arena, path, 1 << 20, &text, &len, &err) < 0)
        fail_msg("%s", err.text);
    return text;
}

/* ---- agent.conf ---- */

/*
 * agent.conf.example has every row of the table, a comment above it, and the default as its value. Keys stand
 * there as comments without a blank ("#key = value"); with those taken away it must be a file that is
 * accepted.
 */
static bool in_example(const struct config_key *key, const char *text)
{
    cleanup_arena struct arena arena = {0};
    const char *section = arena_printf(&arena, "[%s", key->section), *previous = "";
    bool here = false;
    for (const char *p = text; *p; p += *p == '\n') {
        size_t len = strcspn(p, "\n");
        const char *line = arena_strndup(&arena, p, len);
        p += len;
        line += *line == '#' && line[1] != ' ';
        if (*line == '[')
            here = str_starts(line, section) && strchr(" ]", line[strlen(section)]);
        const char *equals = strstr(line, " =");
        if (here && equals && strlen(key->key) == (size_t)(equals - line) && str_starts(line, key->key)) {
            const char *value = equals + 2 + strspn(equals + 2, " ");
            if (!str_starts(previous, "# "))
                fail_msg("[%s] %s has no comment", key->section, key->key);
            if (key->fallback && !str_eq(value, key->fallback))
                fail_msg("[%s] %s is '%s' and not '%s'", key->section, key->key, value, key->fallback);
            return true;
        }
        previous = line;
    }
    return false;
}

static size_t stacks_of(const char *text)
{
    struct config config;
    struct error err = {0};
    if (config_parse("agent.conf", text, strlen(text), &config, &err) < 0)
        fail_msg("%s", err.text);
    size_t n = config.n_stacks;
    config_release(&config);
    return n;
}

static void example(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    const char *text = read_source(&arena, "agent.conf.example");
    for (size_t i = 0; i < n_config_keys; i++)
        if (!in_example(&config_keys[i], text))
            fail_msg("agent.conf.example lacks [%s] %s", config_keys[i].section, config_keys[i].key);

    assert_int_equal(stacks_of(text), 0); /* as it is shipped */

    cleanup_str struct str plain = {0};
    for (const char *p = text; *p; p += *p == '\n') {
        size_t len = strcspn(p, "\n");
        const char *line = arena_strndup(&arena, p, len);
        p += len;
        line += *line == '#' && line[1] != ' ';
        str_printf(&plain, "%s%s\n", line, str_eq(line, "url =") ? " https://chat.example.org/x" : "");
    }
    assert_int_equal(stacks_of(str_text(&plain)), 1);
}

static void manual(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    const char *text = read_source(&arena, "docs/man/agent.conf.5");
    for (size_t i = 0; i < n_config_keys; i++) {
        const struct config_key *key = &config_keys[i];
        const char *title = arena_printf(&arena, ".SH \"[%s", key->section), *section = strstr(text, title);
        if (!section)
            fail_msg("agent.conf(5) lacks [%s]", key->section);
        const char *end = strstr(section + 1, ".SH");
        const char *want = arena_printf(&arena, "\n.B %s\n", key->key);
        if (key->fallback)
            want = arena_printf(
                &arena, strpbrk(key->fallback, " ") ? "\n.BR %s \" (\" \"%s\" )\n" : "\n.BR %s \" (\" %s )\n",
                key->key, key->fallback);
        if (key->fallback && !*key->fallback)
            want = arena_printf(&arena, "\n.BR %s \" ()\"\n", key->key);
        const char *at = strstr(section, want);
        if (!at || at > end)
            fail_msg("agent.conf(5) lacks%s", want);
    }
}

/* ---- x-release ---- */

/*
 * deploy-agent-stack(5) and docs/stack-file.md have each key of x-release, and the page has no other. What is
 * said of a key that nobody knows names all the others.
 */

static const struct mapping {
    const char *heading, *text; /* x-release with a key that does not exist there */
} mappings[] = {
    {"x-release", "  none: 1\n"},
    {"x-release.database", "  database: {none: 1}\n"},
    {"x-release.database.backup", "  database: {backup: {none: 1}}\n"},
    {"x-release.steps", "  steps: [{none: 1}]\n"},
    {"x-release.steps.sql", "  steps: [{sql: {none: 1}}]\n"},
    {"x-release.steps.run", "  steps: [{run: {none: 1}}]\n"},
    {"x-release.steps.expect", "  steps: [{expect: {none: 1}}]\n"},
    {"x-release.rollout", "  rollout: {none: 1}\n"},
    {"x-release.health.SERVICE", "  health: {web: [{none: 1}]}\n"},
    {"x-release.gate", "  gate: {none: 1}\n"},
};

/* "database, steps" */
static const char *known_keys(struct arena *arena, const struct mapping *mapping)
{
    static const char before[] = "(known: ";
    struct manifest manifest;
    struct error err = {0};
    const char *text = arena_printf(arena, "services: {web: {image: web}}\nx-release:\n%s", mapping->text);
    if (fixture_load(text, NULL, NULL, 0, &manifest, &err) == 0)
        fail_msg("%s takes any key", mapping->heading);
    const char *list = strstr(err.text, before);
    if (!list)
        fail_msg("%s: no list of keys in: %s", mapping->heading, err.text);
    list += strlen(before);
    return arena_strndup(arena, list, strcspn(list, ")"));
}

static const char *section_of(struct arena *arena, const char *page, const char *heading)
{
    const char *title = arena_printf(arena, "\n.Ss %s\n", heading), *at = strstr(page, title);
    if (!at)
        fail_msg("deploy-agent-stack(5) has no section %s", heading);
    at += strlen(title);
    const char *end = strstr(at, "\n.S");
    return arena_strndup(arena, at, end ? (size_t)(end - at) : strlen(at));
}

/* Is the word in the text, not as a part of another? */
static bool has_word(const char *text, const char *word, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    for (const char *at = text; (at = memmem(at, strlen(at), word, len)); at++)
        if ((at == text || !strchr(letters, at[-1])) && (!at[len] || !strchr(letters, at[len])))
            return true;
    return false;
}

static void each_key_is_told(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    const char *page = read_source(&arena, "docs/man/deploy-agent-stack.5");
    const char *text = strstr(read_source(&arena, "docs/stack-file.md"), "## 8. x-release");
    assert_non_null(text);
    for (size_t i = 0; i < ARRAY_SIZE(mappings); i++) {
        const char *section = section_of(&arena, page, mappings[i].heading);
        for (const char *key = known_keys(&arena, &mappings[i]); *key; key += strspn(key, ", ")) {
            size_t len = strcspn(key, ",");
            const char *item = arena_printf(&arena, ".It Ic %.*s", (int)len, key);
            if (!has_word(section, item, strlen(item)))
                fail_msg("deploy-agent-stack(5) lacks %.*s of %s", (int)len, key, mappings[i].heading);
            if (!has_word(text, key, len))
                fail_msg("docs/stack-file.md lacks %.*s of %s", (int)len, key, mappings[i].heading);
            key += len;
        }
    }
}

static void no_other_is_told(void **state)
{
    (void)state;
    static const char item[] = ".It Ic ";
    cleanup_arena struct arena arena = {0};
    const char *page = read_source(&arena, "docs/man/deploy-agent-stack.5");
    size_t sections = 0;
    for (const char *at = page; (at = strstr(at, "\n.Ss ")); at++)
        sections++;
    assert_int_equal(sections, ARRAY_SIZE(mappings));
    for (size_t i = 0; i < ARRAY_SIZE(mappings); i++) {
        const char *known = known_keys(&arena, &mappings[i]);
        for (const char *at = section_of(&arena, page, mappings[i].heading); (at = strstr(at, item));) {
            at += strlen(item);
            size_t len = strcspn(at, " \n");
            if (!has_word(known, at, len))
                fail_msg("deploy-agent-stack(5) has %.*s, which %s does not", (int)len, at,
                         mappings[i].heading);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example),
        cmocka_unit_test(manual),
        cmocka_unit_test(each_key_is_told),
        cmocka_unit_test(no_other_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

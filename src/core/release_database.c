/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "core/release_internal.h"

/* x-release.database */

static const int64_t backup_timeout_us = 1800 * US_PER_S;

enum { KEEP_DEFAULT = 5 };

static int read_when(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    static const char *const words[] = {"pending", "always", "never"};
    static const enum backup_when meanings[] = {BACKUP_PENDING, BACKUP_ALWAYS, BACKUP_NEVER};
    unsigned word;
    if (release_choice(d, node, words, ARRAY_SIZE(words), &word, err) < 0)
        return -1;
    *(enum backup_when *)target = meanings[word];
    return 0;
}

static int read_backup(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    static const struct decode_key keys[] = {
        {"when", read_when, offsetof(struct backup_settings, when)},
        {"volume", decode_string, offsetof(struct backup_settings, volume)},
        {"keep", decode_unsigned, offsetof(struct backup_settings, keep)},
        {"timeout", decode_duration, offsetof(struct backup_settings, timeout_us)},
        {"required", decode_bool, offsetof(struct backup_settings, required)},
    };
    struct backup_settings backup = {
        .when = BACKUP_PENDING, .keep = KEEP_DEFAULT, .timeout_us = backup_timeout_us, .required = true};
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &backup, err) < 0)
        return -1;
    if (backup.keep == 0)
        return node_error(err, node_get(node, "keep"), d->path, "keep must be at least 1");
    if (backup.timeout_us == 0)
        return node_error(err, node_get(node, "timeout"), d->path, "timeout must be more than 0");
    if (backup.when != BACKUP_NEVER && !backup.volume)
        return node_error(err, node, d->path, "needs volume: one of the stack file's top level");
    *(struct backup_settings *)target = backup;
    return 0;
}

static int read_pooler(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    static const char *const words[] = {"session"};
    unsigned word;
    if (release_choice(d, node, words, ARRAY_SIZE(words), &word, err) < 0)
        return -1;
    *(bool *)target = true;
    return 0;
}

static int check_backup(const struct decode *d, const struct node *node, const struct release *release,
                        const struct stack *stack, struct error *err)
{
    const char *volume = release->backup.volume;
    const struct node *backup = node_get(node, "backup");
    if (volume && !stack_volume(stack, volume))
        return node_error(err, node_get(backup, "volume"), decode_below(d, "backup").path,
                          "no volume '%s' at the top level of this stack", volume);
    if (release->backup.when != BACKUP_NEVER && (!release->database_service || !release->database_url_from))
        return node_error(err, backup, decode_below(d, "backup").path,
                          "needs service and url_from beside it: a dump is made by the service's own image");
    return 0;
}

int release_read_database(const struct decode *d, const struct node *node, const struct release_context *c,
                          struct error *err)
{
    static const struct decode_key keys[] = {
        {"service", decode_string, offsetof(struct release, database_service)},
        {"url_from", decode_string, offsetof(struct release, database_url_from)},
        {"migrate_url_from", decode_string, offsetof(struct release, migrate_url_from)},
        {"admin_url_from", decode_string, offsetof(struct release, admin_url_from)},
        {"pooler", read_pooler, offsetof(struct release, session_pooler)},
        {"ready_timeout", decode_duration, offsetof(struct release, database_ready_us)},
        {"backup", read_backup, offsetof(struct release, backup)},
    };
    struct release *release = c->release;
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), release, err) < 0)
        return -1;
    struct decode below = decode_below(d, "service");
    if (release->database_service &&
        release_service(&below, node_get(node, "service"), c->stack, &release->database_service, err) < 0)
        return -1;
    if (release->database_ready_us == 0)
        return node_error(err, node_get(node, "ready_timeout"), d->path, "ready_timeout must be more than 0");
    if (!release->database_url_from && (release->migrate_url_from || release->admin_url_from))
        return node_error(err, node, d->path, "needs url_from, too: the URL that the application uses");
    return check_backup(d, node, release, c->stack, err);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* A plan is saved whole, in one transaction, before the first effect. */

#include "base/clock.h"
#include "base/hash.h"
#include "journal/db.h"
#include "journal/spec.h"

int spec_store(struct journal *j, const char *body, char ret_hash[SHA256_HEX_SIZE], struct error *err)
{
    sha256_hex(body, strlen(body), ret_hash);
    return db_run(j, err, "INSERT INTO spec (hash, body) VALUES (?, ?) ON CONFLICT DO NOTHING",
                  V_TEXT(ret_hash), V_TEXT(body));
}

/* Plans may be made anew until something was done: a row of an old plan would then be lost history. */
static int check_plannable(struct journal *j, int64_t id, struct error *err)
{
    enum deployment_state state;
    cleanup_query sqlite3_stmt *q =
        db_query(j, err,
                 "SELECT state, (SELECT count(*) FROM step WHERE deployment = ?1 AND started_us IS NOT NULL)"
                 " FROM deployment WHERE id = ?1",
                 V_INT(id));
    int r = db_next(j, q, err);
    if (r < 0)
        return -1;
    if (r == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the journal has no deployment %lld", (long long)id);
    if (deployment_state_parse((const char *)sqlite3_column_text(q, 0), &state) < 0 ||
        !deployment_state_may_follow(state, DEPLOYMENT_PLANNED))
        return error_set(err, ERR_CONFLICT, 0, "deployment %lld is %s: it cannot be planned", (long long)id,
                         (const char *)sqlite3_column_text(q, 0));
    if (col_int(q, 1) > 0)
        return error_set(err, ERR_CONFLICT, 0,
                         "deployment %lld has begun its steps: it cannot be planned again", (long long)id);
    return 0;
}

static int delete_rows(struct journal *j, int64_t id, struct error *err)
{
    return db_run(j, err, "DELETE FROM plan WHERE deployment = ?", V_INT(id)) < 0 ||
                   db_run(j, err, "DELETE FROM step WHERE deployment = ?", V_INT(id)) < 0 ||
                   db_run(j, err, "DELETE FROM service WHERE deployment = ?", V_INT(id)) < 0 ||
                   db_run(j, err, "DELETE FROM image WHERE deployment = ?", V_INT(id)) < 0 ||
                   db_run(j, err, "DELETE FROM migration WHERE deployment = ?", V_INT(id)) < 0 ||
                   db_run(j, err, "DELETE FROM schema_version WHERE deployment = ?", V_INT(id)) < 0
               ? -1
               : 0;
}

static int insert_step(struct journal *j, int64_t id, const struct step *step, struct error *err)
{
    return db_run(j, err,
                  "INSERT INTO step (deployment, seq, kind, name, state, params, progress, fingerprint)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                  V_INT(id), V_INT(step->seq), V_TEXT(step->kind), V_TEXT(step->name),
                  V_TEXT(step_state_name(step->state)), V_TEXT(step->params), V_TEXT(step->progress),
                  V_TEXT(step->fingerprint));
}

static int insert_service(struct journal *j, int64_t id, size_t position, const struct service_record *s,
                          struct error *err)
{
    struct arena arena = {0};
    char before[SHA256_HEX_SIZE], after[SHA256_HEX_SIZE];
    int r = s->before ? spec_store(j, s->before, before, err) : 0;
    if (r == 0 && s->after)
        r = spec_store(j, s->after, after, err);
    if (r == 0)
        r = db_run(j, err,
                   "INSERT INTO service (deployment, service, position, name, action, state, note, "
                   "before_hash, after_hash)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   V_INT(id), V_TEXT(s->service), V_INT(position), V_TEXT(s->name), V_TEXT(s->action),
                   V_TEXT(s->state), V_TEXT(text_line(&arena, s->note, TEXT_LINE_MAX)),
                   V_TEXT(s->before ? before : NULL), V_TEXT(s->after ? after : NULL));
    arena_release(&arena);
    return r;
}

static int insert_image(struct journal *j, int64_t id, size_t position, const struct image_record *image,
                        struct error *err)
{
    return db_run(
        j, err, "INSERT INTO image (deployment, position, service, reference, digest) VALUES (?, ?, ?, ?, ?)",
        V_INT(id), V_INT(position), V_TEXT(image->service), V_TEXT(image->reference), V_TEXT(image->digest));
}

static int insert_migration(struct journal *j, int64_t id, size_t position, const struct migration_record *m,
                            struct error *err)
{
    struct arena arena = {0};
    int r = db_run(j, err,
                   "INSERT INTO migration (deployment, position, step, version, name, state, schema)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?)",
                   V_INT(id), V_INT(position), V_TEXT(m->step), V_TEXT(m->version),
                   V_TEXT(text_line(&arena, m->name, TEXT_LINE_MAX)), V_TEXT(m->state), V_TEXT(m->schema));
    arena_release(&arena);
    return r;
}

static int insert_rows(struct journal *j, int64_t id, const struct plan_rows *rows, struct error *err)
{
    for (size_t i = 0; i < rows->n_steps; i++)
        if (insert_step(j, id, &rows->steps[i], err) < 0)
            return error_wrap(err, "step %u", rows->steps[i].seq);
    for (size_t i = 0; i < rows->n_services; i++)
        if (insert_service(j, id, i, &rows->services[i], err) < 0)
            return error_wrap(err, "service %s", rows->services[i].service);
    for (size_t i = 0; i < rows->n_images; i++)
        if (insert_image(j, id, i, &rows->images[i], err) < 0)
            return error_wrap(err, "image of %s", rows->images[i].service);
    for (size_t i = 0; i < rows->n_migrations; i++)
        if (insert_migration(j, id, i, &rows->migrations[i], err) < 0)
            return error_wrap(err, "migration %s", rows->migrations[i].version);
    if (!rows->plan)
        return 0;
    return db_run(j, err, "INSERT INTO plan (deployment, body) VALUES (?, ?)", V_INT(id), V_TEXT(rows->plan));
}

int journal_save_plan(struct journal *journal, int64_t id, const struct plan_rows *rows, struct error *err)
{
    if (db_begin(journal, err) < 0)
        return -1;
    if (check_plannable(journal, id, err) < 0 || delete_rows(journal, id, err) < 0 ||
        insert_rows(journal, id, rows, err) < 0 ||
        db_run(journal, err,
               "UPDATE deployment SET state = 'planned', started_us = coalesce(started_us, ?2), base_id = "
               "?3, env_hash = ?4,"
               " warnings = ?5 WHERE id = ?1",
               V_INT(id), V_INT(wall_us()), V_INT(rows->base_id), V_TEXT(rows->env_hash),
               V_TEXT(rows->warnings)) < 0)
        return db_rollback(journal);
    return db_commit(journal, err);
}

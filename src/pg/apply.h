/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One file on its way into the database, one statement per message. Three ways, by its mode:
 *
 *     tx        BEGIN, statements, then our rows and COMMIT in one message           apply_tx.c
 *     multi_tx  the file's own transactions: how far it is goes with each COMMIT     apply_steps.c
 *     no_tx     the same, and statements that take no transaction: their intent is   apply_alone.c
 *               written before, and after a crash the server is asked what became of them
 *
 * Each returns -1 with the text a person reads and the failure by which retry.c decides.
 */

#include "base/str.h"
#include "pg/session.h"

struct apply {
    struct session *s;
    const struct migration *migration;
    const char *text; /* of the file */
    size_t len;
    bool names_table;   /* the user's table of versions: the file may record itself */
    int64_t started_us; /* wall */
    int64_t rows;
    unsigned attempts;

    unsigned done;              /* statements that are committed, of a file in several transactions */
    char prefix[SQL_HASH_SIZE]; /* of those */
    char seen[SQL_HASH_SIZE];   /* of those and the ones up to the present statement */
    bool in_doubt;              /* statement done + 1 was sent, alone, and nobody saw how it ended */
    unsigned alone;             /* a statement that ran, without a transaction, and did not come to its end */
    int64_t log_id;             /* the row `running`; 0: none */
    const char *login_settings; /* of settings.c, as json; NULL: not looked at */
    const char *settings;       /* the file's, as json; of user and role only what is not the login's */
    unsigned settings_at;       /* behind which statement */
    bool settings_seen;         /* a statement behind that one sets something */
    bool unknown;               /* the link broke at a COMMIT, and what became of that was not found out */

    struct pg_failure failure;
    struct sql_statement at; /* where it failed; number 0: in no statement */
    unsigned error_line;
    bool recorded; /* the file and its record are committed */
    struct str sql;
};

/* ---- apply.c: what the three share ---- */

int apply_statement(struct apply *a, const struct sql_statement *st, struct error *err) MUST_CHECK;
/* A message of ours; commits: holds a COMMIT. */
int apply_own(struct apply *a, const char *doing, const char *sql, bool commits, PGresult **ret,
              struct error *err) MUST_CHECK;
/* Fails at a statement, in words of ours. */
int apply_refuse(struct apply *a, const struct sql_statement *st, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* An error of a question that a statement made necessary gets its place; -1. */
int apply_place(struct apply *a, const struct sql_statement *st, struct error *err);
/* Triggers and constraints that wait for the COMMIT see what the file has set: they come before our settings.
 */
#define APPLY_DEFERRED "SET CONSTRAINTS ALL IMMEDIATE; "
/* Before a COMMIT: did the file make the table of versions, did it write its own (*ret_own) or, refused,
 * another one into it? books is changed, which has to be taken back when the COMMIT does not happen. */
int apply_check(struct apply *a, bool *ret_own, struct error *err) MUST_CHECK;
/* Rows and COMMIT of a file that is through; in its transaction. */
int apply_finish(struct apply *a, struct error *err) MUST_CHECK;
bool apply_is_utf8(const struct apply *a);
int apply_encoding(struct apply *a, struct error *err) MUST_CHECK;
PGTransactionStatusType apply_state(const struct apply *a);
/* The next state of `prefix` when st is done, too. */
void apply_prefix(char prefix[SQL_HASH_SIZE], const struct sql_statement *st);

int apply_tx(struct apply *a, struct error *err) MUST_CHECK;
int apply_steps(struct apply *a, struct error *err) MUST_CHECK;
/* A statement without a transaction, its intent and its end. */
int apply_alone(struct apply *a, const struct sql_statement *st, struct error *err) MUST_CHECK;
/* Writes that all up to st is done, and ends the transaction with `end`; outside of one: in one of ours. */
int apply_progress(struct apply *a, const struct sql_statement *st, const char *end,
                   struct error *err) MUST_CHECK;

/* ---- resume.c ---- */

/* How far an earlier run came; ERR_FAILED when a person has to say what became of a statement, or the done
 * part changed. */
int resume_from(struct apply *a, const struct migration_log *log, struct error *err) MUST_CHECK;
/* The row `running`. */
int resume_begin(struct apply *a, struct error *err) MUST_CHECK;
/* After a lost connection: what does the log say? Sets recorded, done, in_doubt. */
int resume_reconcile(struct apply *a, struct error *err) MUST_CHECK;

/* What `prefix` is after n statements of a text, or all of them. */
int resume_prefix(const char *file, const char *text, size_t len, unsigned n, char ret[SQL_HASH_SIZE],
                  struct error *err) MUST_CHECK;

/* ---- settings.c ---- */

/* In each session, before anything of the file: what the login has. */
int settings_begin(struct apply *a, struct error *err) MUST_CHECK;
/* True: it is a setting of the session. */
bool settings_saw(struct apply *a, const struct sql_statement *st);
/* After a COMMIT of the file: what is other than before goes into the log's row. */
int settings_record(struct apply *a, struct error *err) MUST_CHECK;
/* Before it goes on in this session, another one: as the done statements left them. */
int settings_restore(struct apply *a, struct error *err) MUST_CHECK;

/* ---- retry.c ---- */

int apply_file(struct apply *a, struct error *err) MUST_CHECK;

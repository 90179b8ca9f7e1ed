/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/step.h"

extern const struct step_kind step_kind_pull;    /* image.c */
extern const struct step_kind step_kind_network; /* objects.c */
extern const struct step_kind step_kind_secret;
extern const struct step_kind step_kind_config;
extern const struct step_kind step_kind_baseline; /* baseline.c */
extern const struct step_kind step_kind_compare;
extern const struct step_kind step_kind_before; /* roll.c */
extern const struct step_kind step_kind_roll;
extern const struct step_kind step_kind_relay;  /* relay.c */
extern const struct step_kind step_kind_ready;  /* ready.c */
extern const struct step_kind step_kind_backup; /* backup.c */
extern const struct step_kind step_kind_sql;    /* sql.c */
extern const struct step_kind step_kind_expect; /* expect.c */
extern const struct step_kind step_kind_run;    /* run.c */
extern const struct step_kind step_kind_soak;   /* soak.c */
extern const struct step_kind step_kind_prune;  /* prune.c */

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Named places where tests make the program die, hang or fail:
 * FAULTS=name:kill|stop|abort|errno=N|sleep=S|nth=K (several separated by commas; `nth=K` after a colon picks
 * the K-th passage, counted for each: name:kill:nth=2). Compiled in by -Dfaults=true; otherwise nothing.
 * Names are unique and say where: "roll.sent". FAULTS_PASSED=FILE: each passage is a line there,
 * "MONOTONIC_US PID NAME".
 *
 * Where something can fail, the fault is asked first, and its error is made where the real one is:
 *     if (fault_errno("x.rename") || rename(a, b) < 0)
 *         return error_errno(err, "%s", b);
 * fault_errnof() is for places that many come through: the name is put together as by printf.
 */
#ifdef AGENT_FAULTS
int fault_point_hit(const char *name); /* 0, or an errno to fail with, which errno is then, too */
int fault_point_hitf(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define fault_point(name) ((void)fault_point_hit(name))
#define fault_errno(name) fault_point_hit(name)
#define fault_errnof(...) fault_point_hitf(__VA_ARGS__)
#else
int fault_point_named(const char *format, ...) __attribute__((format(printf, 1, 2))); /* never called */
#define fault_point(name) ((void)0)
#define fault_errno(name) 0
#define fault_errnof(...) ((void)sizeof(fault_point_named(__VA_ARGS__)), 0)
#endif

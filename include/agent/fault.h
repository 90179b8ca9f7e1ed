/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Named places where tests make the program die, hang or fail:
 * FAULTS=name:kill|stop|abort|errno=N|sleep=S|nth=K (several separated by commas; `nth=K` after a colon picks
 * the K-th passage: name:kill:nth=2). Compiled in by -Dfaults=true; otherwise nothing. Names are unique and
 * say where: "roll.sent".
 */
#ifdef AGENT_FAULTS
int fault_point_hit(const char *name); /* 0, or an errno to fail with */
#define fault_point(name) ((void)fault_point_hit(name))
#define fault_errno(name) fault_point_hit(name)
#else
#define fault_point(name) ((void)0)
#define fault_errno(name) 0
#endif

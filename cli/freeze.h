/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hold a process still for a while.
 *
 * It is let go again whatever becomes of the caller: a child of the caller's
 * does both, and lets go when the caller says so or is gone, by SIGKILL as well.
 * A process that was stopped before stays stopped.
 */
#ifndef REMOTEMAP_CLI_FREEZE_H
#define REMOTEMAP_CLI_FREEZE_H

#include "common.h"

struct freeze {
	pid_t keeper; /* the child; 0: nothing is held */
	int channel; /* to it */
};

/* Returns when all threads of the process, pidfd is its, are still. */
enum status freeze_begin(struct freeze *freeze, pid_t pid, int pidfd);
/* May be called any number of times, on one that is all zero as well. */
void freeze_end(struct freeze *freeze);

#endif /* REMOTEMAP_CLI_FREEZE_H */

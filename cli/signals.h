/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SIGINT, SIGTERM and SIGHUP end a command in good order: they set a flag, make
 * calls that wait return EINTR, and signals_fd() readable. A second one does no
 * more than the first. A closed pipe is EPIPE.
 */
#ifndef REMOTEMAP_CLI_SIGNALS_H
#define REMOTEMAP_CLI_SIGNALS_H

#include <stdbool.h>

/* From here on; for a child to execute something, signals_default() undoes it. */
void signals_catch(void);
void signals_default(void);
/* The number of the first that came, or 0 */
int signals_caught(void);
/* Readable, for poll(), once one came; it is not to be read. */
int signals_fd(void);
/* The exit status that tells it: 128 + its number */
int signals_status(void);

#endif /* REMOTEMAP_CLI_SIGNALS_H */

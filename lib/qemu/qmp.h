/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection to QEMU's monitor, in QMP.
 *
 * Each call has an end: what QEMU does not answer in time is an error, after which
 * the connection is of no use any more. What comes is not trusted: it is JSON of a
 * limited size, or an error.
 */
#ifndef REMOTEMAP_QMP_H
#define REMOTEMAP_QMP_H

#include "../internal.h"

#include <jansson.h>
#include <stdint.h>

struct qmp {
	int fd;
	int timeout;	  /* milliseconds, for one message */
	int64_t deadline; /* of the message that is being read */
	size_t taken;	  /* bytes of it */
	int error;	  /* why it could not be read, or 0 */
	bool changed;	  /* an event told so: for who asks, who then clears it */
};

/* Connects, and takes the greeting. */
int qmp_open(struct qmp *qmp, const char *path, int timeout);
void qmp_close(struct qmp *qmp);

/*
 * One command. It takes the arguments (or NULL), whatever comes of it; *result is
 * what came back, to be given to json_decref(). fd: to be passed with it, or -1
 */
int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, int fd,
	     json_t **result);
/* A line for the human monitor. *text is to be given to free(). */
int qmp_monitor(struct qmp *qmp, const char *line, char **text);
/* Takes what comes, in timeout: 1: an event told of a change, 0: none did */
int qmp_wait(struct qmp *qmp, int timeout);

#endif /* REMOTEMAP_QMP_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the library's files share.
 *
 * Invariants: a function that is not API returns a value >= 0 or -errno, and
 * may change errno, which is kept by what is API (KEEP_ERRNO, KEEP_CALM). What
 * a function opened or allocated and does not return it has closed or freed.
 * Results are written when nothing can fail any more. A handle never changes
 * after it was opened: that is why any number of threads may use it.
 */
#ifndef REMOTEMAP_INTERNAL_H
#define REMOTEMAP_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "remotemap.h"

/* Everything else is hidden (-fvisibility=hidden). */
#define EXPORTED __attribute__((visibility("default")))

struct remotemap {
	int ctrl_fd; /* -1: there is none */
	int map_fd;
	bool writable;
};

/* ---- what every call of the API keeps ------------------------------------ */

struct calm {
	int error;
	int cancel;
};

static inline struct calm calm_begin(void)
{
	struct calm calm = { .error = errno };

	/* A thread that ends half way would leave descriptors behind. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &calm.cancel);
	return calm;
}

static inline void calm_end(const struct calm *calm)
{
	pthread_setcancelstate(calm->cancel, NULL);
	errno = calm->error;
}

static inline void errno_restore(const int *error)
{
	errno = *error;
}

/* To the end of the block: errno is kept */
#define KEEP_ERRNO \
	int keep_errno __attribute__((cleanup(errno_restore), unused)) = errno
/* and the thread cannot be cancelled: for what holds what can be lost */
#define KEEP_CALM \
	struct calm keep_calm __attribute__((cleanup(calm_end), unused)) = \
		calm_begin()

/* ---- context.c ----------------------------------------------------------- */

int open_file(const char *path, int flags);
/* Options as the caller knows them into ours: -EINVAL or -E2BIG if they differ */
int options_read(void *to, size_t size, size_t first, const void *from);
/* The name of a thing under /proc/PID is not there: what is it that is not? */
int proc_missing(void);

/* ---- handle.c ------------------------------------------------------------ */

/* Takes the descriptors if it succeeds. */
int handle_new(int ctrl_fd, int map_fd, struct remotemap **handle);
int map_check(int fd);

/* ---- lines.c ------------------------------------------------------------- */

/* 1: go on, 0: enough, -errno: end with that */
typedef int line_function(void *context, const char *text);
/* The file's lines, each with its newline, to the function: 0 or -errno */
int lines_read(const char *path, line_function *line, void *context);

/* ---- views.c ------------------------------------------------------------- */

/* What fdinfo says of a file of a context. 0: it is none */
int fdinfo_stat(const char *path, struct remotemap_stat *stat);

/* ---- mirror.c ------------------------------------------------------------ */

static inline size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

#endif /* REMOTEMAP_INTERNAL_H */

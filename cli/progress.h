/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A bar of bytes done, rate and time left, on standard error.
 *
 * Nothing is printed if that is no terminal. What is printed is gone again
 * after progress_end(), which may be called any number of times. One at a time,
 * by one thread.
 */
#ifndef REMOTEMAP_CLI_PROGRESS_H
#define REMOTEMAP_CLI_PROGRESS_H

#include <stdint.h>

/* total: in bytes, 0 if nobody knows */
void progress_begin(const char *what, uint64_t total);
/* bytes more; cheap: it looks at the clock and mostly does nothing else */
void progress_add(uint64_t bytes);
/* Takes the bar off the line, for a message; it comes again by itself. */
void progress_hide(void);
void progress_end(void);

#endif /* REMOTEMAP_CLI_PROGRESS_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory of a source in which each byte tells where it is, and what is there by
 * the only other account there is: /proc/PID/mem.
 */
#ifndef TEST_BYTES_H
#define TEST_BYTES_H

#include "common.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* size bytes, of which no two stretches are alike; another seed, other bytes */
static inline unsigned char *bytes_make(size_t size, size_t seed)
{
	unsigned char *bytes = malloc(size);
	size_t i;

	if (!bytes)
		fatal("no memory for %zu bytes", size);
	for (i = 0; i < size; i++)
		bytes[i] = (i + seed) * 0x9e3779b97f4a7c15ULL >> 56;
	return bytes;
}

static inline void bytes_put(struct source *source, uint64_t address,
			     const void *bytes, size_t size)
{
	int fd = mem_open(source->pid, O_RDWR);

	if (fd < 0 || pwrite(fd, bytes, size, address) != (ssize_t)size)
		fatal("a source's memory cannot be written: %m");
	close(fd);
}

static inline void bytes_get(struct source *source, uint64_t address,
			     void *bytes, size_t size)
{
	int fd = mem_open(source->pid, O_RDONLY);

	if (fd < 0 || pread(fd, bytes, size, address) != (ssize_t)size)
		fatal("a source's memory cannot be read: %m");
	close(fd);
}

/* Whether the source has these bytes there */
static inline bool bytes_are(struct source *source, uint64_t address,
			     const void *bytes, size_t size)
{
	void *seen = malloc(size);
	bool same;

	if (!seen)
		fatal("no memory for %zu bytes", size);
	bytes_get(source, address, seen, size);
	same = !memcmp(seen, bytes, size);
	free(seen);
	return same;
}

#endif /* TEST_BYTES_H */

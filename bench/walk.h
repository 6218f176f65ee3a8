/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ways to another process's memory, and the one loop that all of them run,
 * compiled once for loads and stores and once for each system call.
 */
#ifndef WALK_H
#define WALK_H

#include "bench.h"

/* One way to a source's memory. */
struct way {
	const char *system;
	pid_t pid; /* of the source */
	u64 address; /* there, in bytes, as filled by memory_make() */
	u64 size; /* in bytes, a power of 2 */
	char *memory; /* mapped here */
	int fd; /* /proc/PID/mem */
};

/* Which words are visited, and in which order. */
struct course {
	u64 stride; /* bytes between two of them, a power of 2 */
	u64 visits;
	bool random;
};

/*
 * Read the words and verify that they are as filled, or store the complement of
 * that. Returns what it took, by now().
 */
typedef u64 walk(const struct way *way, const struct course *course);

/* A mapping: a mirror, a memfd */
walk walk_memory;
walk store_memory;

/* The peers that copy, and what each takes to begin and end */
struct peer {
	const char *system;
	walk *walk;
	walk *store;
	void (*begin)(struct way *way);
	void (*end)(struct way *way);
};

extern const struct peer peers[3];

#define for_each_peer(peer)                   \
	for (const struct peer *peer = peers; \
	     peer < peers + ARRAY_SIZE(peers); peer++)

#endif /* WALK_H */

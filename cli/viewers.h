/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who holds or maps whose memory, found in /proc: of the processes that the
 * caller may look at, and how many it may not.
 */
#ifndef REMOTEMAP_CLI_VIEWERS_H
#define REMOTEMAP_CLI_VIEWERS_H

#include <remotemap.h>
#include <stdbool.h>
#include <sys/types.h>

/* A context of which a process has something */
struct viewer {
	pid_t pid;
	char command[16]; /* the viewer's */
	char source_command[16]; /* "": not to be seen */
	unsigned int maps, ctrls; /* how many descriptors */
	uint64_t mirrored; /* bytes of its address space */
	bool counted; /* stat holds; else only the mirror is known */
	struct remotemap_stat stat;
	uint64_t inode; /* the context's, 0: of the device's file or ctrl only */
};

struct viewers {
	struct viewer *viewers; /* in order of pid */
	size_t count, room;
	unsigned int unseen; /* processes that could not be looked at */
};

/* 0 or -errno; to be freed in both cases, *viewers is all zero before. */
int viewers_find(struct viewers *viewers);
void viewers_free(struct viewers *viewers);

#endif /* REMOTEMAP_CLI_VIEWERS_H */

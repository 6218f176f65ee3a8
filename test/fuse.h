/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file system whose server is a process of the test: its files answer late,
 * never, or with an error. The server speaks to /dev/fuse itself.
 */
#ifndef TEST_FUSE_H
#define TEST_FUSE_H

#include "common.h"

/* Page n of each file is full of pattern(FUSE_SEED, n). */
#define FUSE_SEED 77
#define FUSE_PAGES 8UL
#define FUSE_SIZE (FUSE_PAGES * PAGE_SIZE)

/* What a READ of the file comes to. FILE_HELD: the first two fail, the others
 * are never answered. By then whoever faults has given up to wait with its
 * mmap_lock dropped, and the kernel waits for the answer, signals or not.
 */
enum fuse_file {
	FILE_PROMPT,
	FILE_LATE, /* answered after fuse_answer() */
	FILE_BROKEN, /* EIO */
	FILE_NEVER,
	FILE_HELD,
	FUSE_FILES,
};

struct fuse;

/* Mount it; the server dies with the test. */
struct fuse *fuse_start(void);
/* The server dies, and all that waits for it gets an error. */
void fuse_kill(struct fuse *fuse);
/* That, and unmount: nobody may use a file of it any more. */
void fuse_end(struct fuse *fuse);
/* Map the whole file in the source. */
uint64_t fuse_map(struct source *source, enum fuse_file file, int prot,
		  int flags);
/* How many READs of the file have come */
unsigned int fuse_reads(struct fuse *fuse, enum fuse_file file);
/* Answer those of FILE_LATE from now on, and those that came before. */
void fuse_answer(struct fuse *fuse);

#endif /* TEST_FUSE_H */

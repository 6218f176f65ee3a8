/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shape of an ELF core: headers and notes, then each segment's data.
 *
 * What the headers say is in the file: a segment's p_filesz is what was written
 * of it, core_truncate() sees to that where a dump ends early. A process's
 * registers are not in it.
 */
#ifndef REMOTEMAP_CLI_CORE_H
#define REMOTEMAP_CLI_CORE_H

#include <remotemap.h>

#include "common.h"

#define CORE_PAGE 4096UL

struct core_segment {
	uint64_t start; /* address */
	uint64_t memory; /* size at the source; 0: not in the core after all */
	uint64_t file; /* of that in the file, from start on */
	uint64_t offset; /* in the file, once there is a layout */
	uint32_t rights; /* PF_* */
	uint32_t padding;
};

struct core {
	struct core_segment *segment; /* in the order of their addresses */
	size_t count, room;
	unsigned char *notes;
	size_t notes_size, notes_room;
	bool physical; /* a machine's memory: its addresses are physical */
	uint64_t data; /* where the first segment's data begin */
	uint64_t end; /* the file's size */
};

enum status core_add(struct core *core, const struct core_segment *segment);
/* NT_PRPSINFO, NT_AUXV and NT_FILE of a process with these regions */
enum status core_describe(struct core *core, pid_t pid,
			  const struct remotemap_region *regions,
			  ssize_t count);
/* After all segments and notes: sets each offset, data and end. */
void core_layout(struct core *core);
/* All bytes before data, to be freed with free(); NULL: no memory, told */
void *core_headers(const struct core *core);
/*
 * Only the first written bytes of segment number at are in the file, and nothing
 * of what comes after it: neither is said to be. Sets end.
 */
void core_truncate(struct core *core, size_t at, uint64_t written);
void core_free(struct core *core);

#endif /* REMOTEMAP_CLI_CORE_H */

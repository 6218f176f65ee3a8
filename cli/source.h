/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a command gets at a source: by number, as what somebody lent, or as a QEMU
 * guest.
 *
 * A struct source that was opened is closed once, by source_close(), which may
 * be called on one that is all zero as well.
 */
#ifndef REMOTEMAP_CLI_SOURCE_H
#define REMOTEMAP_CLI_SOURCE_H

#include <remotemap.h>

#include "common.h"
#include "guest.h"

/* --socket, --map-fd, --qemu, --resident: zero it, and map_fd = -1 */
struct source_options {
	const char *socket;
	const char *qemu;
	int map_fd;
	bool resident;
};

#define SOURCE_OPTIONS_INIT { .map_fd = -1 }

/* To be a child of a command's argp; its input is a struct source_options. */
extern const struct argp source_argp;

struct source {
	struct remotemap *handle;
	pid_t pid;  /* 0: it cannot be seen from here */
	bool lent;  /* by somebody: views as they are, no ctrl file */
	/* in order of their offsets; of a guest: their addresses are the guest's */
	struct remotemap_view *views;
	ssize_t view_count;
	struct remotemap_qemu *guest; /* NULL: it is no guest; the handle is its */
	struct remotemap_qemu_range *ranges;
	ssize_t range_count;
};

/*
 * Is a word for the PID expected on the command line? Not beside --socket,
 * --map-fd and --qemu. The word "-" stands for what REMOTEMAP_FD names in the environment.
 */
bool source_takes_pid(const struct source_options *options);
/*
 * Opens what options name, or pid_word; with one identity view if it is by
 * number. flags: REMOTEMAP_WRITE. Without it, nothing can be written.
 */
enum status source_open(const struct source_options *options,
			const char *pid_word, unsigned int flags,
			struct source *source);
void source_close(struct source *source);
/*
 * The offset of address, and in *length how many bytes follow on in the same
 * view: false if no view shows it.
 */
bool source_offset(const struct source *source, uint64_t address,
		   uint64_t *offset, uint64_t *length);
/* The address that offset stands for; false if no view has it. */
bool source_address(const struct source *source, uint64_t offset,
		    uint64_t *address);

#endif /* REMOTEMAP_CLI_SOURCE_H */

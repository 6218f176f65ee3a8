/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest to be dumped: its two sets of views (plan.h), and its memory as regions
 * whose addresses are guest-physical.
 */
#ifndef REMOTEMAP_CLI_DUMP_GUEST_H
#define REMOTEMAP_CLI_DUMP_GUEST_H

#include "plan.h"
#include "source.h"

enum status dump_guest_open(const char *socket, bool resident,
			    struct source *source);
/*
 * RAM and ROM; all: devices' and non-volatile memory, too. *hosts: where each of
 * *count regions begins in QEMU. Both are to be given to free(), also on failure.
 */
enum status dump_guest_regions(const struct source *source, bool all,
			       struct remotemap_region **regions,
			       uint64_t **hosts, ssize_t *count);

#endif /* REMOTEMAP_CLI_DUMP_GUEST_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the guest's physical memory is in QEMU's.
 *
 * Ranges are in the order of their addresses and do not overlap. A host address is
 * one that QEMU told for the first and the last byte of its range, while the
 * layout before and after was the same.
 */
#ifndef REMOTEMAP_LAYOUT_H
#define REMOTEMAP_LAYOUT_H

#include "qmp.h"
#include "remotemap-qemu.h"

#define NAME_SIZE 128

struct layout_range {
	struct remotemap_qemu_range range; /* its name: the array below */
	bool hardware; /* a real device's memory: QEMU gives no address of it */
	char name[NAME_SIZE];
};

struct layout {
	struct layout_range *range;
	size_t count, room;
};

/* To be given to layout_free() if it succeeds */
int layout_read(struct qmp *qmp, struct layout *layout);
void layout_free(struct layout *layout);

#endif /* REMOTEMAP_LAYOUT_H */

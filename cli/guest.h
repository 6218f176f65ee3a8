/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A QEMU guest as a source: its addresses are guest-physical.
 */
#ifndef REMOTEMAP_CLI_GUEST_H
#define REMOTEMAP_CLI_GUEST_H

#include <remotemap-qemu.h>

#include "common.h"

struct source;

/* Opens the guest behind a QMP socket; flags: REMOTEMAP_QEMU_* */
enum status guest_open(const char *socket, unsigned int flags,
		       struct source *source);
/* Why it cannot be opened, and what to do */
enum status fail_guest(const char *socket, int error);
/* Its ranges, for people or as JSON */
enum status guest_print(const struct source *source, bool json);

#endif /* REMOTEMAP_CLI_GUEST_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * memmem() for memory that is looked through once: quicker than that, as it takes many
 * places at a time and looks closer at those only where two seldom bytes are right.
 */
#ifndef REMOTEMAP_CLI_BYTES_H
#define REMOTEMAP_CLI_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	const uint8_t *value;
	size_t length;
	size_t one, other; /* which two, if there are two */
};

void bytes_prepare(struct bytes *bytes, const uint8_t *value, size_t length);
/* The first place in [from, from + room), or NULL. Nothing else is read. */
const uint8_t *bytes_find(const struct bytes *bytes, const uint8_t *from,
			  size_t room);

#endif /* REMOTEMAP_CLI_BYTES_H */

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Copying and searching under a guard. Invariant: what is told to be copied is,
 * and where something was found nothing before it was not there.
 */
#include "internal.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/*
 * memcpy() copies in any order: of a piece that was left half way nothing is
 * known. It is so large that the pieces cost nothing.
 */
#define PIECE (256UL << 10)

struct copy {
	char *to;
	const char *from;
	size_t length;
	size_t piece; /* a power of two, at multiples of which pieces end */
	size_t done;
};

static int copy_pieces(void *argument)
{
	struct copy *copy = argument;

	while (copy->done < copy->length) {
		size_t done = copy->done, left = copy->length - done;
		size_t now = copy->piece - ((uintptr_t)(copy->from + done) &
					    (copy->piece - 1));

		if (now > left)
			now = left;
		memcpy(copy->to + done, copy->from + done, now);
		/* It is copied before it is told, should the next one fault. */
		atomic_signal_fence(memory_order_seq_cst);
		copy->done = done + now;
	}
	return 0;
}

EXPORTED ssize_t remotemap_guard_copy(void *destination, const void *mirror,
				      size_t length)
{
	struct copy copy = {
		.to = destination,
		.from = mirror,
		.length = length,
		.piece = PIECE,
	};
	int err;

	if (length > SSIZE_MAX)
		return -EINVAL;
	err = remotemap_guard(mirror, length, copy_pieces, &copy, NULL, NULL);
	/* A page is there or it is not: up to which one? */
	if (err == -EFAULT) {
		copy.piece = page_size();
		err = remotemap_guard(mirror, length, copy_pieces, &copy, NULL,
				      NULL);
	}
	return err && err != -EFAULT ? err : (ssize_t)copy.done;
}

struct find {
	const void *mirror;
	size_t length;
	const void *needle;
	size_t needle_length;
	const void *found;
};

static int find_first(void *argument)
{
	struct find *find = argument;

	find->found = memmem(find->mirror, find->length, find->needle,
			     find->needle_length);
	return find->found ? 1 : 0;
}

EXPORTED int remotemap_guard_find(const void *mirror, size_t length,
				  const void *needle, size_t needle_length,
				  const void **at)
{
	struct find find = {
		.mirror = mirror,
		.length = length,
		.needle = needle,
		.needle_length = needle_length,
	};
	void *absent;
	int err, found;

	if (!at)
		return -EFAULT;
	err = remotemap_guard(mirror, length, find_first, &find, &found,
			      &absent);
	if (err == -EFAULT)
		*at = absent;
	if (err)
		return err;
	if (found)
		*at = find.found;
	return found;
}

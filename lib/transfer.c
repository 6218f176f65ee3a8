// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Copying. Invariant: what was moved is told; an error only where nothing was.
 */
#include "internal.h"

#include <limits.h>
#include <stdint.h>

static ssize_t transfer(const struct remotemap *handle, void *buffer,
			size_t length, uint64_t offset, bool write)
{
	size_t done = 0;

	if (length > SSIZE_MAX || offset > INT64_MAX)
		return -EINVAL;
	/* The kernel refuses what ends beyond the largest offset. */
	if (length > INT64_MAX - offset)
		length = (size_t)(INT64_MAX - offset);
	/* It moves less than 2 GiB a call. */
	while (done < length) {
		char *at = (char *)buffer + done;
		off_t from = (off_t)(offset + done);
		ssize_t n =
			write ? pwrite(handle->map_fd, at, length - done,
				       from) :
				pread(handle->map_fd, at, length - done, from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !done)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

EXPORTED ssize_t remotemap_read(const struct remotemap *handle, void *buffer,
				size_t length, uint64_t offset)
{
	KEEP_ERRNO;

	return transfer(handle, buffer, length, offset, false);
}

EXPORTED ssize_t remotemap_write(const struct remotemap *handle,
				 const void *buffer, size_t length,
				 uint64_t offset)
{
	KEEP_ERRNO;

	if (!handle->writable)
		return -EACCES;
	return transfer(handle, (void *)(uintptr_t)buffer, length, offset,
			true);
}

static int64_t seek(const struct remotemap *handle, uint64_t offset, int whence)
{
	off_t found;

	if (offset > INT64_MAX)
		return -ENXIO;
	found = lseek(handle->map_fd, (off_t)offset, whence);
	return found < 0 ? -errno : found;
}

EXPORTED int64_t remotemap_next_data(const struct remotemap *handle,
				     uint64_t offset)
{
	KEEP_ERRNO;

	return seek(handle, offset, SEEK_DATA);
}

EXPORTED int64_t remotemap_next_hole(const struct remotemap *handle,
				     uint64_t offset)
{
	KEEP_ERRNO;

	return seek(handle, offset, SEEK_HOLE);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Mapping. Invariant: what was mapped and is not returned is unmapped; a
 * reserved range is changed only where and when the mirror appears in it.
 */
#include "internal.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define HUGE_SIZE (2UL << 20)
#define GIANT_SIZE (1UL << 30)

/*
 * The first address from start on that agrees with like modulo 2 MiB; modulo 1
 * GiB if it is as large and there is room for it so in length.
 */
static uintptr_t congruent(uintptr_t start, size_t length, size_t size,
			   uintptr_t like)
{
	size_t skip;

	if (size < HUGE_SIZE)
		return start;
	skip = (like - start) & (GIANT_SIZE - 1);
	if (size < GIANT_SIZE || skip > length || length - skip < size)
		skip &= HUGE_SIZE - 1;
	return start + skip;
}

static int map_reserved(uintptr_t reserved, size_t length, size_t size,
			int prot, int map_fd, off_t offset, void **mirror)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t place;
	void *first;

	if (!reserved || reserved % page || !size ||
	    length > UINTPTR_MAX - reserved)
		return -EINVAL;
	if (size > length)
		return -ENOMEM;
	/* The kernel knows the source's addresses and places it so; then move. */
	first = mmap(NULL, size, prot, MAP_SHARED, map_fd, offset);
	if (first == MAP_FAILED)
		return -errno;
	size = (size + page - 1) / page * page;
	place = congruent(reserved, length, size, (uintptr_t)first);
	if (place - reserved > length || length - (place - reserved) < size) {
		munmap(first, size);
		return -ENOMEM;
	}
	*mirror = mremap(first, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			 (void *)place);
	if (*mirror == MAP_FAILED) {
		int err = -errno;

		munmap(first, size);
		return err;
	}
	return 0;
}

EXPORTED void *pidfd_mem_mmap(void *reserved, size_t length, size_t size,
			      int prot, int map_fd, off_t offset)
{
	void *mirror = MAP_FAILED;
	int err = map_reserved((uintptr_t)reserved, length, size, prot, map_fd,
			       offset, &mirror);

	if (!err)
		return mirror;
	errno = -err;
	return MAP_FAILED;
}

/* ---- with a handle ------------------------------------------------------- */

/* How many pages are touched by one call */
#define BATCH 256

/*
 * Touch pages without meeting a signal: a byte of each is written to a sink.
 * Returns how many were there before the first that was not.
 */
static size_t pages_touch(int sink, char *start, size_t pages)
{
	struct iovec bytes[BATCH];
	size_t page = page_size(), done = 0;

	while (done < pages) {
		size_t i, now = pages - done < BATCH ? pages - done : BATCH;
		ssize_t n;

		for (i = 0; i < now; i++) {
			bytes[i].iov_base = start + (done + i) * page;
			bytes[i].iov_len = 1;
		}
		n = pwritev(sink, bytes, (int)now, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

/*
 * All data in [start, start + size), which shows the map file from offset on.
 * As with MAP_POPULATE in mmap(2), what cannot be done now will be when it is
 * touched.
 */
static void mirror_populate(int map_fd, char *start, size_t size, off_t offset)
{
	size_t page = page_size();
	off_t at = offset, end = offset + (off_t)size, hole;
	int sink = memfd_create("remotemap", MFD_CLOEXEC);

	if (sink < 0)
		return;
	while (at < end) {
		at = lseek(map_fd, at, SEEK_DATA);
		if (at < 0 || at >= end)
			break;
		hole = lseek(map_fd, at, SEEK_HOLE);
		if (hole < 0 || hole > end)
			hole = end;
		while (at < hole) {
			at += (off_t)(page *
				      pages_touch(sink, start + (at - offset),
						  (size_t)(hole - at) / page));
			/* What is data and was not there is passed over. */
			at += (off_t)page;
		}
	}
	close(sink);
}

static int mirror_advise(char *start, size_t size, unsigned int flags)
{
	int advice = MADV_NORMAL;

	if (flags & REMOTEMAP_MAP_SEQUENTIAL)
		advice = MADV_SEQUENTIAL;
	else if (flags & REMOTEMAP_MAP_RANDOM)
		advice = MADV_RANDOM;
	return madvise(start, size, advice) ? -errno : 0;
}

static int mirror_prepare(int map_fd, char *start, size_t size, off_t offset,
			  unsigned int flags)
{
	int err;

	if (flags & REMOTEMAP_MAP_POPULATE) {
		/* So a fault maps as much as it can. */
		err = mirror_advise(start, size, REMOTEMAP_MAP_SEQUENTIAL);
		if (err)
			return err;
		mirror_populate(map_fd, start, size, offset);
	} else if (!(flags &
		     (REMOTEMAP_MAP_SEQUENTIAL | REMOTEMAP_MAP_RANDOM))) {
		return 0;
	}
	return mirror_advise(start, size, flags);
}

static int map_options(struct remotemap_map_options *to,
		       const struct remotemap_map_options *from)
{
	const unsigned int order = REMOTEMAP_MAP_SEQUENTIAL |
				   REMOTEMAP_MAP_RANDOM;
	int err = options_read(to, sizeof(*to), sizeof(*to), from);

	if (err)
		return err;
	if (to->padding ||
	    to->flags & ~(REMOTEMAP_MAP_WRITE | REMOTEMAP_MAP_POPULATE | order))
		return -EINVAL;
	if ((to->flags & order) == order)
		return -EINVAL;
	if (!to->reserved && to->reserved_length)
		return -EINVAL;
	return 0;
}

/* [start, start + length) to whole pages; false if that wraps */
static bool pages_round(uint64_t *start, uint64_t *length)
{
	uint64_t page = page_size(), skip = *start % page;

	if (!*length || *length > UINT64_MAX - skip - (page - 1))
		return false;
	*start -= skip;
	*length = (*length + skip + page - 1) / page * page;
	return *length <= INT64_MAX && *start <= INT64_MAX - *length;
}

EXPORTED int remotemap_map(const struct remotemap *handle, uint64_t offset,
			   size_t length,
			   const struct remotemap_map_options *options,
			   void **mirror)
{
	KEEP_CALM;
	struct remotemap_map_options all;
	uint64_t start = offset, size = length;
	int err, prot = PROT_READ;
	void *place;

	err = map_options(&all, options);
	if (err)
		return err;
	if (!mirror)
		return -EFAULT;
	if (!pages_round(&start, &size))
		return -EINVAL;
	if (all.flags & REMOTEMAP_MAP_WRITE)
		prot |= PROT_WRITE;
	if (all.reserved) {
		err = map_reserved((uintptr_t)all.reserved, all.reserved_length,
				   size, prot, handle->map_fd, (off_t)start,
				   &place);
	} else {
		place = mmap(NULL, size, prot, MAP_SHARED, handle->map_fd,
			     (off_t)start);
		err = place == MAP_FAILED ? -errno : 0;
	}
	if (err)
		return err;
	err = mirror_prepare(handle->map_fd, place, size, (off_t)start,
			     all.flags);
	if (err) {
		munmap(place, size);
		return err;
	}
	*mirror = (char *)place + (offset - start);
	return 0;
}

EXPORTED int remotemap_unmap(void *mirror, size_t length)
{
	KEEP_ERRNO;
	uint64_t start = (uintptr_t)mirror, size = length;

	if (!mirror || !pages_round(&start, &size))
		return -EINVAL;
	return munmap((void *)(uintptr_t)start, size) ? -errno : 0;
}

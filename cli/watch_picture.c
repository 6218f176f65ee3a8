// SPDX-License-Identifier: GPL-2.0
/*
 * A picture is taken through the mirror, where there is data. What vanishes
 * meanwhile is not there. The last picture of a source that has ended stays: the
 * mirror loses all of it before anybody can be told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

#define PAGE 4096UL

int picture_open(struct picture *picture, const struct source *source,
		 uint64_t address, size_t length)
{
	uint64_t room;
	void *mirror;
	int error;

	*picture = (struct picture){
		.source = source, .address = address, .length = length,
	};
	if (!source_offset(source, address, &picture->offset, &room) ||
	    room < length)
		return -EFAULT;
	error = remotemap_map(source->handle, picture->offset, length, NULL,
			      &mirror);
	if (error < 0)
		return error;
	picture->mirror = mirror;
	picture->bytes = calloc(5, length);
	if (!picture->bytes) {
		picture_close(picture);
		return -ENOMEM;
	}
	picture->before = picture->bytes + length;
	picture->there = (bool *)(picture->bytes + 2 * length);
	picture->there_before = (bool *)(picture->bytes + 3 * length);
	picture->age = picture->bytes + 4 * length;
	memset(picture->age, AGE_MAX, length);
	return 0;
}

void picture_close(struct picture *picture)
{
	if (picture->mirror)
		remotemap_unmap(picture->mirror, picture->length);
	/* bytes and before, there and there_before change places. */
	free(picture->bytes < picture->before ? picture->bytes :
						picture->before);
	*picture = (struct picture){ 0 };
}

/* [at, to), which had data a moment ago; where to go on */
static size_t part_copy(struct picture *picture, uint8_t *bytes, bool *there,
			size_t at, size_t to)
{
	ssize_t n = remotemap_guard_copy(bytes + at, picture->mirror + at,
					 to - at);
	size_t page;

	if (n < 0)
		n = 0;
	memset(there + at, true, (size_t)n);
	if ((size_t)n == to - at)
		return to;
	page = (size_t)((((picture->offset + at + (size_t)n) & -PAGE) + PAGE) -
			picture->offset);
	memset(bytes + at + n, 0, to - at - (size_t)n);
	return page < to ? page : to;
}

static int all_copy(struct picture *picture, uint8_t *bytes, bool *there)
{
	const struct remotemap *handle = picture->source->handle;
	size_t at = 0, length = picture->length;

	memset(bytes, 0, length);
	memset(there, false, length);
	while (at < length) {
		int64_t data = remotemap_next_data(handle, picture->offset + at);
		int64_t hole;

		if (data == -ENXIO)
			return 0;
		if (data < 0)
			return (int)data;
		if ((uint64_t)data - picture->offset >= length)
			return 0;
		at = (size_t)((uint64_t)data - picture->offset);
		hole = remotemap_next_hole(handle, (uint64_t)data);
		if (hole < 0 && hole != -ENXIO)
			return (int)hole;
		if (hole < 0 || (uint64_t)hole - picture->offset > length)
			hole = (int64_t)(picture->offset + length);
		at = part_copy(picture, bytes, there, at,
			       (size_t)((uint64_t)hole - picture->offset));
	}
	return 0;
}

static void swap(void **one, void **other)
{
	void *kept = *one;

	*one = *other;
	*other = kept;
}

int picture_take(struct picture *picture)
{
	int error = all_copy(picture, picture->before, picture->there_before);

	if (!error && remotemap_wait(picture->source->handle, 0) == 1)
		error = -ESRCH;
	if (error) {
		/* Nothing has changed, then. */
		memcpy(picture->before, picture->bytes, picture->length);
		memcpy(picture->there_before, picture->there, picture->length);
		return error;
	}
	swap((void **)&picture->bytes, (void **)&picture->before);
	swap((void **)&picture->there, (void **)&picture->there_before);
	if (picture->taken++ == 0)
		return 0;
	for (size_t i = 0; i < picture->length; i++) {
		if (picture_changed(picture, i, 1))
			picture->age[i] = 0;
		else if (picture->age[i] < AGE_MAX)
			picture->age[i]++;
	}
	return 0;
}

bool picture_there(const struct picture *picture, size_t at, size_t count)
{
	while (count--)
		if (!picture->there[at++])
			return false;
	return true;
}

bool picture_changed(const struct picture *picture, size_t at, size_t count)
{
	return memcmp(picture->bytes + at, picture->before + at, count) ||
		memcmp(picture->there + at, picture->there_before + at,
		       count);
}

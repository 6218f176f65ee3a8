// SPDX-License-Identifier: LGPL-2.1-or-later
/* find_text PID TEXT: where a process has that text in memory it can write. */
#include <err.h>
#include <inttypes.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that is in memory of one region */
static void find(const struct remotemap *source,
		 const struct remotemap_region *region, const char *text)
{
	int64_t end = (int64_t)region->start, begin;

	while ((begin = remotemap_next_data(source, end)) >= 0 &&
	       begin < (int64_t)region->end) {
		const void *at;
		void *mirror;

		end = remotemap_next_hole(source, begin);
		if (end <= begin || end > (int64_t)region->end)
			end = region->end;
		if (remotemap_map(source, begin, end - begin, NULL, &mirror))
			return;
		/* As memmem(), but what is gone by now ends it, not us. */
		if (remotemap_guard_find(mirror, end - begin, text,
					 strlen(text), &at) == 1)
			printf("0x%" PRIx64 "\n",
			       begin + ((const char *)at - (char *)mirror));
		remotemap_unmap(mirror, end - begin);
	}
}

int main(int argc, char **argv)
{
	/* All of its memory, at offsets that are its addresses; never disturb it */
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY | REMOTEMAP_RESIDENT,
	};
	struct remotemap_region *regions;
	struct remotemap *source;
	ssize_t count;
	int error;

	if (argc != 3)
		errx(2, "usage: find_text PID TEXT");
	error = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	count = remotemap_regions_brief(atoi(argv[1]), &regions);
	if (count < 0)
		errx(1, "process %s: %s", argv[1], strerror((int)-count));
	for (ssize_t i = 0; i < count; i++)
		if ((regions[i].flags & REMOTEMAP_REGION_SHOWN) &&
		    (regions[i].flags & REMOTEMAP_REGION_WRITE))
			find(source, &regions[i], argv[2]);
	remotemap_regions_free(regions, count);
	remotemap_close(source);
}

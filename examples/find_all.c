// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <inttypes.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Print each place in length bytes, which are at that address of the process. */
static void find(const char *mirror, uint64_t address, size_t length,
		 const char *text)
{
	size_t done = 0;
	const void *at;

	/* What is gone by now ends it. */
	while (done < length &&
	       remotemap_guard_find(mirror + done, length - done, text,
				    strlen(text), &at) == 1) {
		done = (const char *)at - mirror;
		printf("%#" PRIx64 "\n", address + done);
		done++;
	}
}

/* The same for what is in memory of a region: to touch the rest takes time. */
static void search(const struct remotemap *source,
		   const struct remotemap_region *region, const char *text)
{
	int64_t begin, end = region->start;
	size_t length = region->end - region->start;
	void *mirror;

	if (remotemap_map(source, region->start, length, NULL, &mirror))
		return;
	while ((begin = remotemap_next_data(source, end)) >= 0 &&
	       begin < (int64_t)region->end) {
		end = remotemap_next_hole(source, begin);
		if (end <= begin || end > (int64_t)region->end)
			end = region->end;
		find((char *)mirror + (begin - region->start), begin,
		     end - begin, text);
	}
	remotemap_unmap(mirror, length);
}

/* find_all PID TEXT: where in the memory of the process is it? */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY | REMOTEMAP_RESIDENT,
	};
	struct remotemap_region *regions;
	struct remotemap *source;
	ssize_t n;

	if (argc != 3 || !*argv[2])
		errx(2, "usage: find_all PID TEXT");
	n = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	n = remotemap_regions_brief(atoi(argv[1]), &regions);
	if (n < 0)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	for (ssize_t i = 0; i < n; i++)
		if (regions[i].flags & REMOTEMAP_REGION_SHOWN)
			search(source, &regions[i], argv[2]);
	remotemap_regions_free(regions, n);
	remotemap_close(source);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Print where in the region it is. It may end, or have gaps, at any time. */
static void search(const struct remotemap *source,
		   const struct remotemap_region *region, const char *text)
{
	size_t length = region->end - region->start, done = 0;
	const void *at;
	char *mirror;
	int found;

	if (remotemap_map(source, region->start, length, NULL,
			  (void **)&mirror))
		return;
	while (done < length) {
		found = remotemap_guard_find(mirror + done, length - done, text,
					     strlen(text), &at);
		if (found == 0 || (found < 0 && found != -EFAULT))
			break;
		done = (const char *)at - mirror;
		if (found == 1)
			printf("%#" PRIx64 "\n", region->start + done++);
		else /* what is not there: on with the next page */
			done = (done | 4095) + 1;
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

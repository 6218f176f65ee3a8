// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <inttypes.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* list_regions PID: what it has mapped, and whether a mirror shows it. */
int main(int argc, char **argv)
{
	struct remotemap_region *regions;
	ssize_t n, i;

	if (argc != 2)
		errx(2, "usage: list_regions PID");
	n = remotemap_regions(atoi(argv[1]), &regions);
	if (n < 0)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	for (i = 0; i < n; i++) {
		const struct remotemap_region *r = &regions[i];

		printf("%" PRIx64 "-%" PRIx64 " %c%c%c%c %s %" PRIu64 " %s%s\n",
		       r->start, r->end,
		       r->flags & REMOTEMAP_REGION_READ ? 'r' : '-',
		       r->flags & REMOTEMAP_REGION_WRITE ? 'w' : '-',
		       r->flags & REMOTEMAP_REGION_EXEC ? 'x' : '-',
		       r->flags & REMOTEMAP_REGION_SHARED ? 's' : 'p',
		       remotemap_kind_name(r->kind), r->resident,
		       r->flags & REMOTEMAP_REGION_SHOWN ? "" : "(not shown) ",
		       r->name);
	}
	remotemap_regions_free(regions, n);
}

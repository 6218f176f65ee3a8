// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* whole PID ADDRESS: the identity view, made by hand. */
int main(int argc, char **argv)
{
	struct remotemap *source;
	unsigned char byte;
	ssize_t n;

	if (argc != 3)
		errx(2, "usage: whole PID ADDRESS");
	n = remotemap_open_pid(atoi(argv[1]), NULL, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	n = remotemap_add(source, 0, 0, remotemap_address_space(),
			  PIDFD_MEM_MAP_READONLY | PIDFD_MEM_MAP_RESIDENT);
	if (n)
		errx(1, "a view: %s", strerror(-n));
	n = remotemap_read(source, &byte, 1, strtoull(argv[2], NULL, 0));
	if (n < 0)
		errx(1, "%s: %s", argv[2], strerror(-n));
	printf("%02x\n", byte);
	remotemap_close(source);
}

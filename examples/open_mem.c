// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <fcntl.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* open_mem PID ADDRESS: get the authority first, then give up all others. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	char path[64], magic[4];
	ssize_t n;
	int mem;

	if (argc != 3)
		errx(2, "usage: open_mem PID ADDRESS");
	snprintf(path, sizeof(path), "/proc/%s/mem", argv[1]);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		err(1, "%s", path);
	if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
		err(1, "user 65534");

	n = remotemap_open_mem(mem, &options, &source);
	if (n)
		errx(1, "%s: %s", path, strerror(-n));
	close(mem);
	n = remotemap_read(source, magic, sizeof(magic),
			   strtoull(argv[2], NULL, 0));
	if (n < 0)
		errx(1, "%s: %s", argv[2], strerror(-n));
	printf("user %d: %s an ELF file\n", (int)geteuid(),
	       n == 4 && !memcmp(magic, "\177ELF", 4) ? "it is" : "it is not");
	remotemap_close(source);
}

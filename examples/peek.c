// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>

/* peek PID ADDRESS SIZE: print what the process has there, in hex. */
int main(int argc, char **argv)
{
	if (argc != 4)
		errx(2, "usage: peek PID ADDRESS SIZE");
	unsigned long address = strtoul(argv[2], NULL, 0);
	unsigned long size = strtoul(argv[3], NULL, 0);
	struct pidfd_mem_map view = { .address = address & -4096UL };

	view.size = ((address + size + 4095) & -4096UL) - view.address;
	int pidfd = pidfd_open(atoi(argv[1]), 0), fds[2];

	if (pidfd < 0 || pidfd_mem(pidfd, fds, PIDFD_MEM_OPEN_RDONLY) ||
	    ioctl(fds[0], PIDFD_MEM_MAP, &view))
		err(1, "process %s", argv[1]);
	unsigned char *mirror = mmap(NULL, view.size, PROT_READ, MAP_SHARED,
				     fds[1], view.offset);
	if (mirror == MAP_FAILED)
		err(1, "mmap");
	/* From here on it is memory. Where the process has none: SIGBUS. */
	for (unsigned long i = 0; i < size; i++)
		printf("%02x%c", mirror[address % 4096 + i],
		       i % 16 == 15 || i == size - 1 ? '\n' : ' ');
}

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define MEBI (1UL << 20)
#define SIZE (4 * MEBI)
#define ROOM (SIZE + 2 * MEBI)

/* reserve: a mirror in the place that was reserved for it. */
int main(void)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *room = mmap(NULL, ROOM, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct pidfd_mem_map view = {
		.address = (unsigned long)memory,
		.size = SIZE,
	};
	int pidfd, fds[2];
	char *mirror;
	pid_t child;

	if (memory == MAP_FAILED || room == MAP_FAILED)
		err(1, "mmap");
	strcpy(memory, "a child's memory");
	child = fork();
	if (child == 0)
		pause();
	pidfd = pidfd_open(child, 0);
	if (child < 0 || pidfd < 0)
		err(1, "a child");
	if (pidfd_mem(pidfd, fds, 0) || ioctl(fds[0], PIDFD_MEM_MAP, &view))
		err(1, "process %d", child);
	mirror = pidfd_mem_mmap(room, ROOM, SIZE, PROT_READ, fds[1], 0);
	if (mirror == MAP_FAILED)
		err(1, "pidfd_mem_mmap");
	printf("%s, %lu modulo 2 MiB apart\n", mirror,
	       (mirror - memory) % (2 * MEBI));
	kill(child, SIGKILL);
}

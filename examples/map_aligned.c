// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEBI (1UL << 20)
#define SIZE (4 * MEBI)
#define ROOM (SIZE + 2 * MEBI)

/* map_aligned: two mirrors, each in a range that was reserved for it. */
int main(void)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap_map_options how = {
		.size = sizeof(how),
		.reserved_length = ROOM,
	};
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *room = mmap(NULL, 2 * ROOM, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct remotemap *source;
	void *mirror;
	pid_t child;
	int error;

	if (memory == MAP_FAILED || room == MAP_FAILED)
		err(1, "mmap");
	strcpy(memory, "seen twice");
	child = fork();
	if (child == 0)
		pause();
	error = remotemap_open_pid(child, &options, &source);
	for (int i = 0; i < 2 && !error; i++) {
		how.reserved = room + i * ROOM;
		error = remotemap_map(source, (uintptr_t)memory, SIZE, &how,
				      &mirror);
		if (error)
			break;
		/* A huge page of the source can be one of the mirror's. */
		printf("%s, %lu modulo 2 MiB apart\n", (char *)mirror,
		       ((char *)mirror - memory) % (2 * MEBI));
	}
	kill(child, SIGKILL);
	if (error)
		errx(1, "child: %s", strerror(-error));
	munmap(room, 2 * ROOM);
	remotemap_close(source);
}

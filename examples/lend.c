// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 4096

/* It was given one page, and no right to anything else. */
static int viewer(int socket)
{
	struct remotemap_map_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_MAP_WRITE,
	};
	struct remotemap *lender;
	void *mirror;
	int error;

	if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
		err(1, "user 65534");
	error = remotemap_receive(socket, &lender);
	if (error)
		errx(1, "receive: %s", strerror(-error));
	error = remotemap_map(lender, 0, SIZE, &options, &mirror);
	if (error)
		errx(1, "map: %s", strerror(-error));
	printf("viewer: %s\n", (char *)mirror);
	strcpy(mirror, "thank you");
	remotemap_unmap(mirror, SIZE);
	remotemap_close(lender);
	return 0;
}

/* lend: show one page of one's own memory to another process. */
int main(void)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_WRITE,
	};
	char *page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct remotemap *self;
	int sockets[2], error, status;
	pid_t child;

	if (page == MAP_FAILED ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		err(1, "lend");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0)
		return viewer(sockets[1]);

	strcpy(page, "a page to lend");
	error = remotemap_open_self(&options, &self);
	if (!error)
		error = remotemap_add(self, 0, (uintptr_t)page, SIZE, 0);
	if (!error)
		error = remotemap_lock(self);
	if (!error)
		error = remotemap_send(sockets[0], self);
	if (error)
		errx(1, "lend: %s", strerror(-error));
	remotemap_close(self);
	waitpid(child, &status, 0);
	printf("lender: %s\n", page);
	return status != 0;
}

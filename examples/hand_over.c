// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The analyser: all that it can do is to read that one page. */
static int analyser(int socket)
{
	struct remotemap *page;
	unsigned char magic[4];
	ssize_t n;

	if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
		err(1, "user 65534");
	n = remotemap_receive(socket, &page);
	if (n)
		errx(1, "receive: %s", strerror(-n));
	n = remotemap_read(page, magic, sizeof(magic), 0);
	if (n < 0)
		errx(1, "read: %s", strerror(-n));
	printf("user %d: %s an ELF file\n", (int)geteuid(),
	       n == 4 && !memcmp(magic, "\177ELF", 4) ? "it is" : "it is not");
	n = remotemap_add(page, 4096, 0, 4096, 0);
	printf("user %d: a view more: %s\n", (int)geteuid(), strerror(-n));
	remotemap_close(page);
	return 0;
}

/* hand_over PID ADDRESS: let an analyser see one page of the process. */
int main(int argc, char **argv)
{
	struct remotemap *source;
	int sockets[2], error, status;
	pid_t child;

	if (argc != 3)
		errx(2, "usage: hand_over PID ADDRESS");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		err(1, "socketpair");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0)
		return analyser(sockets[1]);

	error = remotemap_open_pid(atoi(argv[1]), NULL, &source);
	if (!error)
		error = remotemap_add(source, 0, strtoull(argv[2], NULL, 0),
				      4096, PIDFD_MEM_MAP_READONLY);
	if (!error)
		error = remotemap_lock(source);
	if (!error)
		error = remotemap_send(sockets[0], source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	remotemap_close(source);
	waitpid(child, &status, 0);
	return status != 0;
}

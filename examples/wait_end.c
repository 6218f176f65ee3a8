// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <errno.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* wait_end PID: wait for any process, not only one's own child. */
int main(int argc, char **argv)
{
	struct remotemap *source;
	int n;

	if (argc != 2)
		errx(2, "usage: wait_end PID");
	n = remotemap_open_pid(atoi(argv[1]), NULL, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	n = remotemap_wait(source, 0);
	printf("%s\n", n == 0 ? "it runs" : "it has ended already");
	fflush(stdout);
	while (n == 0 || n == -EINTR)
		n = remotemap_wait(source, -1);
	if (n < 0)
		errx(1, "wait: %s", strerror(-n));
	printf("it has ended\n");
	remotemap_close(source);
}

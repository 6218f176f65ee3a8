// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <errno.h>
#include <remotemap.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* open_pidfd: a pidfd never stands for another process than its own. */
int main(void)
{
	struct remotemap *source;
	pid_t child = fork();
	int error, pidfd;

	if (child == 0)
		pause();
	pidfd = pidfd_open(child, 0);
	if (child < 0 || pidfd < 0)
		err(1, "a child");
	error = remotemap_open_pidfd(pidfd, NULL, &source);
	if (error)
		errx(1, "the child: %s", strerror(-error));
	printf("opened: %s\n",
	       remotemap_pid(source) == child ? "the child" : "somebody else");
	remotemap_close(source);

	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* From here on, the number may be another process's. */
	error = remotemap_open_pidfd(pidfd, NULL, &source);
	printf("ended: %s\n", strerror(-error));
	return error != -ESRCH;
}

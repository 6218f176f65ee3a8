// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "common.h"
#include "signals.h"

static const int caught_signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t caught;
static int ends[2] = { -1, -1 };

static void handle(int number)
{
	int error = errno;

	if (!caught) {
		caught = number;
		if (write(ends[1], "", 1) < 0)
			errno = error; /* the flag is what counts */
	}
	errno = error;
}

void signals_catch(void)
{
	struct sigaction action = { .sa_handler = handle };

	if (ends[0] < 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		ends[0] = ends[1] = -1;
	/* Without SA_RESTART: what waits is to look at the flag. */
	for (size_t i = 0; i < sizeof(caught_signals) / sizeof(int); i++) {
		struct sigaction old;

		/* nohup, and a shell's background: ignored stays ignored */
		if (!sigaction(caught_signals[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN)
			sigaction(caught_signals[i], &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
}

void signals_default(void)
{
	struct sigaction old;

	for (size_t i = 0; i < sizeof(caught_signals) / sizeof(int); i++)
		if (!sigaction(caught_signals[i], NULL, &old) &&
		    old.sa_handler == handle)
			signal(caught_signals[i], SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
}

int signals_caught(void)
{
	return caught;
}

int signals_fd(void)
{
	return ends[0];
}

int signals_status(void)
{
	return caught ? STATUS_SIGNAL + caught : STATUS_OK;
}

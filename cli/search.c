// SPDX-License-Identifier: GPL-2.0
#include "common.h"

int command_search(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return fail(STATUS_USAGE, "not there yet");
}

// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap: look into the memory of other processes.
 *
 * The table below is all that there is to know of a subcommand here; each has
 * its own options and its own --help.
 */
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source.h"

static const struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "info", "show a process's regions and what of them can be mapped",
	  command_info },
	{ "read", "print memory of a process", command_read },
	{ "write", "write standard input into a process's memory",
	  command_write },
	{ "dump", "write a process's memory into an ELF core file",
	  command_dump },
	{ "search", "find bytes, text or YARA rules in processes",
	  command_search },
	{ "watch", "see memory change, in the terminal", command_watch },
	{ "lend", "give some of a process's memory to a program or a user",
	  command_lend },
	{ "stat", "show who maps whom on this machine", command_stat },
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void help_print(FILE *to)
{
	fprintf(to, "usage: remotemap COMMAND [OPTION]... [WORD]...\n\n"
		    "Looks into the memory of other processes, live and without a copy.\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "  %-8s %s\n\n", "help", "tell more of one of these");
	fprintf(to, "Examples:\n"
		    "  remotemap info $(pidof sqlite3)\n"
		    "  remotemap read $(pidof bash) 0x5581e0a3f000 256\n"
		    "  remotemap lend 4711 --view 0=0x7f0012340000+64K,ro -- ./analyser\n\n");
	fprintf(to, "remotemap COMMAND --help tells a command's options; remotemap(1) tells all,\n"
		    "exit statuses too.\n");
}

static int command_help(int argc, char **argv)
{
	char *help[] = { NULL, "--help", NULL };
	const struct command *command;

	if (argc < 2) {
		help_print(stdout);
		return output_finish();
	}
	command = command_find(argv[1]);
	if (!command)
		return fail(STATUS_USAGE,
			    "there is no command '%s': see remotemap --help",
			    argv[1]);
	command_name = command->name;
	help[0] = argv[1];
	return command->run(2, help);
}

static int version_print(void)
{
	printf("remotemap %s (libremotemap %s)\n", VERSION,
	       remotemap_version());
	return output_finish();
}

/* What is opened is never to become standard output. */
static int descriptors_fill(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? fd : close(fd);
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (descriptors_fill())
		return STATUS_SYSTEM;
	atexit(output_exit);
	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		help_print(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?") ||
	    !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return command_help(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return version_print();
	command = command_find(argv[1]);
	if (!command)
		return fail(STATUS_USAGE,
			    "there is no command '%s': see remotemap --help",
			    argv[1]);
	command_name = command->name;
	return command->run(argc - 1, argv + 1);
}

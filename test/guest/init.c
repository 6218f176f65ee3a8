// SPDX-License-Identifier: GPL-2.0
/*
 * The only program of a Linux guest for the tests of --qemu: its /init, without a
 * C library.
 *
 * Promises: processes called guest-alpha, guest-beta and guest-gamma are there once
 * "the guest's processes are there" stands in memory, at the beginning of a page of
 * /init; the word behind that text, 64 bytes on, then grows without end, once a
 * millisecond. Modules that /modules names, a path a line, are loaded before that, and
 * 32 MiB were written once and given back.
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#define ready "the guest's processes are there"

static struct {
	char text[64];
	volatile uint64_t counter;
} page __attribute__((aligned(4096)));

static char list[4096];

static long call(long number, long a, long b, long c)
{
	register long fourth asm("r10") = 0;
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
		     : "rcx", "r11", "memory");
	return result;
}

static void say(const char *text)
{
	long length = 0;

	while (text[length])
		length++;
	call(SYS_write, 1, (long)text, length);
}

static void module_load(const char *path)
{
	long fd = call(SYS_open, (long)path, O_RDONLY, 0);

	if (fd < 0 || call(SYS_finit_module, fd, (long)"", 0) < 0) {
		say("init: not loaded: ");
		say(path);
		say("\n");
	}
	call(SYS_close, fd, 0, 0);
}

static void modules_load(void)
{
	long fd = call(SYS_open, (long)"/modules", O_RDONLY, 0);
	char *name = list;

	if (fd < 0)
		return;
	call(SYS_read, fd, (long)list, sizeof(list) - 1);
	for (char *at = list; *at; at++) {
		if (*at != '\n')
			continue;
		*at = '\0';
		module_load(name);
		name = at + 1;
	}
}

/* What a process had that has ended is free memory, and not zeros. */
static void memory_use(void)
{
	const long size = 32 << 20;
	char *at;

	if (call(SYS_fork, 0, 0, 0)) {
		call(SYS_wait4, -1, 0, 0);
		return;
	}
	at = (char *)call(SYS_brk, 0, 0, 0);
	call(SYS_brk, (long)at + size, 0, 0);
	for (long i = 0; i < size; i += 8)
		*(volatile uint64_t *)(at + i) = 0x6573757320796e61;
	call(SYS_exit, 0, 0, 0);
}

static void process_start(const char *name)
{
	if (call(SYS_fork, 0, 0, 0))
		return;
	call(SYS_prctl, PR_SET_NAME, (long)name, 0);
	for (;;)
		call(SYS_pause, 0, 0, 0);
}

void _start(void);

__attribute__((force_align_arg_pointer)) void _start(void)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	modules_load();
	memory_use();
	process_start("guest-alpha");
	process_start("guest-beta");
	process_start("guest-gamma");
	/* They have their names when they have had their turn. */
	for (int i = 0; i < 50; i++)
		call(SYS_nanosleep, (long)&moment, 0, 0);
	for (int i = 0; i < (int)sizeof(ready); i++)
		page.text[i] = ready[i];
	say("init: ready\n");
	for (;;) {
		page.counter++;
		call(SYS_nanosleep, (long)&moment, 0, 0);
	}
}

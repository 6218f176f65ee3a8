// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "progress.h"
#include "signals.h"

const char *command_name;

/* ---- the command line ------------------------------------------------------ */

enum { KEY_JSON = 0x1000, KEY_COLOR };

static error_t json_option(int key, char *arg, struct argp_state *state)
{
	struct common_options *options = state->input;

	(void)arg;
	if (key != KEY_JSON)
		return ARGP_ERR_UNKNOWN;
	options->json = true;
	return 0;
}

static const struct argp_option json_options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 90 },
	{ 0 },
};

const struct argp json_argp = { .options = json_options,
				.parser = json_option };

static error_t color_option(int key, char *arg, struct argp_state *state)
{
	struct common_options *options = state->input;

	if (key != KEY_COLOR)
		return ARGP_ERR_UNKNOWN;
	if (!arg || !strcmp(arg, "always"))
		options->color = COLOR_ALWAYS;
	else if (!strcmp(arg, "never"))
		options->color = COLOR_NEVER;
	else if (!strcmp(arg, "auto"))
		options->color = COLOR_AUTO;
	else
		argp_error(state, "--color is auto, always or never, not '%s'",
			   arg);
	return 0;
}

static const struct argp_option color_options[] = {
	{ "color", KEY_COLOR, "WHEN", OPTION_ARG_OPTIONAL,
	  "Colours: auto (on a terminal), always, never", 90 },
	{ 0 },
};

const struct argp color_argp = { .options = color_options,
				 .parser = color_option };

enum status command_parse(const struct argp *argp, int argc, char **argv,
			  void *input)
{
	char name[64];
	int error;

	/* argp's own messages begin with it. */
	snprintf(name, sizeof(name), "remotemap %s", command_name);
	argv[0] = name;
	argp_err_exit_status = STATUS_USAGE;
	error = argp_parse(argp, argc, argv, 0, NULL, input);
	argv[0] = (char *)command_name;
	if (error)
		return fail(STATUS_USAGE, "%s", strerror(error));
	return STATUS_OK;
}

void words_take(struct words *words, struct argp_state *state)
{
	words->word = state->argv + state->next;
	words->count = state->argc - state->next;
	state->next = state->argc;
}

enum status words_check(const struct words *words, int least, int most,
			const char *what)
{
	if (words->count < least)
		return fail(STATUS_USAGE,
			    "too few words: it takes %s; see remotemap help %s",
			    what, command_name);
	if (words->count > most)
		return fail(STATUS_USAGE,
			    "'%s' is one word too many: it takes %s; see remotemap help %s",
			    words->word[most], what, command_name);
	return STATUS_OK;
}

bool color_wanted(enum color color, int fd)
{
	const char *terminal = getenv("TERM");

	if (color != COLOR_AUTO)
		return color == COLOR_ALWAYS;
	return isatty(fd) && !getenv("NO_COLOR") && terminal &&
	       strcmp(terminal, "dumb");
}

/* ---- numbers --------------------------------------------------------------- */

/* The power of 1024 that a suffix stands for, or -1 */
static int suffix_power(const char *suffix)
{
	static const char suffixes[] = "KMGT";
	const char *at;

	if (!*suffix)
		return 0;
	at = strchr(suffixes, *suffix);
	if (!at && *suffix == 'k')
		at = suffixes;
	if (!at)
		return -1;
	if (suffix[1] && strcmp(suffix + 1, "iB"))
		return -1;
	return (int)(at - suffixes) + 1;
}

bool number_parse(const char *text, uint64_t *number)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	unsigned long long value;
	char *end;
	int power;

	/* strtoull() would take blanks, signs, and 010 for 8. */
	if (!strchr("0123456789abcdefABCDEF", *digits) || !*digits)
		return false;
	errno = 0;
	value = strtoull(digits, &end, hex ? 16 : 10);
	if (errno || end == digits)
		return false;
	power = suffix_power(end);
	if (power < 0)
		return false;
	if (power && value > UINT64_MAX >> (10 * power))
		return false;
	*number = (uint64_t)value << (10 * power);
	return true;
}

enum status number_take(const char *text, const char *what, uint64_t *number)
{
	if (number_parse(text, number))
		return STATUS_OK;
	return fail(STATUS_USAGE,
		    "%s is a number such as 4096, 0x1000 or 4K, not '%s'", what,
		    text);
}

enum status pid_take(const char *text, pid_t *pid)
{
	uint64_t number;

	if (!number_parse(text, &number) || number < 1 || number > INT32_MAX ||
	    text[strspn(text, "0123456789")])
		return fail(STATUS_USAGE,
			    "PID is the number of a process, not '%s'", text);
	*pid = (pid_t)number;
	return STATUS_OK;
}

const char *size_text(uint64_t bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	static char texts[8][24];
	static unsigned int turn;
	char *text = texts[turn++ % 8];
	double value = (double)bytes;
	int unit = 0;

	/* 1023.96 is to be 1.0 of the next, not 1024.0. */
	while (value >= (unit ? 1023.95 : 1024)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, sizeof(texts[0]), unit ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return text;
}

/* ---- messages -------------------------------------------------------------- */

static void complain_list(const char *format, va_list list)
{
	progress_hide();
	fflush(stdout);
	fprintf(stderr, "remotemap%s%s: ", command_name ? " " : "",
		command_name ? command_name : "");
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
}

void complain(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	complain_list(format, list);
	va_end(list);
}

enum status fail(enum status status, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	complain_list(format, list);
	va_end(list);
	return status;
}

static int yama_scope(void)
{
	FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%d", &scope) != 1)
		scope = 0;
	fclose(file);
	return scope;
}

/* Who may open it, told by what can be seen of the reason. */
static enum status fail_permission(pid_t pid, int error)
{
	const char *why = strerror(error);
	char path[32];
	struct stat status;
	int scope = yama_scope();

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (access("/dev/mirror-proc", R_OK | W_OK) && errno == EACCES)
		return fail(STATUS_REFUSED,
			    "/dev/mirror-proc: %s: its mode is 0666 unless somebody changed that: as root, chmod 0666 /dev/mirror-proc",
			    why);
	if (scope == 3)
		return fail(STATUS_REFUSED,
			    "process %d: %s: /proc/sys/kernel/yama/ptrace_scope is 3, which refuses everybody until the next boot",
			    pid, why);
	if (!stat(path, &status) && status.st_uid != geteuid())
		return fail(STATUS_REFUSED,
			    "process %d: %s: it belongs to uid %u: be that user, or root (sudo)",
			    pid, why, status.st_uid);
	if (scope > 0)
		return fail(STATUS_REFUSED,
			    "process %d: %s: /proc/sys/kernel/yama/ptrace_scope is %d, which leaves %s: be root (sudo)",
			    pid, why, scope,
			    scope == 1 ? "only its ancestors to open it" :
					 "it to root");
	return fail(STATUS_REFUSED,
		    "process %d: %s: it takes the right to ptrace it: be the same user, or root (sudo)",
		    pid, why);
}

enum status fail_open(pid_t pid, int error)
{
	char name[32] = "source";

	error = abs(error);
	if (pid > 0)
		snprintf(name, sizeof(name), "process %d", pid);
	switch (error) {
	case ENODEV:
	case ENXIO:
		return fail(STATUS_REFUSED,
			    "there is no /dev/mirror-proc: the module remote_mapping is not loaded: as root, modprobe remote_mapping");
	case EACCES:
	case EPERM:
		return fail_permission(pid, error);
	case ESRCH:
		return fail(STATUS_REFUSED,
			    "%s: there is no such process, or it has no memory of its own (kernel thread, zombie): see ps -e",
			    name);
	case EINVAL:
		return fail(STATUS_REFUSED,
			    "%s: it has no memory of its own: a kernel thread?",
			    name);
	case ENOENT:
		return fail(STATUS_REFUSED,
			    "%s: /proc is not there: as root, mount -t proc proc /proc",
			    name);
	case EBADF:
		return fail(STATUS_REFUSED,
			    "%s: that is no map file: take one that remotemap lend gave",
			    name);
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return fail(STATUS_SYSTEM, "%s: %s: close or end something",
			    name, strerror(error));
	default:
		return fail(STATUS_REFUSED, "%s: %s", name, strerror(error));
	}
}

enum status fail_source(const char *what, int error)
{
	error = abs(error);
	switch (error) {
	case ESRCH:
		return fail(STATUS_ENDED, "%s: the source has ended", what);
	case EFAULT:
		return fail(STATUS_NOTHING,
			    "%s: the source has nothing there that can be shown: see remotemap info",
			    what);
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return fail(STATUS_SYSTEM, "%s: %s", what, strerror(error));
	default:
		return fail(STATUS_IO, "%s: %s", what, strerror(error));
	}
}

/* ---- output ---------------------------------------------------------------- */

/* What an earlier write met is forgotten: does nobody read the pipe? */
static bool output_closed(void)
{
	struct pollfd pipe = { .fd = STDOUT_FILENO };

	return poll(&pipe, 1, 0) == 1 && (pipe.revents & POLLERR);
}

static bool output_told;

enum status output_finish(void)
{
	/* Of a write that failed before, and was told to nobody, this is left. */
	int error = errno, before = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !before)
		return STATUS_OK;
	output_told = true;
	/* It is the signal that cut the write short. */
	if (signals_caught())
		return (enum status)signals_status();
	if (before && !errno)
		errno = output_closed() ? EPIPE : error ? error : EIO;
	return fail(STATUS_IO, "standard output: %s%s", strerror(errno),
		    errno == ENOSPC ? ": make room there" : "");
}

void output_exit(void)
{
	if (!output_told && output_finish())
		_exit(STATUS_IO);
}

int output_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t n = write(fd, at, length);

		if (n < 0)
			return -errno;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

json_t *json_address(uint64_t address)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, address);
	return json_string(text);
}

json_t *json_pid(pid_t pid)
{
	return pid > 0 ? json_integer(pid) : json_null();
}

json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy;

	if (json)
		return json;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *at = copy; *at; at++)
		if ((unsigned char)*at > 0x7f)
			*at = '?';
	json = json_string(copy);
	free(copy);
	return json;
}

enum status json_print(json_t *value, bool one_line)
{
	size_t flags = JSON_ENCODE_ANY;

	if (!value)
		return fail(STATUS_SYSTEM, "out of memory");
	flags |= one_line ? JSON_COMPACT : JSON_INDENT(2);
	if (!json_dumpf(value, stdout, flags))
		putchar('\n');
	json_decref(value);
	return STATUS_OK;
}

const char *text_printable(const char *text)
{
	static char texts[4][4200];
	static unsigned int turn;
	char *copy = texts[turn++ % 4];
	size_t length = 0;

	/* Terminals obey control characters; a file's name may hold them. */
	for (; *text && length < sizeof(texts[0]) - 1; text++) {
		unsigned char c = (unsigned char)*text;

		copy[length++] = c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	copy[length] = '\0';
	return copy;
}

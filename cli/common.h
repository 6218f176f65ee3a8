/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all subcommands share.
 *
 * A function that returns enum status has told the user what was wrong, in one
 * line on standard error, whenever that is not STATUS_OK. Only main() exits.
 */
#ifndef REMOTEMAP_CLI_COMMON_H
#define REMOTEMAP_CLI_COMMON_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit statuses: remotemap(1) has the same list. */
enum status {
	STATUS_OK = 0,
	STATUS_NOTHING = 1, /* nothing found, or not all of it was done */
	STATUS_USAGE = 2,   /* the command line says nothing that can be done */
	STATUS_REFUSED = 3, /* not to be opened: no module, process or right */
	STATUS_ENDED = 4,   /* the source has ended */
	STATUS_IO = 5,	    /* input or output: disk full, closed pipe, file */
	STATUS_SYSTEM = 6,  /* out of memory, files, processes */
	STATUS_SIGNAL = 128 /* plus the number of the signal that ended it */
};

/* The subcommand's name, for messages */
extern const char *command_name;

/* ---- the command line ------------------------------------------------------ */

enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct common_options {
	bool json;
	enum color color;
};

/* To be a child of a command's argp; its input is a struct common_options. */
extern const struct argp json_argp;  /* --json */
extern const struct argp color_argp; /* --color */

/* What stands beside the options. */
struct words {
	int count;
	char **word;
};

/*
 * Parses, with what argp prints and exits for: --help, --usage and what is no
 * option. parser gets ARGP_KEY_ARGS for itself unless it takes words_take() for
 * it. Children that are to get an input get it in ARGP_KEY_INIT of the parser.
 */
enum status command_parse(const struct argp *argp, int argc, char **argv,
			  void *input);
/* For case ARGP_KEY_ARGS: */
void words_take(struct words *words, struct argp_state *state);
/* STATUS_USAGE, told, unless there are that many. */
enum status words_check(const struct words *words, int least, int most,
			const char *what);

/* Is this what standard output, or error, is to be coloured on? */
bool color_wanted(enum color color, int fd);

/* ---- numbers --------------------------------------------------------------- */

/*
 * "4096", "0x1000", "4K", "1.5" not: an unsigned number with a suffix K M G T
 * of powers of 1024. False: it is none, or does not fit.
 */
bool number_parse(const char *text, uint64_t *number);
/* The same, told: "ADDR: '12z' is no number". */
enum status number_take(const char *text, const char *what, uint64_t *number);
enum status pid_take(const char *text, pid_t *pid);
/* "1.5 MiB", in one of eight turns of static memory */
const char *size_text(uint64_t bytes);

/* ---- messages -------------------------------------------------------------- */

/* "remotemap COMMAND: ..." and the end of the line, on standard error */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* complain(), and what it returns is status */
enum status fail(enum status status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Why process pid cannot be opened, or pid <= 0: another source; what to do. */
enum status fail_open(pid_t pid, int error);
/* Of an error with a source that was open */
enum status fail_source(const char *what, int error);

/* ---- output ---------------------------------------------------------------- */

/* Standard output has all of it, or STATUS_IO, told. Call it at the end. */
enum status output_finish(void);
/* For atexit(): of what argp has printed, too */
void output_exit(void);
/* All of it, to a descriptor: -errno */
int output_all(int fd, const void *bytes, size_t length);
/* An address as "0x..." */
json_t *json_address(uint64_t address);
/* A process, or null if it cannot be seen from here (0) */
json_t *json_pid(pid_t pid);
/* Text that need not be UTF-8, as a file's name: then with ? for what is not */
json_t *json_text(const char *text);
/* One line a value (compact), or a page (indented); consumes value. */
enum status json_print(json_t *value, bool one_line);
/* Text of which nobody knows where it came from, without control characters */
const char *text_printable(const char *text);

/* ---- subcommands ----------------------------------------------------------- */

int command_dump(int argc, char **argv);
int command_info(int argc, char **argv);
int command_lend(int argc, char **argv);
int command_read(int argc, char **argv);
int command_search(int argc, char **argv);
int command_stat(int argc, char **argv);
int command_watch(int argc, char **argv);
int command_write(int argc, char **argv);

#endif /* REMOTEMAP_CLI_COMMON_H */

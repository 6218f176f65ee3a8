// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap write: nothing of the source is changed before all of the input
 * has been read and somebody has said yes; what was changed is always told.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "signals.h"
#include "source.h"

#define CHUNK (1UL << 20)
#define INPUT_MAX (1UL << 30)

struct write_command {
	struct common_options common;
	struct source_options source;
	bool yes, offset;
	struct words words;
};

struct input {
	char *bytes;
	size_t length, room;
};

enum { KEY_YES = 'y', KEY_OFFSET = 0x100 };

static error_t write_option(int key, char *arg, struct argp_state *state)
{
	struct write_command *command = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &command->source;
		state->child_inputs[1] = &command->common;
		return 0;
	case KEY_YES:
		command->yes = true;
		return 0;
	case KEY_OFFSET:
		command->offset = true;
		return 0;
	case ARGP_KEY_ARGS:
		words_take(&command->words, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "yes", KEY_YES, NULL, 0, "Do not ask", 0 },
	{ "offset", KEY_OFFSET, NULL, 0,
	  "ADDR is an offset in the map file that was lent", 0 },
	{ 0 },
};

static const struct argp_child children[] = { { .argp = &source_argp },
					      { .argp = &json_argp },
					      { 0 } };

static const struct argp argp = {
	.options = options,
	.parser = write_option,
	.children = children,
	.args_doc = "PID ADDR\n--socket PATH ADDR\n--map-fd N ADDR\n--qemu SOCKET ADDR",
	.doc =
		"Write standard input into a process's memory, after asking on the terminal.\v"
		"PID may be -, under remotemap lend. What the process may not write itself is not written.\n\n"
		"Example:\n"
		"  printf '\\1' | remotemap write --yes 4711 0x55d0c0de0010",
};

static enum status input_read(struct input *input)
{
	for (;;) {
		ssize_t n;

		if (input->room - input->length < CHUNK) {
			size_t room = 2 * input->room + CHUNK;
			char *bytes = realloc(input->bytes, room);

			if (!bytes)
				return fail(STATUS_SYSTEM, "out of memory");
			input->bytes = bytes;
			input->room = room;
		}
		n = read(STDIN_FILENO, input->bytes + input->length, CHUNK);
		if (signals_caught())
			return (enum status)signals_status();
		if (n < 0)
			return fail(STATUS_IO, "standard input: %s",
				    strerror(errno));
		if (!n)
			return STATUS_OK;
		input->length += (size_t)n;
		if (input->length > INPUT_MAX)
			return fail(STATUS_USAGE,
				    "standard input is longer than %s: write it in parts",
				    size_text(INPUT_MAX));
	}
}

/* Standard input is the data, so it is the terminal that is asked. */
static enum status ask(const struct source *source, uint64_t address,
		       size_t length)
{
	FILE *terminal = fopen("/dev/tty", "r+e");
	char answer[16] = "";
	bool yes;

	if (!terminal)
		return fail(STATUS_USAGE,
			    "there is no terminal to ask at, nothing was written: say --yes");
	fprintf(terminal, "Write %zu bytes at 0x%" PRIx64 " of process %d? [y/N] ",
		length, address, source->pid);
	fflush(terminal);
	yes = fgets(answer, sizeof(answer), terminal) &&
	      (answer[0] == 'y' || answer[0] == 'Y');
	fclose(terminal);
	if (signals_caught())
		return (enum status)signals_status();
	return yes ? STATUS_OK : fail(STATUS_NOTHING, "nothing was written");
}

/* *done: how much of it was written before that error, 0 or -errno */
static int write_all(const struct write_command *command,
		     const struct source *source, const struct input *input,
		     uint64_t address, size_t *done)
{
	*done = 0;
	while (*done < input->length) {
		uint64_t offset = address + *done;
		uint64_t room = input->length - *done;
		ssize_t n;

		if (signals_caught())
			return -EINTR;
		if (!command->offset &&
		    !source_offset(source, address + *done, &offset, &room))
			return -EFAULT;
		if (room > input->length - *done)
			room = input->length - *done;
		n = remotemap_write(source->handle, input->bytes + *done,
				    room < CHUNK ? room : CHUNK, offset);
		if (n <= 0)
			return n ? (int)n : -EFAULT;
		*done += (size_t)n;
		progress_add((uint64_t)n);
	}
	return 0;
}

static enum status tell(const struct write_command *command,
			const struct input *input, uint64_t address,
			size_t done, int error)
{
	if (command->common.json)
		json_print(json_pack("{s:o, s:I, s:I}", "address",
				     json_address(address), "length",
				     (json_int_t)input->length, "written",
				     (json_int_t)done),
			   false);
	if (!error)
		return output_finish();
	output_finish();
	if (error == -EINTR) {
		complain("interrupted: %zu of %zu bytes were written", done,
			 input->length);
		return (enum status)signals_status();
	}
	if (error == -EFAULT)
		return fail(STATUS_NOTHING,
			    "%zu of %zu bytes were written: at 0x%" PRIx64
			    " the process itself may not write, or what was lent ends: see remotemap info",
			    done, input->length, address + done);
	complain("%zu of %zu bytes were written", done, input->length);
	return fail_source("write", error);
}

static enum status write_source(const struct write_command *command,
				const char *pid_word, uint64_t address,
				struct input *input)
{
	struct source source;
	size_t done;
	int error;
	/* First of all, so that nobody types what cannot be written. */
	enum status status = source_open(&command->source, pid_word,
					 REMOTEMAP_WRITE, &source);

	if (status)
		return status;
	status = input_read(input);
	if (!status && address + input->length < address)
		status = fail(STATUS_USAGE, "ADDR and the input go beyond all addresses");
	if (!status && !command->yes)
		status = ask(&source, address, input->length);
	if (!status) {
		progress_begin("write", input->length);
		error = write_all(command, &source, input, address, &done);
		progress_end();
		status = tell(command, input, address, done, error);
	}
	source_close(&source);
	return status;
}

int command_write(int argc, char **argv)
{
	struct write_command command = { .source = SOURCE_OPTIONS_INIT };
	struct input input = { 0 };
	enum status status;
	uint64_t address;
	int pid;

	if (command_parse(&argp, argc, argv, &command))
		return STATUS_USAGE;
	pid = source_takes_pid(&command.source);
	if (words_check(&command.words, pid + 1, pid + 1,
			pid ? "PID ADDR" : "ADDR") ||
	    number_take(command.words.word[pid], "ADDR", &address))
		return STATUS_USAGE;
	signals_catch();
	status = write_source(&command, pid ? command.words.word[0] : NULL,
			      address, &input);
	free(input.bytes);
	return status;
}

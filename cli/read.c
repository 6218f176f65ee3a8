// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap read: every byte of the range is either printed or told to be
 * missing, in the order of their addresses.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "signals.h"
#include "source.h"

#define CHUNK (1UL << 20)
#define LINE 16

enum form { FORM_HEX, FORM_RAW, FORM_JSON };

struct read_command {
	struct common_options common;
	struct source_options source;
	bool raw, offset;
	struct words words;

	/* while it runs */
	enum form form;
	json_t *data, *holes;
	uint64_t hole_bytes, data_bytes;
	char *buffer;
};

enum { KEY_RAW = 'r', KEY_OFFSET = 0x100 };

static error_t read_option(int key, char *arg, struct argp_state *state)
{
	struct read_command *command = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &command->source;
		state->child_inputs[1] = &command->common;
		return 0;
	case KEY_RAW:
		command->raw = true;
		return 0;
	case KEY_OFFSET:
		command->offset = true;
		return 0;
	case ARGP_KEY_ARGS:
		words_take(&command->words, state);
		return 0;
	case ARGP_KEY_END:
		if (command->raw && command->common.json)
			argp_error(state, "--raw and --json exclude each other");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "raw", KEY_RAW, NULL, 0,
	  "The bytes themselves; zeros where nothing is to be read", 0 },
	{ "offset", KEY_OFFSET, NULL, 0,
	  "ADDR is an offset in the map file that was lent", 0 },
	{ 0 },
};

static const struct argp_child children[] = { { .argp = &source_argp },
					      { .argp = &json_argp },
					      { 0 } };

static const struct argp argp = {
	.options = options,
	.parser = read_option,
	.children = children,
	.args_doc = "PID ADDR LEN\n--socket PATH ADDR LEN\n--map-fd N ADDR LEN\n--qemu SOCKET ADDR LEN",
	.doc =
		"Print memory of a process: as a hex dump, unless told otherwise.\v"
		"PID may be -, under remotemap lend. ADDR and LEN are numbers such as 4096, 0x1000, 4K.\n\n"
		"Examples:\n"
		"  remotemap read $(pidof bash) 0x5581e0a3f000 256\n"
		"  remotemap read --raw 4711 0x7f0000000000 1M | strings",
};

/* ---- printing -------------------------------------------------------------- */

static void print_line(uint64_t address, const unsigned char *bytes, size_t n)
{
	printf("%012" PRIx64 " ", address);
	for (size_t i = 0; i < LINE; i++) {
		if (i == LINE / 2)
			putchar(' ');
		if (i < n)
			printf(" %02x", bytes[i]);
		else
			fputs("   ", stdout);
	}
	fputs("  |", stdout);
	for (size_t i = 0; i < n; i++)
		putchar(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.');
	puts("|");
}

static json_t *data_json(uint64_t address, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = malloc(2 * n + 1);
	json_t *json;

	if (!hex)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * n] = '\0';
	json = json_pack("{s:o, s:I, s:s#}", "address", json_address(address),
			 "length", (json_int_t)n, "hex", hex, 2 * n);
	free(hex);
	return json;
}

static enum status data_print(struct read_command *command, uint64_t address,
			      size_t n)
{
	const unsigned char *bytes = (const unsigned char *)command->buffer;

	command->data_bytes += n;
	switch (command->form) {
	case FORM_RAW:
		fwrite(bytes, 1, n, stdout);
		break;
	case FORM_JSON:
		if (json_array_append_new(command->data,
					  data_json(address, bytes, n)))
			return fail(STATUS_SYSTEM, "out of memory");
		break;
	case FORM_HEX:
		for (size_t i = 0; i < n; i += LINE)
			print_line(address + i, bytes + i,
				   n - i < LINE ? n - i : LINE);
		break;
	}
	return ferror(stdout) ? output_finish() : STATUS_OK;
}

static enum status zeros_print(uint64_t n)
{
	static const char zeros[65536];

	while (n && !signals_caught()) {
		size_t now = n < sizeof(zeros) ? n : sizeof(zeros);

		if (fwrite(zeros, 1, now, stdout) != now)
			return output_finish();
		n -= now;
	}
	return STATUS_OK;
}

static enum status hole_print(struct read_command *command, uint64_t address,
			      uint64_t n)
{
	json_t *json;

	command->hole_bytes += n;
	switch (command->form) {
	case FORM_RAW:
		complain("nothing to be read at 0x%" PRIx64 ", %" PRIu64
			 " bytes: zeros stand for it",
			 address, n);
		return zeros_print(n);
	case FORM_JSON:
		json = json_pack("{s:o, s:I}", "address", json_address(address),
				 "length", (json_int_t)n);
		if (json_array_append_new(command->holes, json))
			return fail(STATUS_SYSTEM, "out of memory");
		return STATUS_OK;
	case FORM_HEX:
		printf("%012" PRIx64 "  nothing to be read, %" PRIu64
		       " bytes (0x%" PRIx64 ")\n",
		       address, n, n);
		break;
	}
	return ferror(stdout) ? output_finish() : STATUS_OK;
}

/* ---- walking --------------------------------------------------------------- */

/* How far it is from address to where a view shows something, at most length */
static uint64_t view_distance(const struct source *source, uint64_t address,
			      uint64_t length)
{
	for (ssize_t i = 0; i < source->view_count; i++) {
		uint64_t at = source->views[i].address;

		if (at > address && at - address < length)
			length = at - address;
	}
	return length;
}

/* How far it is from offset to what can be read; room: what its view has left */
static uint64_t hole_distance(const struct source *source, uint64_t offset,
			      uint64_t room)
{
	int64_t data = remotemap_next_data(source->handle, offset);
	uint64_t page = 4096 - offset % 4096;

	if (data == -ENXIO)
		return room;
	/* What was there for that call was not for the read: this page is not. */
	if (data < 0 || (uint64_t)data <= offset)
		return page < room ? page : room;
	return (uint64_t)data - offset < room ? (uint64_t)data - offset : room;
}

/*
 * What is at address, of at most *length bytes: 1 data, *length bytes of it are
 * in the buffer; 0 a hole of *length bytes; or -errno.
 */
static int extent_read(const struct read_command *command,
		       const struct source *source, uint64_t address,
		       uint64_t *length)
{
	uint64_t offset = address, room = *length;
	ssize_t n;

	if (!command->offset &&
	    !source_offset(source, address, &offset, &room)) {
		*length = view_distance(source, address, *length);
		return 0;
	}
	if (room > *length)
		room = *length;
	n = remotemap_read(source->handle, command->buffer,
			   room < CHUNK ? room : CHUNK, offset);
	if (n > 0) {
		*length = (uint64_t)n;
		return 1;
	}
	if (n && n != -EFAULT)
		return (int)n;
	*length = n ? hole_distance(source, offset, room) : room;
	return 0;
}

static enum status fail_read(uint64_t address, int error)
{
	char what[24];

	snprintf(what, sizeof(what), "0x%" PRIx64, address);
	return fail_source(what, error);
}

static enum status range_print(struct read_command *command,
			       const struct source *source, uint64_t address,
			       uint64_t length)
{
	uint64_t hole = 0; /* bytes before address that are not told yet */
	enum status status = STATUS_OK;

	while (length && !status) {
		uint64_t n = length;
		int kind = extent_read(command, source, address, &n);

		if (signals_caught())
			return (enum status)signals_status();
		if (kind < 0)
			return fail_read(address, kind);
		if (kind && hole) {
			status = hole_print(command, address - hole, hole);
			hole = 0;
		}
		if (kind && !status)
			status = data_print(command, address, n);
		if (!kind)
			hole += n;
		progress_add(n);
		address += n;
		length -= n;
	}
	if (hole && !status)
		status = hole_print(command, address - hole, hole);
	return status;
}

static enum status print_all(struct read_command *command,
			     const struct source *source, uint64_t address,
			     uint64_t length)
{
	enum status status, end;

	if (!isatty(STDOUT_FILENO))
		progress_begin("read", length);
	status = range_print(command, source, address, length);
	progress_end();
	if (!status && command->form == FORM_JSON)
		status = json_print(
			json_pack("{s:o, s:o, s:I, s:O, s:O}", "pid",
				  json_pid(source->pid), "address", json_address(address),
				  "length", (json_int_t)length, "data",
				  command->data, "holes", command->holes),
			false);
	end = status == STATUS_IO ? STATUS_OK : output_finish();
	if (status || end)
		return status ? status : end;
	if (command->hole_bytes && command->form == FORM_HEX)
		complain("%" PRIu64 " of %" PRIu64
			 " bytes are nothing that can be read: see remotemap info",
			 command->hole_bytes, length);
	return command->hole_bytes ? STATUS_NOTHING : STATUS_OK;
}

static enum status read_source(struct read_command *command,
			       const char *pid_word, uint64_t address,
			       uint64_t length)
{
	struct source source;
	enum status status = source_open(&command->source, pid_word, 0,
					 &source);

	if (status)
		return status;
	command->buffer = malloc(CHUNK);
	command->data = json_array();
	command->holes = json_array();
	if (command->buffer)
		status = print_all(command, &source, address, length);
	else
		status = fail(STATUS_SYSTEM, "out of memory");
	json_decref(command->data);
	json_decref(command->holes);
	free(command->buffer);
	source_close(&source);
	return status;
}

int command_read(int argc, char **argv)
{
	struct read_command command = { .source = SOURCE_OPTIONS_INIT };
	uint64_t address, length;
	char **word;
	int pid;

	if (command_parse(&argp, argc, argv, &command))
		return STATUS_USAGE;
	pid = source_takes_pid(&command.source);
	if (words_check(&command.words, pid + 2, pid + 2,
			pid ? "PID ADDR LEN" : "ADDR LEN"))
		return STATUS_USAGE;
	word = command.words.word;
	if (number_take(word[pid], "ADDR", &address) ||
	    number_take(word[pid + 1], "LEN", &length))
		return STATUS_USAGE;
	if (!length || address + length < address ||
	    address + length > INT64_MAX)
		return fail(STATUS_USAGE,
			    "LEN is at least 1, and ADDR + LEN is an address");
	command.form = command.raw ? FORM_RAW :
		       command.common.json ? FORM_JSON : FORM_HEX;
	signals_catch();
	return read_source(&command, pid ? word[0] : NULL, address, length);
}

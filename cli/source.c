// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "source.h"

#define VARIABLE "REMOTEMAP_FD"

/* ---- options --------------------------------------------------------------- */

enum { KEY_SOCKET = 0x1100, KEY_MAP_FD, KEY_RESIDENT, KEY_QEMU };

static error_t source_option(int key, char *arg, struct argp_state *state)
{
	struct source_options *options = state->input;
	uint64_t number;

	switch (key) {
	case KEY_SOCKET:
		options->socket = arg;
		return 0;
	case KEY_MAP_FD:
		if (!number_parse(arg, &number) || number > INT32_MAX)
			argp_error(state,
				   "--map-fd is a descriptor's number, not '%s'",
				   arg);
		options->map_fd = (int)number;
		return 0;
	case KEY_RESIDENT:
		options->resident = true;
		return 0;
	case KEY_QEMU:
		options->qemu = arg;
		return 0;
	case ARGP_KEY_END:
		if (!!options->socket + !!options->qemu +
		    (options->map_fd >= 0) > 1)
			argp_error(state,
				   "--socket, --map-fd and --qemu exclude each other");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option source_option_list[] = {
	{ "socket", KEY_SOCKET, "PATH", 0,
	  "Instead of PID: what remotemap lend --socket PATH serves", 80 },
	{ "map-fd", KEY_MAP_FD, "N", 0,
	  "Instead of PID: the map file that descriptor N is", 80 },
	{ "qemu", KEY_QEMU, "SOCKET", 0,
	  "Instead of PID: the guest of the QEMU with that QMP socket; addresses are guest-physical",
	  80 },
	{ "resident", KEY_RESIDENT, NULL, 0,
	  "Only what is in memory: never disturb the source", 80 },
	{ 0 },
};

const struct argp source_argp = { .options = source_option_list,
				  .parser = source_option };

bool source_takes_pid(const struct source_options *options)
{
	return !options->socket && !options->qemu && options->map_fd < 0;
}

/* ---- opening --------------------------------------------------------------- */

static enum status open_lent(int fd, struct source *source)
{
	int error = remotemap_open_map(fd, &source->handle);

	if (error == -EBADF)
		return fail(STATUS_REFUSED,
			    "descriptor %d is no map file: run this under remotemap lend",
			    fd);
	if (error < 0)
		return fail_open(0, error);
	source->lent = true;
	return STATUS_OK;
}

static enum status open_variable(struct source *source)
{
	const char *text = getenv(VARIABLE);
	uint64_t number;

	if (!text)
		return fail(STATUS_USAGE,
			    VARIABLE " is not set: '-' works under remotemap lend");
	if (!number_parse(text, &number) || number > INT32_MAX)
		return fail(STATUS_USAGE,
			    VARIABLE " is a descriptor's number, not '%s'", text);
	return open_lent((int)number, source);
}

static enum status fail_socket(const char *path, int error)
{
	if (error == ENOENT || error == ECONNREFUSED)
		return fail(STATUS_REFUSED,
			    "%s: %s: is remotemap lend --socket running there?",
			    path, strerror(error));
	return fail(STATUS_REFUSED, "%s: %s", path, strerror(error));
}

static enum status open_socket(const char *path, struct source *source)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof(name.sun_path))
		return fail(STATUS_USAGE,
			    "%s: a socket's path has at most %zu characters",
			    path, sizeof(name.sun_path) - 1);
	strcpy(name.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(STATUS_SYSTEM, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&name, sizeof(name))) {
		error = errno;
		close(fd);
		return fail_socket(path, error);
	}
	error = remotemap_receive(fd, &source->handle);
	close(fd);
	if (error == -EPIPE || error == -ECONNRESET || error == -ENOMSG)
		return fail(STATUS_REFUSED,
			    "%s: it gave nothing: it serves another user (remotemap lend --uid %u)",
			    path, geteuid());
	if (error < 0)
		return fail_open(0, error);
	source->lent = true;
	return STATUS_OK;
}

static enum status open_pid(const char *word, unsigned int flags,
			    struct source *source)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY | flags,
	};
	enum status status = pid_take(word, &source->pid);
	int error;

	if (status)
		return status;
	error = remotemap_open_pid(source->pid, &options, &source->handle);
	return error < 0 ? fail_open(source->pid, error) : STATUS_OK;
}

static enum status open_qemu(const struct source_options *options,
			     unsigned int flags, struct source *source)
{
	unsigned int how = REMOTEMAP_QEMU_ALL;

	if (flags & REMOTEMAP_WRITE)
		how |= REMOTEMAP_QEMU_WRITE;
	if (options->resident)
		how |= REMOTEMAP_QEMU_RESIDENT;
	return guest_open(options->qemu, how, source);
}

enum status source_open(const struct source_options *options,
			const char *pid_word, unsigned int flags,
			struct source *source)
{
	enum status status;
	pid_t pid;

	*source = (struct source){ 0 };
	if (options->resident)
		flags |= REMOTEMAP_RESIDENT;
	if (!(flags & REMOTEMAP_WRITE))
		flags |= REMOTEMAP_READONLY;
	if (options->socket)
		status = open_socket(options->socket, source);
	else if (options->qemu)
		status = open_qemu(options, flags, source);
	else if (options->map_fd >= 0)
		status = open_lent(options->map_fd, source);
	else if (!strcmp(pid_word, "-"))
		status = open_variable(source);
	else
		status = open_pid(pid_word, flags, source);
	if (status)
		return status;
	if (source->lent) {
		pid = remotemap_pid(source->handle);
		source->pid = pid > 0 ? pid : 0;
		if ((flags & REMOTEMAP_WRITE) &&
		    !remotemap_writable(source->handle)) {
			source_close(source);
			return fail(STATUS_REFUSED,
				    "what was lent is for reading only");
		}
	}
	source->view_count = remotemap_views(source->handle, &source->views);
	if (source->view_count < 0) {
		status = fail_source("views", (int)source->view_count);
		source_close(source);
	}
	for (ssize_t i = 0; source->guest && i < source->view_count; i++)
		source->views[i].address = source->views[i].offset;
	return status;
}

void source_close(struct source *source)
{
	free(source->views);
	free(source->ranges);
	if (source->guest)
		remotemap_qemu_close(source->guest);
	else
		remotemap_close(source->handle);
	*source = (struct source){ 0 };
}

/* ---- addresses ------------------------------------------------------------- */

bool source_offset(const struct source *source, uint64_t address,
		   uint64_t *offset, uint64_t *length)
{
	for (ssize_t i = 0; i < source->view_count; i++) {
		const struct remotemap_view *view = &source->views[i];
		uint64_t in = address - view->address;

		if (address < view->address || in >= view->size)
			continue;
		*offset = view->offset + in;
		*length = view->size - in;
		return true;
	}
	return false;
}

bool source_address(const struct source *source, uint64_t offset,
		    uint64_t *address)
{
	for (ssize_t i = 0; i < source->view_count; i++) {
		const struct remotemap_view *view = &source->views[i];

		if (offset < view->offset ||
		    offset - view->offset >= view->size)
			continue;
		*address = view->address + (offset - view->offset);
		return true;
	}
	return false;
}

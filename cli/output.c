// SPDX-License-Identifier: GPL-2.0
/* See output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "signals.h"

static enum status output_standard(struct output *output)
{
	struct stat status;

	output->name = "standard output";
	output->fd = STDOUT_FILENO;
	/* A file that > opened may have something in it, or be open for adding. */
	output->stream = true;
	if (isatty(output->fd))
		return fail(
			STATUS_USAGE,
			"standard output is a terminal: a core is no text, send it to a pipe or a file");
	if (fstat(output->fd, &status))
		return output_fail(output, errno);
	return STATUS_OK;
}

enum status output_open(struct output *output, const char *name, bool force)
{
	int how = O_WRONLY | O_CREAT | O_CLOEXEC;
	struct stat status;

	*output = (struct output){ .name = name, .fd = -1 };
	if (!strcmp(name, "-"))
		return output_standard(output);
	/* Memory is for nobody else to read. */
	output->fd = open(name, how | O_EXCL, 0600);
	output->made = output->fd >= 0;
	if (output->fd < 0 && errno == EEXIST) {
		if (!force)
			return fail(
				STATUS_IO,
				"%s is there already: take another name, or --force to overwrite it",
				name);
		output->fd = open(name, how | O_TRUNC, 0600);
	}
	if (output->fd < 0 || fstat(output->fd, &status))
		return output_fail(output, errno);
	output->stream = !S_ISREG(status.st_mode);
	return STATUS_OK;
}

enum status output_fail(const struct output *output, int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
		return fail(STATUS_IO,
			    "%s: %s: make room, or take another file system",
			    output->name, strerror(error));
	case EFBIG:
		return fail(
			STATUS_IO,
			"%s: %s: take another file system, or a higher ulimit -f",
			output->name, strerror(error));
	case EPIPE:
		return fail(STATUS_IO, "%s: the reader has closed it",
			    output->name);
	default:
		return fail(STATUS_IO, "%s: %s", output->name, strerror(error));
	}
}

ssize_t output_write(struct output *output, const void *bytes, size_t length)
{
	ssize_t written;

	if (output->stream)
		written = write(output->fd, bytes, length);
	else
		written = pwrite(output->fd, bytes, length, output->position);
	if (written < 0)
		return -errno;
	output->position += written;
	output->end = output->position;
	return written;
}

/* Zeros, where holes cannot be */
static enum status output_zeros(struct output *output, uint64_t length)
{
	static const char zeros[65536];
	ssize_t written;

	while (length) {
		written = output_write(output, zeros,
				       length < sizeof(zeros) ? length :
								sizeof(zeros));
		if (written == -EINTR && !signals_caught())
			continue;
		if (written == -EINTR)
			return signals_status();
		if (written < 0)
			return output_fail(output, -written);
		length -= written;
		/* There may be much of it. */
		if (signals_caught())
			return signals_status();
	}
	return STATUS_OK;
}

enum status output_seek(struct output *output, uint64_t position)
{
	if (output->stream)
		return output_zeros(output, position - output->position);
	output->position = position;
	return STATUS_OK;
}

int output_again(struct output *output, const void *bytes, size_t length)
{
	const char *at = bytes;
	size_t done = 0;
	ssize_t written;

	while (done < length) {
		written = pwrite(output->fd, at + done, length - done, done);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		done += written;
	}
	return 0;
}

enum status output_close(struct output *output)
{
	int error = 0;

	if (output->fd < 0)
		return STATUS_OK;
	if (!output->stream && output->end != output->position &&
	    ftruncate(output->fd, output->position))
		error = errno;
	/* Some file systems find out only now. */
	if (close(output->fd) && !error)
		error = errno;
	output->fd = -1;
	return error ? output_fail(output, error) : STATUS_OK;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * See qmp.h. Bytes are given to the parser one by one, so that it never holds what
 * belongs to the next message.
 */
#include "qmp.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define MESSAGE_MAX (64UL << 20)

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* ---- taking ---------------------------------------------------------------- */

static int wait_until(int fd, short events, int64_t deadline)
{
	struct pollfd ready = { .fd = fd, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - now();
		n = poll(&ready, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

static size_t byte_take(void *buffer, size_t length, void *context)
{
	struct qmp *qmp = context;
	ssize_t n;

	(void)length;
	if (qmp->taken == MESSAGE_MAX) {
		qmp->error = -EPROTO;
		return (size_t)-1;
	}
	do {
		n = recv(qmp->fd, buffer, 1, MSG_DONTWAIT);
		if (n == 1) {
			qmp->taken++;
			return 1;
		}
		if (!n)
			qmp->error = -ECONNRESET;
		else if (errno == EAGAIN)
			qmp->error = wait_until(qmp->fd, POLLIN, qmp->deadline);
		else if (errno != EINTR)
			qmp->error = -errno;
	} while (!qmp->error);
	return (size_t)-1;
}

static int message_take(struct qmp *qmp, int64_t deadline, json_t **message)
{
	json_error_t why;
	int error;

	qmp->deadline = deadline;
	qmp->taken = 0;
	qmp->error = 0;
	*message = json_load_callback(byte_take, qmp, JSON_DISABLE_EOF_CHECK,
				      &why);
	if (*message && json_is_object(*message))
		return 0;
	error = qmp->error;
	if (!error && !*message &&
	    json_error_code(&why) == json_error_out_of_memory)
		error = -ENOMEM;
	json_decref(*message);
	return error ? error : -EPROTO;
}

/* Does that event say that memory may be elsewhere now? */
static bool event_matters(const json_t *message)
{
	static const char *const events[] = {
		"ACPI_DEVICE_OST", "DEVICE_DELETED", "MEMORY_DEVICE_SIZE_CHANGE",
		"MIGRATION", "RESET", "RESUME", "SHUTDOWN", "STOP",
	};
	const char *name = json_string_value(json_object_get(message, "event"));

	for (size_t i = 0; name && i < sizeof(events) / sizeof(*events); i++)
		if (!strcmp(name, events[i]))
			return true;
	return false;
}

/* 1: a message begins with what has come, 0: there is nothing but blanks */
static int message_begins(const struct qmp *qmp)
{
	ssize_t n;
	char byte;

	for (;;) {
		n = recv(qmp->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
		if (!n)
			return -ECONNRESET;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (byte != ' ' && byte != '\r' && byte != '\n')
			return 1;
		recv(qmp->fd, &byte, 1, MSG_DONTWAIT);
	}
}

/* All that has come, without waiting for more */
static int messages_drain(struct qmp *qmp)
{
	json_t *message;
	int n;

	while ((n = message_begins(qmp)) > 0) {
		n = message_take(qmp, now() + qmp->timeout, &message);
		if (n)
			break;
		qmp->changed |= event_matters(message);
		json_decref(message);
	}
	return n;
}

int qmp_wait(struct qmp *qmp, int timeout)
{
	struct pollfd ready = { .fd = qmp->fd, .events = POLLIN };
	int64_t end = now() + timeout, left = timeout;
	int n;

	for (;;) {
		n = messages_drain(qmp);
		if (n < 0)
			return n;
		if (qmp->changed || !left)
			break;
		if (timeout > 0)
			left = end > now() ? end - now() : 0;
		n = poll(&ready, 1, (int)left);
		if (n < 0)
			return -errno;
	}
	n = qmp->changed;
	qmp->changed = false;
	return n;
}

/* ---- connecting ------------------------------------------------------------ */

static int connection_open(struct qmp *qmp, const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int error;

	if (strlen(path) >= sizeof(name.sun_path))
		return -ENAMETOOLONG;
	strcpy(name.sun_path, path);
	/* It does not wait for a place in the listener's queue. */
	qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (qmp->fd < 0)
		return -errno;
	if (!connect(qmp->fd, (struct sockaddr *)&name, sizeof(name)))
		return 0;
	error = errno;
	qmp_close(qmp);
	switch (error) {
	case EAGAIN:
		return -EBUSY;
	case EPROTOTYPE:
		return -EPROTO;
	default:
		return -error;
	}
}

/* {"QMP": {"version": ..., "capabilities": [...]}} */
static int greeting_take(struct qmp *qmp)
{
	json_t *message;
	int error;

	error = message_take(qmp, now() + qmp->timeout, &message);
	if (error == -ETIMEDOUT)
		return qmp->taken ? -EPROTO : -EBUSY;
	if (error)
		return error;
	if (!json_object_get(json_object_get(message, "QMP"), "version"))
		error = -EPROTO;
	json_decref(message);
	return error;
}

int qmp_open(struct qmp *qmp, const char *path, int timeout)
{
	json_t *nothing;
	int error;

	*qmp = (struct qmp){ .fd = -1, .timeout = timeout };
	error = connection_open(qmp, path);
	if (error)
		return error;
	error = greeting_take(qmp);
	if (!error)
		error = qmp_call(qmp, "qmp_capabilities", NULL, -1, &nothing);
	if (error)
		qmp_close(qmp);
	else
		json_decref(nothing);
	return error;
}

void qmp_close(struct qmp *qmp)
{
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp->fd = -1;
}

/* ---- commands -------------------------------------------------------------- */

/* The descriptor, if there is one, goes with the first bytes. */
static ssize_t bytes_send(int socket, const char *bytes, size_t length, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec text = { .iov_base = (char *)bytes, .iov_len = length };
	struct msghdr message = { .msg_iov = &text, .msg_iovlen = 1 };

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.room);
		control.header = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int text_send(struct qmp *qmp, const char *text, int fd)
{
	size_t length = strlen(text), done = 0;
	int64_t deadline = now() + qmp->timeout;
	int error = 0;
	ssize_t n;

	while (done < length && !error) {
		n = bytes_send(qmp->fd, text + done, length - done,
			       done ? -1 : fd);
		if (n > 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			error = wait_until(qmp->fd, POLLOUT, deadline);
		else if (errno == EPIPE)
			error = -ECONNRESET;
		else if (errno != EINTR)
			error = -errno;
	}
	return error;
}

static int command_send(struct qmp *qmp, const char *command, json_t *arguments,
			int fd)
{
	json_t *message = json_pack("{s:s, s:o*}", "execute", command,
				    "arguments", arguments);
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	int error = text ? text_send(qmp, text, fd) : -ENOMEM;

	free(text);
	json_decref(message);
	return error;
}

int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, int fd,
	     json_t **result)
{
	int error = command_send(qmp, command, arguments, fd);
	int64_t deadline = now() + qmp->timeout;
	json_t *message;

	while (!error) {
		error = message_take(qmp, deadline, &message);
		if (error)
			break;
		*result = json_incref(json_object_get(message, "return"));
		if (!*result && !json_object_get(message, "event"))
			error = -EPROTO;
		qmp->changed |= event_matters(message);
		json_decref(message);
		if (*result)
			break;
	}
	return error;
}

int qmp_monitor(struct qmp *qmp, const char *line, char **text)
{
	json_t *arguments = json_pack("{s:s}", "command-line", line), *result;
	int error;

	if (!arguments)
		return -ENOMEM;
	error = qmp_call(qmp, "human-monitor-command", arguments, -1, &result);
	if (error)
		return error;
	if (json_is_string(result)) {
		*text = strdup(json_string_value(result));
		error = *text ? 0 : -ENOMEM;
	} else {
		error = -EPROTO;
	}
	json_decref(result);
	return error;
}

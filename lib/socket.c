// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Handing a map file over. Invariant: the ctrl file never goes over, and a
 * descriptor that came is kept or closed.
 */
#include "internal.h"

#include <string.h>
#include <sys/socket.h>

/* As many as the kernel lets through: whatever comes can be closed. */
#define FDS_MAX 253

EXPORTED int remotemap_send(int socket, const struct remotemap *handle)
{
	KEEP_ERRNO;
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	ssize_t n;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &handle->map_fd, sizeof(int));
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* The one descriptor in the message; if there are more, all are closed. */
static int message_fd(struct msghdr *message)
{
	struct cmsghdr *header;
	int fds[FDS_MAX], count = 0, i;

	for (header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET ||
		    header->cmsg_type != SCM_RIGHTS)
			continue;
		count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(header), (size_t)count * sizeof(int));
	}
	if (count == 1)
		return fds[0];
	for (i = 0; i < count; i++)
		close(fds[i]);
	if (count)
		return -EBADF;
	/* One was sent and could not be given a number. */
	return message->msg_flags & MSG_CTRUNC ? -EMFILE : -ENOMSG;
}

static int receive_fd(int socket)
{
	union {
		char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	ssize_t n;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? message_fd(&message) : -EPIPE;
}

EXPORTED int remotemap_receive(int socket, struct remotemap **handle)
{
	KEEP_CALM;
	int err, fd;

	if (!handle)
		return -EFAULT;
	fd = receive_fd(socket);
	if (fd < 0)
		return fd;
	err = map_check(fd);
	if (!err)
		err = handle_new(-1, fd, handle);
	if (err)
		close(fd);
	return err;
}

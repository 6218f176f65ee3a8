// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: the map file over a socket, from whoever has the right to see
 * the source to who has none.
 */
#include "common.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "harness.h"
#include "library.h"

FIXTURE(handing)
{
	struct source *source;
	uint64_t memory;
	struct remotemap *handle;
	struct remotemap *got;
	int pair[2];
};

FIXTURE_VARIANT(handing)
{
	int type;
};

FIXTURE_VARIANT_ADD(handing, stream){
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(handing, seqpacket){
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(handing)
{
	self->source = source_start();
	self->memory = source_anon(self->source, PAGE_SIZE, 0);
	source_store(self->source, self->memory, 0x600d);
	self->handle = handle_of(self->source->pid, self->memory, PAGE_SIZE,
				 REMOTEMAP_WRITE, 0);
	self->got = (void *)4712;
	ASSERT_EQ(0, socketpair(AF_UNIX, variant->type | SOCK_CLOEXEC, 0,
				self->pair));
}

FIXTURE_TEARDOWN(handing)
{
	remotemap_close(self->handle);
	source_end(self->source);
}

/* ---- what goes over ------------------------------------------------------ */

TEST_F(handing, map_file_alone_goes_over)
{
	uint64_t value = 0;
	int before = open_files();

	ASSERT_EQ(0, CALL(remotemap_send(self->pair[0], self->handle)));
	EXPECT_EQ(before, open_files());
	ASSERT_EQ(0, CALL(remotemap_receive(self->pair[1], &self->got)));
	EXPECT_EQ(before + 1, open_files());
	EXPECT_EQ(FD_CLOEXEC, fcntl(remotemap_map_fd(self->got), F_GETFD));
	REFUSED(EPERM, remotemap_ctrl_fd(self->got));
	EXPECT_EQ(1, CALL(remotemap_writable(self->got)));
	EXPECT_EQ(self->source->pid, CALL(remotemap_pid(self->got)));
	EXPECT_EQ(8, CALL(remotemap_read(self->got, &value, 8, 0)));
	EXPECT_EQ(0x600d, value);
	remotemap_close(self->got);
	EXPECT_EQ(before, open_files());
}

/* A manager cuts and locks; who gets it needs no privilege, and gains none. */
TEST_F(handing, to_a_process_without_privilege)
{
	pid_t pid = self->source->pid;
	struct remotemap *other;
	void *mirror;

	ASSERT_EQ(0, CALL(remotemap_lock(self->handle)));
	ASSERT_EQ(0, CALL(remotemap_send(self->pair[0], self->handle)));
	IN_CHILD({
		EXPECT_EQ(0, setresgid(1000, 1000, 1000));
		EXPECT_EQ(0, setresuid(1000, 1000, 1000));
		REFUSED(EACCES, remotemap_open_pid(pid, NULL, &other));
		EXPECT_EQ(0,
			  CALL(remotemap_receive(self->pair[1], &self->got)));
		EXPECT_EQ(0,
			  CALL(remotemap_map(self->got, 0, 8, NULL, &mirror)));
		EXPECT_EQ(0x600d, *(volatile uint64_t *)mirror);
		REFUSED(EPERM, remotemap_add(self->got, PAGE_SIZE, self->memory,
					     PAGE_SIZE, 0));
	});
}

/* A process lends itself: nobody has privileges here. */
TEST_F(handing, of_oneself)
{
	static uint64_t mine = 0x5e1f;
	uint64_t value = 0;
	pid_t lender = fork();

	if (!lender) {
		struct remotemap *handle;
		uint64_t page = (uintptr_t)&mine & -PAGE_SIZE;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setresuid(1000, 1000, 1000) || prctl(PR_SET_DUMPABLE, 1) ||
		    remotemap_open_self(NULL, &handle) ||
		    remotemap_add(handle, 0, page, PAGE_SIZE, 0) ||
		    remotemap_send(self->pair[0], handle))
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, CALL(remotemap_receive(self->pair[1], &self->got)));
	EXPECT_EQ(lender, CALL(remotemap_pid(self->got)));
	EXPECT_EQ(8, CALL(remotemap_read(self->got, &value, 8,
					 (uintptr_t)&mine % PAGE_SIZE)));
	EXPECT_EQ(0x5e1f, value);
	kill(lender, SIGKILL);
	EXPECT_EQ(1, CALL(remotemap_wait(self->got, -1)));
	waitpid(lender, NULL, 0);
	remotemap_close(self->got);
}

/* Each takes one byte, so that other things can go over the same socket. */
TEST_F(handing, takes_one_byte_each)
{
	struct remotemap *second;
	char word[8] = "";

	ASSERT_EQ(0, CALL(remotemap_send(self->pair[0], self->handle)));
	ASSERT_EQ(0, CALL(remotemap_send(self->pair[0], self->handle)));
	ASSERT_EQ(5, send(self->pair[0], "hello", 5, 0));
	ASSERT_EQ(0, CALL(remotemap_receive(self->pair[1], &self->got)));
	ASSERT_EQ(0, CALL(remotemap_receive(self->pair[1], &second)));
	ASSERT_EQ(5, recv(self->pair[1], word, sizeof(word), 0));
	EXPECT_STREQ("hello", word);
	remotemap_close(self->got);
	remotemap_close(second);
}

/* ---- what does not ------------------------------------------------------- */

static void send_fds(int socket, const int *fds, int count)
{
	union {
		char room[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec data = { .iov_base = "x", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	if (sendmsg(socket, &message, 0) != 1)
		fatal("sendmsg: %m");
}

TEST_F(handing, what_is_no_map_file_is_EBADF_and_closed)
{
	int fds[] = {
		open("/dev/null", O_RDWR),
		memfd_create("remote_mapping", 0),
		device_open(O_RDWR),
		remotemap_ctrl_fd(self->handle),
		mem_open(self->source->pid, O_RDWR),
	};
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		send_fds(self->pair[0], &fds[i], 1);
		REFUSED(EBADF, remotemap_receive(self->pair[1], &self->got));
	}
	EXPECT_EQ((void *)4712, self->got);
}

TEST_F(handing, more_than_one_is_EBADF_and_closed)
{
	int map = remotemap_map_fd(self->handle);

	send_fds(self->pair[0], (int[]){ map, map, 0 }, 3);
	REFUSED(EBADF, remotemap_receive(self->pair[1], &self->got));
	/* What follows is taken again. */
	send_fds(self->pair[0], &map, 1);
	ASSERT_EQ(0, CALL(remotemap_receive(self->pair[1], &self->got)));
	remotemap_close(self->got);
}

TEST_F(handing, nothing_with_it_is_ENOMSG)
{
	ASSERT_EQ(1, send(self->pair[0], "x", 1, 0));
	REFUSED(ENOMSG, remotemap_receive(self->pair[1], &self->got));
}

TEST_F(handing, no_room_for_it_is_EMFILE)
{
	struct rlimit limit;
	rlim_t all;

	ASSERT_EQ(0, CALL(remotemap_send(self->pair[0], self->handle)));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	all = limit.rlim_cur;
	limit.rlim_cur = dup(0);
	ASSERT_EQ(0, close(limit.rlim_cur));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	REFUSED(EMFILE, remotemap_receive(self->pair[1], &self->got));
	limit.rlim_cur = all;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

TEST_F(handing, closed_other_side_is_EPIPE_and_no_signal)
{
	close(self->pair[1]);
	REFUSED(EPIPE, remotemap_send(self->pair[0], self->handle));
	REFUSED(EPIPE, remotemap_receive(self->pair[0], &self->got));
}

TEST_F(handing, what_is_no_connected_socket)
{
	int alone = socket(AF_UNIX, variant->type, 0);
	int null = open("/dev/null", O_RDWR), listener;
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	REFUSED(EBADF, remotemap_send(-1, self->handle));
	REFUSED(EBADF, remotemap_receive(-1, &self->got));
	REFUSED(ENOTSOCK, remotemap_send(null, self->handle));
	REFUSED(ENOTSOCK, remotemap_receive(null, &self->got));
	REFUSED(ENOTCONN, remotemap_send(alone, self->handle));
	/* One that has a name and nobody at the other end */
	listener = socket(AF_UNIX, variant->type, 0);
	ASSERT_EQ(0, bind(listener, (struct sockaddr *)&name,
			  sizeof(sa_family_t)));
	REFUSED(variant->type == SOCK_STREAM ? EINVAL : ENOTCONN,
		remotemap_receive(listener, &self->got));
	REFUSED(EFAULT, remotemap_receive(self->pair[1], NULL));
}

TEST_F(handing, would_wait_is_EAGAIN)
{
	int i, err = 0;

	ASSERT_EQ(0, fcntl(self->pair[1], F_SETFL, O_NONBLOCK));
	REFUSED(EAGAIN, remotemap_receive(self->pair[1], &self->got));
	ASSERT_EQ(0, fcntl(self->pair[0], F_SETFL, O_NONBLOCK));
	for (i = 0; i < 100000 && !err; i++)
		err = CALL(remotemap_send(self->pair[0], self->handle));
	EXPECT_EQ(-EAGAIN, err);
}

TEST_HARNESS_MAIN

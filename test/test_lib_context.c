// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: opening a source in every way there is, and every way in which
 * that is refused.
 */
#include "common.h"

#include <elf.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "harness.h"
#include "library.h"

FIXTURE(context)
{
	struct source *source;
	pid_t pid;
	int pidfd;
	uint64_t page;
	struct remotemap *handle;
};

FIXTURE_SETUP(context)
{
	self->source = source_start();
	self->pid = self->source->pid;
	self->pidfd = pidfd_open(self->pid, 0);
	ASSERT_LE(0, self->pidfd);
	self->page = source_anon(self->source, PAGE_SIZE, 0);
	source_store(self->source, self->page, 0x600d);
}

FIXTURE_TEARDOWN(context)
{
	remotemap_close(self->handle);
	source_end(self->source);
}

#define OPTIONS(...)                                           \
	(&(struct remotemap_open_options){                     \
		.size = sizeof(struct remotemap_open_options), \
		.flags = __VA_ARGS__ })

/* ---- what it gives ------------------------------------------------------- */

/* A context of its own with no view: one can be added, and it shows the page. */
static void expect_context(struct __test_metadata *_metadata,
			   struct remotemap *handle, pid_t pid, uint64_t page)
{
	uint64_t value = 0;

	EXPECT_EQ(pid, CALL(remotemap_pid(handle)));
	EXPECT_EQ(FD_CLOEXEC, fcntl(remotemap_map_fd(handle), F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(remotemap_ctrl_fd(handle), F_GETFD));
	EXPECT_EQ(0, handle_stat(handle).views);
	EXPECT_EQ(0, CALL(remotemap_add(handle, 0, page, PAGE_SIZE, 0)));
	EXPECT_EQ(8, CALL(remotemap_read(handle, &value, 8, 0)));
	EXPECT_EQ(0x600d, value);
}

TEST_F(context, by_pid)
{
	ASSERT_EQ(0, CALL(remotemap_open_pid(self->pid, NULL, &self->handle)));
	expect_context(_metadata, self->handle, self->pid, self->page);
}

TEST_F(context, by_pidfd)
{
	ASSERT_EQ(0,
		  CALL(remotemap_open_pidfd(self->pidfd, NULL, &self->handle)));
	expect_context(_metadata, self->handle, self->pid, self->page);
	EXPECT_LE(0, fcntl(self->pidfd, F_GETFD));
}

TEST_F(context, by_authority_which_stays_the_callers)
{
	int mem = mem_open(self->pid, O_RDONLY);

	ASSERT_EQ(0, CALL(remotemap_open_mem(mem, NULL, &self->handle)));
	expect_context(_metadata, self->handle, self->pid, self->page);
	EXPECT_LE(0, fcntl(mem, F_GETFD));
}

/* The authority proves it, not the caller. */
TEST_F(context, by_authority_without_privilege_or_proc)
{
	int mem = mem_open(self->pid, O_RDONLY);

	IN_CHILD({
		EXPECT_EQ(0, leave_mounts());
		EXPECT_EQ(0, umount2("/proc", MNT_DETACH));
		EXPECT_EQ(0, setresgid(1000, 1000, 1000));
		EXPECT_EQ(0, setresuid(1000, 1000, 1000));
		EXPECT_EQ(0,
			  CALL(remotemap_open_mem(mem, NULL, &self->handle)));
		EXPECT_EQ(0, CALL(remotemap_add(self->handle, 0, self->page,
						PAGE_SIZE, 0)));
	});
}

TEST_F(context, of_oneself_without_privilege)
{
	uint64_t value = 0, mine = 0x5e1f;

	IN_CHILD({
		EXPECT_EQ(0, setresgid(1000, 1000, 1000));
		EXPECT_EQ(0, setresuid(1000, 1000, 1000));
		/* As a program that is started by that user is */
		EXPECT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
		EXPECT_EQ(0,
			  CALL(remotemap_open_self(OPTIONS(REMOTEMAP_IDENTITY),
						   &self->handle)));
		EXPECT_EQ(getpid(), CALL(remotemap_pid(self->handle)));
		EXPECT_EQ(8, CALL(remotemap_read(self->handle, &value, 8,
						 (uintptr_t)&mine)));
		EXPECT_EQ(0x5e1f, value);
		EXPECT_EQ(0, prctl(PR_SET_DUMPABLE, 0));
		REFUSED(EACCES, remotemap_open_self(NULL, &self->handle));
	});
}

static void *open_self_alone(void *leader)
{
	struct remotemap *handle;

	pthread_join(*(pthread_t *)leader, NULL);
	_exit(-remotemap_open_self(NULL, &handle));
}

TEST(of_oneself_when_the_first_thread_has_ended)
{
	static pthread_t leader;
	pthread_t thread;

	IN_CHILD({
		leader = pthread_self();
		pthread_create(&thread, NULL, open_self_alone, &leader);
		pthread_exit(NULL);
	});
}

TEST_F(context, by_map_file_which_stays_the_callers)
{
	struct remotemap *manager;
	uint64_t value = 0;
	int map;

	manager = handle_of(self->pid, self->page, PAGE_SIZE, 0, 0);
	map = remotemap_map_fd(manager);
	ASSERT_EQ(0, CALL(remotemap_open_map(map, &self->handle)));
	EXPECT_NE(map, remotemap_map_fd(self->handle));
	EXPECT_EQ(FD_CLOEXEC, fcntl(remotemap_map_fd(self->handle), F_GETFD));
	REFUSED(EPERM, remotemap_ctrl_fd(self->handle));
	EXPECT_EQ(self->pid, CALL(remotemap_pid(self->handle)));
	remotemap_close(manager);
	EXPECT_EQ(8, CALL(remotemap_read(self->handle, &value, 8, 0)));
	EXPECT_EQ(0x600d, value);
}

/* What REMOTE_PROC_MAP makes of an open device, and one opened again by its name */
TEST_F(context, by_other_map_files)
{
	int device = device_open(O_RDWR), again;
	struct remotemap_view *views;
	char path[64];

	ASSERT_EQ(0, ioctl(device, REMOTE_PROC_MAP, self->pid));
	ASSERT_EQ(0, CALL(remotemap_open_map(device, &self->handle)));
	EXPECT_EQ(1, CALL(remotemap_writable(self->handle)));
	EXPECT_EQ(self->pid, CALL(remotemap_pid(self->handle)));
	/* The kernel's own identity view is as large as ours. */
	ASSERT_EQ(1, CALL(remotemap_views(self->handle, &views)));
	EXPECT_EQ(views[0].size, remotemap_address_space());
	remotemap_close(self->handle);

	self->handle = handle_open(self->pid, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 remotemap_map_fd(self->handle));
	again = open(path, O_RDONLY);
	remotemap_close(self->handle);
	ASSERT_EQ(0, CALL(remotemap_open_map(again, &self->handle)));
	EXPECT_EQ(self->pid, CALL(remotemap_pid(self->handle)));
}

TEST_F(context, is_writable_only_if_asked_for)
{
	ASSERT_EQ(0, CALL(remotemap_open_pid(self->pid, OPTIONS(0),
					     &self->handle)));
	EXPECT_EQ(0, CALL(remotemap_writable(self->handle)));
	EXPECT_EQ(O_RDONLY,
		  fcntl(remotemap_map_fd(self->handle), F_GETFL) & O_ACCMODE);
	remotemap_close(self->handle);
	ASSERT_EQ(0, CALL(remotemap_open_pidfd(self->pidfd,
					       OPTIONS(REMOTEMAP_WRITE),
					       &self->handle)));
	EXPECT_EQ(1, CALL(remotemap_writable(self->handle)));
	EXPECT_EQ(O_RDWR,
		  fcntl(remotemap_map_fd(self->handle), F_GETFL) & O_ACCMODE);
}

TEST_F(context, identity_view_has_everything)
{
	const struct {
		unsigned int open;
		unsigned int view;
	} ways[] = {
		{ 0, 0 },
		{ REMOTEMAP_READONLY, PIDFD_MEM_MAP_READONLY },
		{ REMOTEMAP_RESIDENT, PIDFD_MEM_MAP_RESIDENT },
		{ REMOTEMAP_READONLY | REMOTEMAP_RESIDENT,
		  PIDFD_MEM_MAP_READONLY | PIDFD_MEM_MAP_RESIDENT },
	};
	struct remotemap_view *views;
	uint64_t value;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		ASSERT_EQ(0, CALL(remotemap_open_pid(
				     self->pid,
				     OPTIONS(REMOTEMAP_IDENTITY | ways[i].open),
				     &self->handle)));
		ASSERT_EQ(1, CALL(remotemap_views(self->handle, &views)));
		EXPECT_EQ(0, views[0].offset);
		EXPECT_EQ(0, views[0].address);
		EXPECT_EQ(remotemap_address_space(), views[0].size);
		EXPECT_EQ(ways[i].view, views[0].flags);
		EXPECT_EQ(0, views[0].reserved);
		EXPECT_EQ(8, CALL(remotemap_read(self->handle, &value, 8,
						 self->page)));
		EXPECT_EQ(0x600d, value);
		free(views);
		remotemap_close(self->handle);
	}
	self->handle = NULL;
}

/* ---- a 32-bit source ----------------------------------------------------- */

/* A program that waits for ever: pause() by int 0x80, and again */
static const unsigned char waits[] = {
	0xb8, 0x1d, 0x00, 0x00, 0x00, /* mov $29, %eax */
	0xcd, 0x80, /* int $0x80 */
	0xeb, 0xf7, /* jmp to the beginning */
};

static int program_32(void)
{
	const uint32_t base = 0x08048000;
	struct {
		Elf32_Ehdr file;
		Elf32_Phdr segment;
		unsigned char code[sizeof(waits)];
	} elf = {
		.file = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
				     ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_386,
			.e_version = EV_CURRENT,
			.e_entry = base + offsetof(typeof(elf), code),
			.e_phoff = offsetof(typeof(elf), segment),
			.e_ehsize = sizeof(Elf32_Ehdr),
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 1,
		},
		.segment = {
			.p_type = PT_LOAD,
			.p_vaddr = base,
			.p_filesz = sizeof(elf),
			.p_memsz = sizeof(elf),
			.p_flags = PF_R | PF_X,
			.p_align = PAGE_SIZE,
		},
	};
	int fd = memfd_create("program", MFD_CLOEXEC);

	memcpy(elf.code, waits, sizeof(waits));
	if (fd < 0 || write(fd, &elf, sizeof(elf)) != sizeof(elf))
		fatal("program: %m");
	return fd;
}

/* The view is as large as such a source can be, and shows it. */
static void expect_32(struct __test_metadata *_metadata,
		      unsigned long personality_bits, uint64_t size)
{
	char *const nothing[] = { NULL };
	struct remotemap *handle;
	struct remotemap_view *views;
	uint32_t magic = 0;
	int program = program_32();
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		personality(personality_bits);
		fexecve(program, nothing, nothing);
		_exit(127);
	}
	WAIT_FOR(mapping_find(pid, "program", &(uint64_t){ 0 },
			      &(uint64_t){ 0 }, (char[5]){ 0 }));
	ASSERT_EQ(0, CALL(remotemap_open_pid(pid, OPTIONS(REMOTEMAP_IDENTITY),
					     &handle)));
	ASSERT_EQ(1, CALL(remotemap_views(handle, &views)));
	EXPECT_EQ(size, views[0].size);
	EXPECT_EQ(4, CALL(remotemap_read(handle, &magic, 4, 0x08048000)));
	EXPECT_EQ(0x464c457f, magic);
	free(views);
	remotemap_close(handle);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(identity_view_of_a_32_bit_source)
{
	expect_32(_metadata, PER_LINUX, 0xffffe000);
	expect_32(_metadata, PER_LINUX | ADDR_LIMIT_3GB, 0xc0000000);
}

/* ---- options ------------------------------------------------------------- */

/* All ways of opening take the same options. */
static void refused_options(struct __test_metadata *_metadata, pid_t pid,
			    int pidfd, int error,
			    const struct remotemap_open_options *options)
{
	struct remotemap *handle = (void *)4712;
	int mem = mem_open(pid, O_RDWR);

	REFUSED(error, remotemap_open_pid(pid, options, &handle));
	REFUSED(error, remotemap_open_pidfd(pidfd, options, &handle));
	REFUSED(error, remotemap_open_mem(mem, options, &handle));
	REFUSED(error, remotemap_open_self(options, &handle));
	EXPECT_EQ((void *)4712, handle);
	close(mem);
}

TEST_F(context, unknown_flags_are_EINVAL)
{
	unsigned int bit;

	for (bit = 4; bit < 32; bit++)
		refused_options(_metadata, self->pid, self->pidfd, EINVAL,
				OPTIONS(1U << bit));
	/* These are of the identity view. */
	refused_options(_metadata, self->pid, self->pidfd, EINVAL,
			OPTIONS(REMOTEMAP_READONLY));
	refused_options(_metadata, self->pid, self->pidfd, EINVAL,
			OPTIONS(REMOTEMAP_WRITE | REMOTEMAP_RESIDENT));
}

TEST_F(context, options_of_other_sizes)
{
	struct {
		struct remotemap_open_options known;
		char later[24];
	} options = { .known.size = sizeof(options) };

	refused_options(_metadata, self->pid, self->pidfd, EINVAL,
			&(struct remotemap_open_options){ .size = 0 });
	refused_options(_metadata, self->pid, self->pidfd, EINVAL,
			&(struct remotemap_open_options){
				.size = sizeof(options.known) - 1 });
	ASSERT_EQ(0, CALL(remotemap_open_pid(self->pid, &options.known,
					     &self->handle)));
	options.later[23] = 1;
	refused_options(_metadata, self->pid, self->pidfd, E2BIG,
			&options.known);
	options.later[23] = 0;
	options.later[0] = 1;
	refused_options(_metadata, self->pid, self->pidfd, E2BIG,
			&options.known);
}

TEST_F(context, no_result_is_EFAULT)
{
	int mem = mem_open(self->pid, O_RDONLY);

	REFUSED(EFAULT, remotemap_open_pid(self->pid, NULL, NULL));
	REFUSED(EFAULT, remotemap_open_pidfd(self->pidfd, NULL, NULL));
	REFUSED(EFAULT, remotemap_open_mem(mem, NULL, NULL));
	REFUSED(EFAULT, remotemap_open_self(NULL, NULL));
	REFUSED(EFAULT, remotemap_open_map(0, NULL));
}

/* ---- what it refuses ----------------------------------------------------- */

TEST_F(context, what_is_no_process_is_ESRCH)
{
	REFUSED(ESRCH, remotemap_open_pid(0, NULL, &self->handle));
	REFUSED(ESRCH, remotemap_open_pid(-1, NULL, &self->handle));
	REFUSED(ESRCH, remotemap_open_pid(0x7fffffff, NULL, &self->handle));
	/* A kernel thread */
	REFUSED(ESRCH, remotemap_open_pid(2, NULL, &self->handle));
}

TEST_F(context, ended_process_is_ESRCH)
{
	int mem = mem_open(self->pid, O_RDONLY);

	kill_and_keep(self->pid);
	REFUSED(ESRCH, remotemap_open_pid(self->pid, NULL, &self->handle));
	REFUSED(ESRCH, remotemap_open_pidfd(self->pidfd, NULL, &self->handle));
	source_kill(self->source);
	REFUSED(ESRCH, remotemap_open_pid(self->pid, NULL, &self->handle));
	REFUSED(ESRCH, remotemap_open_pidfd(self->pidfd, NULL, &self->handle));
	/* The address space is, as long as somebody has it open; a view is not. */
	REFUSED(ESRCH, remotemap_open_mem(mem, OPTIONS(REMOTEMAP_IDENTITY),
					  &self->handle));
}

TEST_F(context, other_files_are_EBADF)
{
	int fds[] = {
		-1,
		1 << 30,
		open("/dev/null", O_RDWR),
		open("/proc/self", O_DIRECTORY),
		open("/proc/self/maps", O_RDONLY),
		epoll_create1(0),
		self->source->channel,
		device_open(O_RDWR),
		memfd_create("remote_mapping", 0),
		mem_open(self->pid, O_WRONLY),
	};
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		REFUSED(EBADF, remotemap_open_mem(fds[i], NULL, &self->handle));
		REFUSED(EBADF,
			remotemap_open_pidfd(fds[i], NULL, &self->handle));
		REFUSED(EBADF, remotemap_open_map(fds[i], &self->handle));
	}
	REFUSED(EBADF, remotemap_open_mem(self->pidfd, NULL, &self->handle));
	REFUSED(EBADF, remotemap_open_map(self->pidfd, &self->handle));
}

/* It says of itself what a map file says. */
TEST_F(context, ctrl_file_is_no_map_file)
{
	struct remotemap *other;
	char path[64];
	int nothing;

	self->handle = handle_open(self->pid, 0);
	REFUSED(EBADF,
		remotemap_open_map(remotemap_ctrl_fd(self->handle), &other));
	/* Nor what cannot be read */
	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 remotemap_map_fd(self->handle));
	nothing = open(path, O_PATH);
	ASSERT_LE(0, nothing);
	REFUSED(EBADF, remotemap_open_map(nothing, &other));
}

TEST_F(context, authority_for_reading_gives_no_more)
{
	int mem = mem_open(self->pid, O_RDONLY);

	REFUSED(EACCES, remotemap_open_mem(mem, OPTIONS(REMOTEMAP_WRITE),
					   &self->handle));
}

TEST_F(context, other_users_process_is_EACCES)
{
	IN_CHILD({
		EXPECT_EQ(0, setresgid(1000, 1000, 1000));
		EXPECT_EQ(0, setresuid(1000, 1000, 1000));
		REFUSED(EACCES,
			remotemap_open_pid(self->pid, NULL, &self->handle));
		REFUSED(EACCES,
			remotemap_open_pidfd(self->pidfd, NULL, &self->handle));
	});
}

TEST_F(context, source_outside_of_the_pid_namespace)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };

	self->handle = handle_of(self->pid, self->page, PAGE_SIZE, 0, 0);
	ASSERT_EQ(0, leave_mounts());
	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	IN_CHILD({
		EXPECT_EQ(0, mount("proc", "/proc", "proc", 0, NULL));
		REFUSED(ESRCH,
			remotemap_open_pidfd(self->pidfd, NULL, &self->handle));
		REFUSED(ESRCH, remotemap_pid(self->handle));
		EXPECT_EQ(0, CALL(remotemap_stat(self->handle, &stat)));
		EXPECT_EQ(0, stat.pid);
		EXPECT_EQ(0, stat.ended);
	});
}

TEST_F(context, pid_of_a_source_that_ended_is_ESRCH)
{
	self->handle = handle_open(self->pid, 0);
	source_kill(self->source);
	REFUSED(ESRCH, remotemap_pid(self->handle));
	EXPECT_EQ(1, handle_stat(self->handle).ended);
}

TEST_F(context, missing_device_is_ENODEV)
{
	int mem = mem_open(self->pid, O_RDONLY);

	ASSERT_EQ(0, leave_mounts());
	ASSERT_EQ(0, mount("none", "/dev", "tmpfs", 0, NULL));
	REFUSED(ENODEV, remotemap_open_pid(self->pid, NULL, &self->handle));
	REFUSED(ENODEV, remotemap_open_mem(mem, NULL, &self->handle));
	/* A node of a driver that is not there, as an unloaded module leaves. */
	ASSERT_EQ(0, mknod(DEVICE_PATH, S_IFCHR | 0666, makedev(10, 254)));
	REFUSED(ENODEV, remotemap_open_self(NULL, &self->handle));
}

TEST_F(context, missing_proc_is_ENOENT)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	struct remotemap_region *regions;
	struct remotemap_view *views;

	self->handle = handle_open(self->pid, 0);
	ASSERT_EQ(0, leave_mounts());
	ASSERT_EQ(0, umount2("/proc", MNT_DETACH));
	REFUSED(ENOENT, remotemap_open_pid(self->pid, NULL, &self->handle));
	REFUSED(ENOENT, remotemap_open_pidfd(self->pidfd, NULL, &self->handle));
	REFUSED(ENOENT, remotemap_open_self(NULL, &self->handle));
	REFUSED(ENOENT, remotemap_pid(self->handle));
	REFUSED(ENOENT, remotemap_stat(self->handle, &stat));
	REFUSED(ENOENT, remotemap_stat_fd(self->pid, 0, &stat));
	REFUSED(ENOENT, remotemap_views(self->handle, &views));
	REFUSED(ENOENT, remotemap_regions(self->pid, &regions));
	REFUSED(ENOENT, remotemap_regions_brief(self->pid, &regions));
}

/* A limit lowered step by step makes each open in turn the one that fails. */
TEST_F(context, full_descriptor_table_is_EMFILE)
{
	struct rlimit limit;
	int lowest, refusals = 0;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	lowest = dup(0);
	ASSERT_EQ(0, close(lowest));
	for (limit.rlim_cur = lowest;; limit.rlim_cur++) {
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		if (limit.rlim_cur == (rlim_t)lowest + 4)
			break;
		REFUSED(EMFILE, remotemap_open_pid(self->pid,
						   OPTIONS(REMOTEMAP_IDENTITY),
						   &self->handle));
		refusals++;
	}
	/* mem, device, ctrl, map: the most it has open at a time */
	EXPECT_EQ(4, refusals);
	ASSERT_EQ(0, CALL(remotemap_open_pid(self->pid, NULL, &self->handle)));
}

/* What the other calls open */
TEST_F(context, full_descriptor_table_is_EMFILE_to_the_others)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	struct remotemap_region *regions;
	struct remotemap_view *views;
	struct remotemap *other;
	struct rlimit limit;

	self->handle = handle_open(self->pid, 0);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = dup(0);
	ASSERT_EQ(0, close(limit.rlim_cur));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	REFUSED(EMFILE,
		remotemap_open_map(remotemap_map_fd(self->handle), &other));
	REFUSED(EMFILE, remotemap_pid(self->handle));
	REFUSED(EMFILE, remotemap_stat(self->handle, &stat));
	REFUSED(EMFILE, remotemap_stat_fd(self->pid, 0, &stat));
	REFUSED(EMFILE, remotemap_views(self->handle, &views));
	REFUSED(EMFILE, remotemap_regions(self->pid, &regions));
	REFUSED(EMFILE, remotemap_regions_brief(self->pid, &regions));
}

TEST_F(context, no_memory_is_ENOMEM)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	int mem = mem_open(self->pid, O_RDONLY);
	struct remotemap_region *regions;
	struct remotemap_view *views;
	struct remotemap *other;
	void *mirror;

	self->handle = handle_of(self->pid, self->page, PAGE_SIZE, 0, 0);
	IN_CHILD({
		exhaust_memory();
		REFUSED(ENOMEM, remotemap_open_mem(mem, NULL, &other));
		REFUSED(ENOMEM, remotemap_open_pid(self->pid, NULL, &other));
		REFUSED(ENOMEM,
			remotemap_open_map(remotemap_map_fd(self->handle),
					   &other));
		REFUSED(ENOMEM, remotemap_views(self->handle, &views));
		REFUSED(ENOMEM, remotemap_stat(self->handle, &stat));
		REFUSED(ENOMEM, remotemap_regions(self->pid, &regions));
		REFUSED(ENOMEM, remotemap_map(self->handle, 0, PAGE_SIZE, NULL,
					      &mirror));
	});
}

/* ---- the end ------------------------------------------------------------- */

TEST_F(context, close_leaves_nothing_open)
{
	int before = open_files();

	self->handle = handle_open(self->pid, REMOTEMAP_IDENTITY);
	EXPECT_EQ(before + 2, open_files());
	errno = 4711;
	remotemap_close(self->handle);
	remotemap_close(NULL);
	EXPECT_EQ(4711, errno);
	EXPECT_EQ(before, open_files());
	self->handle = NULL;
}

TEST_F(context, wait_sees_the_end)
{
	self->handle = handle_open(self->pid, 0);
	EXPECT_EQ(0, CALL(remotemap_wait(self->handle, 0)));
	EXPECT_EQ(0, CALL(remotemap_wait(self->handle, 1)));
	kill(self->pid, SIGKILL);
	EXPECT_EQ(1, CALL(remotemap_wait(self->handle, -1)));
	EXPECT_EQ(1, CALL(remotemap_wait(self->handle, 0)));
}

TEST_F(context, wait_sees_an_exec)
{
	char *const arguments[] = { "sleep", "100", NULL };

	self->handle = handle_open(self->pid, 0);
	ASSERT_EQ(0, source_exec(self->source, "/usr/lib/busybox/sleep",
				 arguments));
	EXPECT_EQ(1, CALL(remotemap_wait(self->handle, 10000)));
	REFUSED(ESRCH, remotemap_pid(self->handle));
}

static void nothing(int signal)
{
	(void)signal;
}

TEST_F(context, wait_ends_with_a_signal)
{
	struct sigaction action = { .sa_handler = nothing,
				    .sa_flags = SA_RESTART };
	pid_t caller = getpid(), killer;

	self->handle = handle_open(self->pid, 0);
	sigaction(SIGUSR1, &action, NULL);
	killer = fork();
	if (!killer)
		for (;;) {
			kill(caller, SIGUSR1);
			usleep(1000);
		}
	REFUSED(EINTR, remotemap_wait(self->handle, -1));
	kill(killer, SIGKILL);
	waitpid(killer, NULL, 0);
}

TEST_HARNESS_MAIN

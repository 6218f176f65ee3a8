/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libremotemap: map the memory of another process, zero-copy and live.
 *
 * Nothing here prints or exits. Nothing installs a signal handler but
 * remotemap_guard() and its kin, which say so. Every call may be made by any
 * number of threads at the same time, unless it says otherwise; only
 * remotemap_close() must be the last call on its handle.
 *
 * A call whose name begins with remotemap_ returns a value >= 0, or -errno, and
 * leaves errno alone. Descriptors that a call makes are close-on-exec. Addresses,
 * offsets and sizes are in bytes. Structures of options begin with their size:
 * zero the rest, and what a later version adds is off. NULL stands for no options.
 *
 * Concepts: remote_mapping(7). A context's files: mirror-proc(4). A page a call:
 * man 3 remotemap_open_pid and so on.
 */
#ifndef REMOTEMAP_H
#define REMOTEMAP_H

#include <linux/remote_mapping.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a context and its handle ------------------------------------------------ */

/* One opened source: its map file, and its ctrl file where the caller made it. */
struct remotemap;

/* remotemap_open_options.flags */
#define REMOTEMAP_WRITE (1U << 0)    /* the map file can be written, too */
#define REMOTEMAP_IDENTITY (1U << 1) /* one view: offset = address, everything */
#define REMOTEMAP_READONLY (1U << 2) /* that view is never written through */
#define REMOTEMAP_RESIDENT (1U << 3) /* that view never makes the source fault */

/**
 * struct remotemap_open_options - how to open a source
 * @size: sizeof(struct remotemap_open_options)
 * @flags: REMOTEMAP_WRITE, REMOTEMAP_IDENTITY, and with that one
 *         REMOTEMAP_READONLY, REMOTEMAP_RESIDENT
 */
struct remotemap_open_options {
	size_t size;
	unsigned int flags;
};

/* by pid, in the pid namespace of /proc */
int remotemap_open_pid(pid_t pid, const struct remotemap_open_options *options,
		       struct remotemap **handle);
/* by pidfd: safe against a pid that is used again */
int remotemap_open_pidfd(int pidfd,
			 const struct remotemap_open_options *options,
			 struct remotemap **handle);
/* by authority: an open /proc/PID/mem, which stays the caller's */
int remotemap_open_mem(int mem_fd, const struct remotemap_open_options *options,
		       struct remotemap **handle);
/* oneself, to be lent: takes no privilege */
int remotemap_open_self(const struct remotemap_open_options *options,
			struct remotemap **handle);
/* an existing map file, which stays the caller's; there is no ctrl file, so no
 * view can be added, removed or locked (-EPERM). -EBADF: it is none.
 */
int remotemap_open_map(int map_fd, struct remotemap **handle);
void remotemap_close(struct remotemap *handle);

/* The handle's descriptors, which stay the handle's. ctrl: -EPERM if none. */
int remotemap_map_fd(const struct remotemap *handle);
int remotemap_ctrl_fd(const struct remotemap *handle);
/* The source in the caller's pid namespace; -ESRCH: it has ended or is not in it */
pid_t remotemap_pid(const struct remotemap *handle);
/* 1 the map file can be written, else 0 */
int remotemap_writable(const struct remotemap *handle);
/* The size of an address space, one past its last byte: what an identity view has */
uint64_t remotemap_address_space(void);

/* ---- views --------------------------------------------------------------------- */

/* A view; flags: PIDFD_MEM_MAP_READONLY, PIDFD_MEM_MAP_RESIDENT */
struct remotemap_view {
	uint64_t offset;
	uint64_t address;
	uint64_t size;
	unsigned int flags;
	unsigned int reserved;
};

/* flags: PIDFD_MEM_MAP_READONLY, PIDFD_MEM_MAP_RESIDENT */
int remotemap_add(struct remotemap *handle, uint64_t offset, uint64_t address,
		  uint64_t size, unsigned int flags);
int remotemap_remove(struct remotemap *handle, uint64_t offset, uint64_t size);
int remotemap_lock(struct remotemap *handle);
/* An array of them in order, to be freed with free(); the return value: how many */
ssize_t remotemap_views(const struct remotemap *handle,
			struct remotemap_view **views);

/* What the kernel counts of a context; the array of counters may grow at its end. */
struct remotemap_stat {
	size_t size; /* given: sizeof(struct remotemap_stat) */
	pid_t pid;   /* the source, or 0: not visible here */
	int ended;
	int locked;
	int reserved;
	uint64_t views;
	uint64_t faults;
	uint64_t pages_mapped;
	uint64_t huge_pages_mapped;
	uint64_t invalidations;
	uint64_t invalidations_hit;
	uint64_t retries;
};

int remotemap_stat(const struct remotemap *handle, struct remotemap_stat *stat);
/* The same of descriptor fd of process pid, by /proc: who looks at whom.
 * 0 it is not a context's file, 1 a map file, 2 a ctrl file; -EACCES etc. as /proc says
 */
int remotemap_stat_fd(pid_t pid, int fd, struct remotemap_stat *stat);

/* ---- mirrors --------------------------------------------------------------------- */

/* remotemap_map_options.flags */
#define REMOTEMAP_MAP_WRITE (1U << 0)      /* PROT_WRITE */
#define REMOTEMAP_MAP_POPULATE (1U << 1)   /* touch all that is there, first */
#define REMOTEMAP_MAP_SEQUENTIAL (1U << 2) /* MADV_SEQUENTIAL */
#define REMOTEMAP_MAP_RANDOM (1U << 3)     /* MADV_RANDOM */

/**
 * struct remotemap_map_options - how to map
 * @size: sizeof(struct remotemap_map_options)
 * @flags: REMOTEMAP_MAP_*
 * @reserved: NULL, or a reserved (PROT_NONE) range to map into, as in
 *            pidfd_mem_mmap()
 * @reserved_length: of that range
 */
struct remotemap_map_options {
	size_t size;
	unsigned int flags;
	unsigned int padding;
	void *reserved;
	size_t reserved_length;
};

/* offset and length need not be page aligned: *mirror is the byte at offset. */
int remotemap_map(const struct remotemap *handle, uint64_t offset, size_t length,
		  const struct remotemap_map_options *options, void **mirror);
/* mirror and length as remotemap_map() had them */
int remotemap_unmap(void *mirror, size_t length);

/* ---- reading and writing by copying ------------------------------------------------ */

/* What was moved, maybe less than asked: a hole is next. -EFAULT: it is the very first
 * byte. 0: at or past the end of the last view. Interrupted calls go on.
 */
ssize_t remotemap_read(const struct remotemap *handle, void *buffer,
		       size_t length, uint64_t offset);
ssize_t remotemap_write(const struct remotemap *handle, const void *buffer,
			size_t length, uint64_t offset);
/* The first offset >= offset with data, with none; -ENXIO: none follows */
int64_t remotemap_next_data(const struct remotemap *handle, uint64_t offset);
int64_t remotemap_next_hole(const struct remotemap *handle, uint64_t offset);

/* ---- the source's regions --------------------------------------------------------- */

enum remotemap_kind {
	REMOTEMAP_ANONYMOUS,
	REMOTEMAP_FILE,    /* private or shared mapping of a file */
	REMOTEMAP_SHMEM,   /* memfd, tmpfs, SysV, shared anonymous */
	REMOTEMAP_HUGETLB,
	REMOTEMAP_HEAP,
	REMOTEMAP_STACK,
	REMOTEMAP_SPECIAL, /* vdso, vvar, vsyscall */
	REMOTEMAP_DEVICE,  /* VM_IO or VM_PFNMAP: other mirrors, too. Never shown */
	REMOTEMAP_SECRET,  /* memfd_secret. Never shown */
};

/* remotemap_region.flags */
#define REMOTEMAP_REGION_READ (1U << 0)
#define REMOTEMAP_REGION_WRITE (1U << 1)
#define REMOTEMAP_REGION_EXEC (1U << 2)
#define REMOTEMAP_REGION_SHARED (1U << 3)
#define REMOTEMAP_REGION_SHOWN (1U << 4) /* a mirror shows it: can be read */
/* These two from smaps alone, not in remotemap_regions_brief(): */
#define REMOTEMAP_REGION_DONTDUMP (1U << 5) /* MADV_DONTDUMP: VmFlags has "dd" */
#define REMOTEMAP_REGION_MODIFIED (1U << 6) /* "Anonymous" is not 0: has pages of its own */

/* A range of the source's addresses; all sizes in bytes */
struct remotemap_region {
	uint64_t start;
	uint64_t end;
	enum remotemap_kind kind;
	unsigned int flags;
	uint64_t resident;  /* in memory */
	uint64_t huge;      /* of that in huge pages */
	uint64_t swapped;
	uint64_t page_size; /* of the kernel's: larger with hugetlb */
	uint64_t offset;    /* in the file */
	uint64_t inode;
	unsigned int major, minor; /* the file's device */
	char *name;         /* path or [name], never NULL; may be "" */
};

/* Reads /proc/PID/smaps, which takes PTRACE_MODE_READ. *regions: an array in the order
 * of their addresses, to be given to remotemap_regions_free(). Returns how many.
 */
ssize_t remotemap_regions(pid_t pid, struct remotemap_region **regions);
/* The same from /proc/PID/maps: no sizes (0), much cheaper, and the source's lock is
 * held for less long
 */
ssize_t remotemap_regions_brief(pid_t pid, struct remotemap_region **regions);
void remotemap_regions_free(struct remotemap_region *regions, ssize_t count);
/* "anonymous", "file", ... */
const char *remotemap_kind_name(enum remotemap_kind kind);

/* ---- the end, and handing over ------------------------------------------------------ */

/* 1 the source's address space is gone, 0 not within timeout (milliseconds, -1: for
 * ever), -EINTR: a signal
 */
int remotemap_wait(const struct remotemap *handle, int timeout);
/* Over a connected Unix socket: the map file alone goes over. */
int remotemap_send(int socket, const struct remotemap *handle);
/* -EBADF: what came is no map file; -ENOMSG: no descriptor came; -EPIPE: the other side
 * has closed
 */
int remotemap_receive(int socket, struct remotemap **handle);

/* ---- what is not there: SIGBUS --------------------------------------------------------- */

/* Calls function(argument). A SIGBUS that it meets in [mirror, mirror + length) ends it:
 * then -EFAULT, and *where (if not NULL) is the address. Else 0; what function returned is
 * in *result (if not NULL). The handler of SIGBUS is installed by the first call and
 * passes on all that is no such fault to the one that was there before. function must
 * hold no lock and own nothing that is lost when it is left by siglongjmp(). Guards nest.
 */
int remotemap_guard(const void *mirror, size_t length,
		    int (*function)(void *argument), void *argument, int *result,
		    void **where);
/* memcpy() out of a mirror: bytes copied before what is not there, so maybe 0 */
ssize_t remotemap_guard_copy(void *destination, const void *mirror, size_t length);
/* memmem() in a mirror: 1 found, *at is where; 0 not; -EFAULT *at is what is not there */
int remotemap_guard_find(const void *mirror, size_t length, const void *needle,
			 size_t needle_length, const void **at);

/* The library's version, "0.1.0" */
const char *remotemap_version(void);

/**
 * pidfd_mem() - open the memory of a process
 * @pidfd: stands for the source, as pidfd_open(2) returned it
 * @fds: on success fds[0] is the new context's ctrl file, fds[1] its map file;
 *       not touched on failure
 * @flags: 0, or PIDFD_MEM_OPEN_RDONLY: the map file is for reading
 *
 * The context has no view yet. The caller must be allowed to open the source's
 * /proc/PID/mem for what it asks: for reading and writing, or with
 * PIDFD_MEM_OPEN_RDONLY for reading. Who may only read must say so: the call
 * never gives less than what was asked for.
 *
 * MT-Safe. Not a cancellation point.
 *
 * Return: 0, or -1 with errno:
 *  EINVAL         an unknown flag
 *  EFAULT         @fds is NULL
 *  EBADF          @pidfd is not open, or is no pidfd
 *  ESRCH          the process has ended, has no address space (a kernel
 *                 thread), or is not visible in /proc
 *  EACCES, EPERM  opening /proc/PID/mem says so; or EACCES, opening the device
 *  ENODEV         there is no /dev/mirror-proc: the module is not loaded
 *  ENOENT         /proc is not mounted
 *  EMFILE, ENFILE no more files can be opened
 *  ENOMEM         out of memory
 */
int pidfd_mem(int pidfd, int *fds, unsigned int flags);

/**
 * pidfd_mem_mmap() - map a part of a map file into a reserved range
 * @reserved: where the range begins, page aligned; usually a PROT_NONE mapping
 * @length: of the range, in bytes
 * @size: how much to map, in bytes; as in mmap(2)
 * @prot: PROT_READ or PROT_READ | PROT_WRITE, as in mmap(2)
 * @map_fd: the map file
 * @offset: in the map file, in bytes, page aligned
 *
 * The mirror begins at the first address in the range that agrees modulo 2 MiB
 * with the source's address for @offset, so that huge pages of the source can be
 * huge pages in it. Something smaller than 2 MiB begins where the range does;
 * something of 1 GiB or more at the first that agrees modulo 1 GiB, if it fits
 * there. What was mapped in its place is replaced, at once and as a whole; the
 * rest of the range is left alone. Reserve 2 MiB more than @size and it always
 * fits, 1 GiB more and it may have pages of 1 GiB.
 *
 * MT-Safe, as long as nobody else maps or unmaps in the range.
 *
 * Return: the mirror's address, or MAP_FAILED with errno:
 *  EINVAL         @reserved is NULL or not page aligned, @size is 0, the range
 *                 wraps
 *  ENOMEM         @size does not fit into the range, there with that agreement
 *  others         as mmap(2) of the map file says, see mirror-proc(4)
 */
void *pidfd_mem_mmap(void *reserved, size_t length, size_t size, int prot,
		     int map_fd, off_t offset);

#ifdef __cplusplus
}
#endif

#endif /* REMOTEMAP_H */

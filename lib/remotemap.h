/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libremotemap: map the memory of another process, zero-copy and live.
 *
 * Nothing here prints or exits. Nothing installs a signal handler but
 * remotemap_guard() and its kin, which say so. Every call may be made by any
 * number of threads at the same time (MT-Safe), unless it says otherwise; only
 * remotemap_close() must be the last call on its handle.
 *
 * A call whose name begins with remotemap_ returns a value >= 0, or -errno, and
 * leaves errno alone; where it fails it has changed no result, unless it says
 * otherwise. Descriptors that a call makes are close-on-exec. Addresses,
 * offsets and sizes are in bytes. Structures of options begin with their size:
 * zero the rest, and what a later version adds is off. NULL stands for no
 * options.
 *
 * Of calls with options:
 *  EINVAL  size is smaller than the structure was in the first version, a flag
 *          is unknown, or padding is not 0
 *  E2BIG   size is larger than this version knows, and what it does not know is
 *          not 0
 *
 * Cancellation points are remotemap_read(), remotemap_write(), remotemap_wait()
 * and remotemap_send(), none of which then loses anything. No other call is
 * one, except where remotemap_guard()'s function makes it one.
 *
 * Concepts: remote_mapping(7). A context's files: mirror-proc(4). A page a
 * call: man 3 remotemap_open_pid and so on.
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

/* ---- a context and its handle -------------------------------------------- */

/*
 * One opened source: its map file, and its ctrl file where the caller made it.
 * It never changes: to share it between threads takes no lock.
 */
struct remotemap;

/* remotemap_open_options.flags */
#define REMOTEMAP_WRITE (1U << 0)    /* the map file can be written, too */
#define REMOTEMAP_IDENTITY (1U << 1) /* one view of all: offset = address */
#define REMOTEMAP_READONLY (1U << 2) /* that view is never written through */
#define REMOTEMAP_RESIDENT (1U << 3) /* that view never faults in the source */

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

/**
 * remotemap_open_pid() - open the memory of a process, by its number
 * @pid: in the pid namespace of /proc
 * @options: NULL: for reading, with no view yet
 * @handle: result; to be given to remotemap_close()
 *
 * The caller must be allowed to open /proc/PID/mem for reading, with
 * REMOTEMAP_WRITE for reading and writing. Who may only read must not ask for
 * more: a call never gives less than what was asked for.
 *
 * A process that ends can be followed by another one with the same number.
 * remotemap_open_pidfd() is safe against that.
 *
 * Return: 0, or
 *  EINVAL, E2BIG  of the options; or REMOTEMAP_READONLY or REMOTEMAP_RESIDENT
 *                 without REMOTEMAP_IDENTITY
 *  EFAULT         @handle is NULL
 *  ESRCH          there is no such process in /proc, it has ended, or it has no
 *                 address space (a kernel thread)
 *  EACCES, EPERM  opening /proc/PID/mem says so; or EACCES, opening the device
 *  ENODEV         there is no /dev/mirror-proc: the module is not loaded
 *  ENOENT         /proc is not mounted
 *  EMFILE, ENFILE no more files can be opened
 *  ENOMEM         out of memory
 */
int remotemap_open_pid(pid_t pid, const struct remotemap_open_options *options,
		       struct remotemap **handle);

/**
 * remotemap_open_pidfd() - open the memory of a process, by a pidfd
 * @pidfd: stands for the source, as pidfd_open(2) returned it; stays the
 *         caller's
 * @options: as in remotemap_open_pid()
 * @handle: as in remotemap_open_pid()
 *
 * The source is the process that the pidfd stands for, whoever may have got its
 * number since.
 *
 * Return: 0, or as remotemap_open_pid(); and
 *  EBADF  @pidfd is not open, or is no pidfd
 */
int remotemap_open_pidfd(int pidfd,
			 const struct remotemap_open_options *options,
			 struct remotemap **handle);

/**
 * remotemap_open_mem() - open the memory of a process, by its authority
 * @mem_fd: an open /proc/PID/mem; stays the caller's
 * @options: as in remotemap_open_pid()
 * @handle: as in remotemap_open_pid()
 *
 * Nothing is asked of the caller but the open file, which may have come from
 * somebody else. /proc is not used.
 *
 * Return: 0, or as remotemap_open_pid(), but not ENOENT; and
 *  EBADF   @mem_fd is not open, is no /proc/PID/mem, or is not open for reading
 *  EACCES  REMOTEMAP_WRITE, and @mem_fd is not open for writing
 */
int remotemap_open_mem(int mem_fd, const struct remotemap_open_options *options,
		       struct remotemap **handle);

/**
 * remotemap_open_self() - open one's own memory, to lend it
 * @options: as in remotemap_open_pid()
 * @handle: as in remotemap_open_pid()
 *
 * It takes no privilege. The map file is for others: remotemap_send(). A
 * process cannot map itself (remotemap_map(): EINVAL), but can read and write
 * itself.
 *
 * Return: 0, or as remotemap_open_pid(), but not ESRCH; EACCES also of a
 * process that is not dumpable, see prctl(2), PR_SET_DUMPABLE
 */
int remotemap_open_self(const struct remotemap_open_options *options,
			struct remotemap **handle);

/**
 * remotemap_open_map() - a handle for an existing map file
 * @map_fd: a map file, wherever it came from; stays the caller's
 * @handle: as in remotemap_open_pid()
 *
 * There is no ctrl file, so no view can be added, removed or locked. The handle
 * has a duplicate of the descriptor: it can be closed.
 *
 * Return: 0, or
 *  EFAULT          @handle is NULL
 *  EBADF           @map_fd is not open, or is no map file
 *  EMFILE, ENOMEM  as in remotemap_open_pid()
 */
int remotemap_open_map(int map_fd, struct remotemap **handle);

/**
 * remotemap_close() - let go of a handle
 * @handle: or NULL, which does nothing
 *
 * Its descriptors are closed. Mirrors stay, and show what they showed, until
 * they are unmapped. No other call may be using the handle, nor be made with it
 * later.
 */
void remotemap_close(struct remotemap *handle);

/**
 * remotemap_map_fd() - the descriptor of the map file
 * @handle: a handle
 *
 * Return: the descriptor, which stays the handle's: not to be closed
 */
int remotemap_map_fd(const struct remotemap *handle);

/**
 * remotemap_ctrl_fd() - the descriptor of the ctrl file
 * @handle: a handle
 *
 * Return: the descriptor, which stays the handle's; or
 *  EPERM  it has none: it came from a map file
 */
int remotemap_ctrl_fd(const struct remotemap *handle);

/**
 * remotemap_pid() - which process the source is
 * @handle: a handle
 *
 * Return: its number in the caller's pid namespace, or
 *  ESRCH           it has ended, has called execve(2), or is not in that
 *                  namespace
 *  ENOENT          /proc is not mounted
 *  EMFILE, ENFILE, ENOMEM  as in remotemap_open_pid()
 */
pid_t remotemap_pid(const struct remotemap *handle);

/**
 * remotemap_writable() - whether the map file can be written
 * @handle: a handle
 *
 * A view with PIDFD_MEM_MAP_READONLY is not written through even then.
 *
 * Return: 1 or 0
 */
int remotemap_writable(const struct remotemap *handle);

/**
 * remotemap_address_space() - the size of an address space
 *
 * Of a 64-bit process on this kernel: one past its last byte. It is what a view
 * of everything has, REMOTEMAP_IDENTITY; a 32-bit source has less, and so has
 * that view.
 *
 * Return: 2^47 - 4096, or with five levels of page tables 2^56 - 4096
 */
uint64_t remotemap_address_space(void);

/* ---- views --------------------------------------------------------------- */

/**
 * struct remotemap_view - a range of the map file that stands for one of the
 * source
 * @offset: where it begins in the map file
 * @address: where it begins in the source
 * @size: of both
 * @flags: PIDFD_MEM_MAP_READONLY, PIDFD_MEM_MAP_RESIDENT
 * @reserved: 0
 */
struct remotemap_view {
	uint64_t offset;
	uint64_t address;
	uint64_t size;
	unsigned int flags;
	unsigned int reserved;
};

/**
 * remotemap_add() - add a view
 * @handle: a handle with a ctrl file
 * @offset: where it begins in the map file
 * @address: where it begins in the source
 * @size: of both
 * @flags: PIDFD_MEM_MAP_READONLY: no viewer writes through it, whatever the map
 *         file allows; PIDFD_MEM_MAP_RESIDENT: what is not in memory is a hole,
 *         the source is never made to fault
 *
 * All three numbers are multiples of the page size. Nothing need be mapped in
 * the source yet. Mirrors that span @offset show the view from now on.
 *
 * Return: 0, or
 *  EINVAL    not page aligned; @size is 0; a sum wraps; it lies beyond the
 *            source's address space or the largest file offset; an unknown flag
 *  EALREADY  it overlaps another view in the map file
 *  ENOSPC    there are 262144 views
 *  EPERM     the context is locked; or the handle has no ctrl file
 *  ESRCH     the source's address space is gone
 *  ENOMEM    out of memory
 */
int remotemap_add(struct remotemap *handle, uint64_t offset, uint64_t address,
		  uint64_t size, unsigned int flags);

/**
 * remotemap_remove() - remove a view
 * @handle: a handle with a ctrl file
 * @offset: as remotemap_add() had it
 * @size: as remotemap_add() had it
 *
 * Mirrors have lost it when the call returns: to touch it is SIGBUS.
 *
 * Return: 0, or
 *  EINVAL  there is no view of exactly that offset and size
 *  EPERM   the context is locked; or the handle has no ctrl file
 *  ENOMEM  the view shows nothing any more, but its range is not free yet: call
 *          again
 */
int remotemap_remove(struct remotemap *handle, uint64_t offset, uint64_t size);

/**
 * remotemap_lock() - let no view be added or removed any more
 * @handle: a handle with a ctrl file
 *
 * It cannot be undone, and holds for all who have the context's files. To do it
 * again changes nothing.
 *
 * Return: 0, or
 *  EPERM  the handle has no ctrl file
 */
int remotemap_lock(struct remotemap *handle);

/**
 * remotemap_views() - the views of a context
 * @handle: a handle
 * @views: result: an array in the order of their offsets, to be given to
 *         free(); NULL if there is none
 *
 * Return: how many, or
 *  EFAULT  @views is NULL
 *  ENOENT  /proc is not mounted
 *  EMFILE, ENFILE, ENOMEM  as in remotemap_open_pid()
 */
ssize_t remotemap_views(const struct remotemap *handle,
			struct remotemap_view **views);

/**
 * struct remotemap_stat - what the kernel counts of a context
 * @size: given: sizeof(struct remotemap_stat). A later version may have more
 *        counters at the end: what this one does not know is made 0
 * @pid: the source in the caller's pid namespace; 0: it is not in it, or has
 *       ended
 * @ended: 1 if its address space is gone
 * @locked: 1 after remotemap_lock()
 * @reserved: 0
 * @views: how many there are
 * @faults: faults of mirrors
 * @pages_mapped: pages of 4 KiB that they mapped
 * @huge_pages_mapped: huge pages that they mapped
 * @invalidations: changes of the source's memory that the kernel told about
 * @invalidations_hit: those of them that took a page from a mirror
 * @retries: attempts of a fault that such a change made void
 *
 * mirror-proc(4) has more about them.
 */
struct remotemap_stat {
	size_t size;
	pid_t pid;
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

/**
 * remotemap_stat() - a context's state and counters
 * @handle: a handle
 * @stat: result; its size must be there before
 *
 * Return: 0, or
 *  EFAULT  @stat is NULL
 *  EINVAL  its size is smaller than in the first version
 *  ENOENT  /proc is not mounted
 *  EMFILE, ENFILE, ENOMEM  as in remotemap_open_pid()
 */
int remotemap_stat(const struct remotemap *handle, struct remotemap_stat *stat);

/**
 * remotemap_stat_fd() - the same of a descriptor of any process
 * @pid: whose descriptor, in the pid namespace of /proc
 * @fd: its number there
 * @stat: as in remotemap_stat(); not touched if it is no file of a context
 *
 * So all of /proc can be asked who looks at whom. An open device that
 * REMOTE_PROC_MAP has made a map file is a map file.
 *
 * Return: 0: it is no file of a context, 1: a map file, 2: a ctrl file; or
 *  EFAULT, EINVAL  as remotemap_stat()
 *  ESRCH           there is no such process
 *  EBADF           it has no such descriptor
 *  EACCES, EPERM   looking at it in /proc says so
 *  ENOENT, EMFILE, ENFILE, ENOMEM  as remotemap_stat()
 */
int remotemap_stat_fd(pid_t pid, int fd, struct remotemap_stat *stat);

/* ---- mirrors ------------------------------------------------------------- */

/* remotemap_map_options.flags */
#define REMOTEMAP_MAP_WRITE (1U << 0)      /* PROT_WRITE */
#define REMOTEMAP_MAP_POPULATE (1U << 1)   /* touch all that is there, first */
#define REMOTEMAP_MAP_SEQUENTIAL (1U << 2) /* MADV_SEQUENTIAL */
#define REMOTEMAP_MAP_RANDOM (1U << 3)     /* MADV_RANDOM */

/**
 * struct remotemap_map_options - how to map
 * @size: sizeof(struct remotemap_map_options)
 * @flags: REMOTEMAP_MAP_*
 * @padding: 0
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

/**
 * remotemap_map() - map a part of a map file
 * @handle: a handle
 * @offset: where it begins in the map file; need not be page aligned
 * @length: need not be page aligned
 * @options: NULL: for reading, anywhere
 * @mirror: result: the byte at @offset; to be given to remotemap_unmap()
 *
 * The pages are the source's own. To touch what it does not have is SIGBUS, see
 * remote_mapping(7) and remotemap_guard(). The range may span several views and
 * what lies between them.
 *
 * REMOTEMAP_MAP_POPULATE reads a byte of each page that has data
 * (remotemap_next_data()) before the call returns, so that it need not fault
 * later. In a view that is not PIDFD_MEM_MAP_RESIDENT this makes the source
 * fault. What cannot be read then, is left for later: it is no error.
 * REMOTEMAP_MAP_SEQUENTIAL maps up to 2 MiB by a fault, REMOTEMAP_MAP_RANDOM
 * one page, else up to 64 KiB at the first look and 256 KiB where more follow.
 *
 * Where the source has huge pages the mirror can have them: remotemap_map()
 * chooses the address so, and in a reserved range it agrees as in
 * pidfd_mem_mmap(). A reserved range has a gap there once the mirror is
 * unmapped.
 *
 * MT-Safe; with a reserved range as long as nobody else maps or unmaps in it.
 *
 * Return: 0, or
 *  EINVAL, E2BIG  of the options; both REMOTEMAP_MAP_SEQUENTIAL and _RANDOM;
 *                 @length is 0; the range wraps; no view is in the range; the
 *                 source is the caller; the reserved range is not page aligned
 *                 or wraps, or has a length and no address
 *  EFAULT         @mirror is NULL
 *  EACCES         REMOTEMAP_MAP_WRITE, and the map file cannot be written
 *  ESRCH          the source's address space is gone
 *  ENOMEM         out of memory or of addresses; it does not fit into the
 *                 reserved range
 */
int remotemap_map(const struct remotemap *handle, uint64_t offset,
		  size_t length, const struct remotemap_map_options *options,
		  void **mirror);

/**
 * remotemap_unmap() - unmap a mirror, or a part of one
 * @mirror: as remotemap_map() had it
 * @length: as remotemap_map() had it
 *
 * All pages that the range touches are unmapped. The handle is not needed.
 *
 * Return: 0, or
 *  EINVAL  @mirror is NULL, @length is 0, or the range wraps
 *  ENOMEM  out of memory, unmapping a part
 */
int remotemap_unmap(void *mirror, size_t length);

/* ---- reading and writing by copying -------------------------------------- */

/**
 * remotemap_read() - copy from the source
 * @handle: a handle
 * @buffer: where to
 * @length: how much
 * @offset: in the map file
 *
 * There is no signal: what the source does not have is a hole, which ends the
 * copy. Interrupted calls go on.
 *
 * Return: how much was copied; if that is less than @length a hole is next, or
 * the end of the last view; 0: at or past that end; or
 *  EFAULT  a hole is at the very first byte; or @buffer is no memory
 *  EINVAL  @length is larger than SSIZE_MAX, or @offset than INT64_MAX
 *  ESRCH   the source's address space is gone
 *  ENOMEM  out of memory
 */
ssize_t remotemap_read(const struct remotemap *handle, void *buffer,
		       size_t length, uint64_t offset);

/**
 * remotemap_write() - copy to the source
 * @handle: a handle
 * @buffer: where from
 * @length: how much
 * @offset: in the map file
 *
 * As remotemap_read(). What the source itself may not write, and a view with
 * PIDFD_MEM_MAP_READONLY, is a hole to it; so is all past the last view.
 *
 * Return: how much was copied, or as remotemap_read(); and
 *  EACCES  the map file cannot be written
 */
ssize_t remotemap_write(const struct remotemap *handle, const void *buffer,
			size_t length, uint64_t offset);

/**
 * remotemap_next_data() - where data is
 * @handle: a handle
 * @offset: in the map file
 *
 * Data is what remotemap_read() would return now: what the source has mapped
 * and may read; in a view with PIDFD_MEM_MAP_RESIDENT what is in memory.
 *
 * The search moves the map file's position, which all duplicates of its
 * descriptor share and nothing else here uses.
 *
 * Return: the first offset >= @offset with data, or
 *  ENXIO  none follows
 *  ESRCH  the source's address space is gone
 */
int64_t remotemap_next_data(const struct remotemap *handle, uint64_t offset);

/**
 * remotemap_next_hole() - where data ends
 * @handle: a handle
 * @offset: in the map file
 *
 * As remotemap_next_data(). A hole follows the last view.
 *
 * Return: the first offset >= @offset without data, or
 *  ENXIO  @offset is at or past the end of the last view
 *  ESRCH  the source's address space is gone
 */
int64_t remotemap_next_hole(const struct remotemap *handle, uint64_t offset);

/* ---- the source's regions ------------------------------------------------ */

/*
 * remotemap_regions_brief() has less to go by: it takes hugetlb pages of a
 * memfd for shmem, and a driver's memory for a device only where its file is in
 * /dev.
 */
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
#define REMOTEMAP_REGION_DONTDUMP (1U << 5) /* MADV_DONTDUMP, or as if */
#define REMOTEMAP_REGION_MODIFIED (1U << 6) /* it has anonymous pages */

/**
 * struct remotemap_region - a range of the source's addresses
 * @start: its first byte
 * @end: one past its last byte
 * @kind: what is there
 * @flags: REMOTEMAP_REGION_*
 * @resident: how much of it is in memory
 * @huge: how much of that in huge pages
 * @swapped: how much of it is in swap
 * @page_size: the kernel's pages there: larger with hugetlb
 * @offset: where it begins in the file
 * @inode: the file's, or 0
 * @major: of the file's device
 * @minor: of the file's device
 * @name: path or [name] as /proc has it: "\012" for a newline, " (deleted)"
 *        after a path that is no more; never NULL, may be ""
 */
struct remotemap_region {
	uint64_t start;
	uint64_t end;
	enum remotemap_kind kind;
	unsigned int flags;
	uint64_t resident;
	uint64_t huge;
	uint64_t swapped;
	uint64_t page_size;
	uint64_t offset;
	uint64_t inode;
	unsigned int major, minor;
	char *name;
};

/**
 * remotemap_regions() - the regions of a process
 * @pid: in the pid namespace of /proc
 * @regions: result: an array in the order of their addresses, to be given to
 *           remotemap_regions_free(); NULL if there is none
 *
 * Reads /proc/PID/smaps, which takes PTRACE_MODE_READ, and holds up changes of
 * the source's mappings meanwhile. The process may change while it is read:
 * each region was so at some moment.
 *
 * Return: how many; 0: it has no address space (a kernel thread, a zombie); or
 *  EFAULT         @regions is NULL
 *  ESRCH          there is no such process in /proc, or it has ended
 *  EACCES, EPERM  opening /proc/PID/smaps says so
 *  ENOENT         /proc is not mounted
 *  EMFILE, ENFILE, ENOMEM  as in remotemap_open_pid()
 */
ssize_t remotemap_regions(pid_t pid, struct remotemap_region **regions);

/**
 * remotemap_regions_brief() - the regions of a process, without sizes
 * @pid: as in remotemap_regions()
 * @regions: as in remotemap_regions(); resident, huge, swapped and page_size
 *           are 0
 *
 * Reads /proc/PID/maps: much cheaper, as the kernel need not look at every
 * page.
 *
 * Return: as remotemap_regions()
 */
ssize_t remotemap_regions_brief(pid_t pid, struct remotemap_region **regions);

/**
 * remotemap_regions_free() - give regions back
 * @regions: or NULL
 * @count: how many there are
 */
void remotemap_regions_free(struct remotemap_region *regions, ssize_t count);

/**
 * remotemap_kind_name() - a word for a kind
 * @kind: of a region
 *
 * Return: "anonymous", "file", "shmem", "hugetlb", "heap", "stack", "special",
 * "device" or "secret"; "unknown" for what this version does not know.
 * Constant.
 */
const char *remotemap_kind_name(enum remotemap_kind kind);

/* ---- the end, and handing over ------------------------------------------- */

/**
 * remotemap_wait() - wait for the source's end
 * @handle: a handle
 * @timeout: in milliseconds; 0: only look; negative: for ever
 *
 * The end is when the source exits or calls execve(2).
 *
 * Return: 1: its address space is gone, 0: not within @timeout; or
 *  EINTR   a signal was handled
 *  ENOMEM  out of memory
 */
int remotemap_wait(const struct remotemap *handle, int timeout);

/**
 * remotemap_send() - hand the map file over
 * @socket: a connected Unix socket
 * @handle: a handle, which stays the caller's
 *
 * The map file alone goes over (SCM_RIGHTS, with one byte): who gets it sees
 * the views and can change none. To be safe from views that are added later,
 * remotemap_lock(). No SIGPIPE is raised. Interrupted calls go on.
 *
 * Return: 0, or as sendmsg(2) says:
 *  EPIPE     the other side has closed
 *  ENOTCONN  the socket is not connected
 *  EBADF, ENOTSOCK  @socket is not open, is no socket
 *  EAGAIN    the socket is non-blocking and full
 *  ETOOMANYREFS, ENOBUFS, ENOMEM  too much is on its way
 */
int remotemap_send(int socket, const struct remotemap *handle);

/**
 * remotemap_receive() - take a map file
 * @socket: a connected Unix socket
 * @handle: as in remotemap_open_pid()
 *
 * Takes one byte, or one message, and the descriptor that came with it.
 * Whatever else comes is closed. The sender need not be trusted with more than
 * the memory that the mirror shows: that the file is a map file is checked.
 * Interrupted calls go on.
 *
 * Return: 0, or
 *  EFAULT  @handle is NULL
 *  EBADF   what came is no map file, or more than one descriptor; or @socket is
 *          not open
 *  ENOMSG  no descriptor came
 *  EPIPE   the other side has closed
 *  EMFILE  one came, and no more files can be opened
 *  ENOMEM  out of memory
 *  ENOTSOCK, ENOTCONN, EAGAIN, ECONNRESET  as recvmsg(2) says
 */
int remotemap_receive(int socket, struct remotemap **handle);

/* ---- what is not there: SIGBUS ------------------------------------------- */

/**
 * remotemap_guard() - call a function that may meet what is not there
 * @mirror: where what it touches begins
 * @length: of that
 * @function: what to call
 * @argument: its argument
 * @result: what it returned, or NULL
 * @where: the first address that was not there, or NULL
 *
 * A SIGBUS that @function meets in a page of [@mirror, @mirror + @length), in
 * this thread, ends it. Guards nest: the innermost one whose range it is ends,
 * with all inside it.
 *
 * The first guard installs a handler of SIGBUS for the process, which stays. It
 * passes on every SIGBUS that is for no guard to what was there before: a
 * handler is called as the kernel would have called it; without one the process
 * ends by the signal, with a core as if there were no guard. Whoever installs a
 * handler later must in turn call the one it replaces for what is not its own,
 * in the same thread with the same arguments, or guards do not hold any more.
 * While @function runs, SIGBUS is not blocked in its thread; the signal mask is
 * what it was when the guard returns.
 *
 * @function is left as by siglongjmp(): it must hold no lock,
 * own nothing that would be
 * lost, and be in no call that does (malloc(), stdio), where it touches the
 * mirror. Its local variables and C++ destructors are gone without a word. It
 * must not be left by longjmp(), an exception or pthread_exit().
 *
 * MT-Safe. Async-signal-safe once a guard has returned in the process.
 *
 * Return: 0: it returned; or
 *  EFAULT  it met what is not there; or @function is NULL
 *  EINVAL  the range wraps
 */
int remotemap_guard(const void *mirror, size_t length,
		    int (*function)(void *argument), void *argument, int *result,
		    void **where);

/**
 * remotemap_guard_copy() - memcpy() out of a mirror
 * @destination: where to
 * @mirror: where from
 * @length: how much
 *
 * As fast as memcpy(). What is in @destination after what was copied is
 * undefined. See remotemap_guard().
 *
 * Return: how much was copied before a page that is not there, maybe 0; or
 *  EINVAL  the range wraps, or @length is larger than SSIZE_MAX
 */
ssize_t remotemap_guard_copy(void *destination, const void *mirror,
			     size_t length);

/**
 * remotemap_guard_find() - memmem() in a mirror
 * @mirror: where to look
 * @length: of that
 * @needle: what for
 * @needle_length: of that
 * @at: result
 *
 * As fast as memmem(). See remotemap_guard().
 *
 * Return: 1: found, *@at is where first; 0: not found, *@at is not changed; or
 *  EFAULT  *@at is in the first page that is not there, and nothing that ends
 *          before it is what was looked for; or @at is NULL
 *  EINVAL  the range wraps
 */
int remotemap_guard_find(const void *mirror, size_t length, const void *needle,
			 size_t needle_length, const void **at);

/**
 * remotemap_version() - the library's version
 *
 * Return: "0.1.0". Constant.
 */
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
 * with the source's address for @offset, so that huge pages of the source can
 * be huge pages in it. Something smaller than 2 MiB begins where the range
 * does; something of 1 GiB or more at the first that agrees modulo 1 GiB, if it
 * fits there. What was mapped in its place is replaced, at once and as a whole;
 * the rest of the range is left alone. Reserve 2 MiB more than @size and it
 * always fits, 1 GiB more and it may have pages of 1 GiB.
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

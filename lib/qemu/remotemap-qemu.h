/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libremotemap-qemu: the physical memory of a QEMU guest as one map file.
 *
 * QEMU runs as it is: it is asked over its QMP socket where guest memory is, and
 * then its memory is mapped as that of any process, remotemap.h. The map file's
 * offset is the guest-physical address.
 *
 * What remotemap.h says of all calls, is so of these; none is a cancellation
 * point. A library of its own, since it takes a JSON parser: who only looks at a
 * map file that was handed over needs neither.
 */
#ifndef REMOTEMAP_QEMU_H
#define REMOTEMAP_QEMU_H

#include <remotemap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A guest: its layout, its map file, and the connection if that is kept. */
struct remotemap_qemu;

/* remotemap_qemu_options.flags */
#define REMOTEMAP_QEMU_WRITE (1U << 0)	  /* RAM can be written, too */
#define REMOTEMAP_QEMU_RESIDENT (1U << 1) /* QEMU is never made to fault */
#define REMOTEMAP_QEMU_ALL (1U << 2)	  /* views of ROM and devices, too */
#define REMOTEMAP_QEMU_UNLOCKED (1U << 3) /* views can be added and removed */
#define REMOTEMAP_QEMU_FOLLOW (1U << 4)	  /* keep the connection: _sync() */

/**
 * struct remotemap_qemu_options - how to open a guest
 * @size: sizeof(struct remotemap_qemu_options)
 * @flags: REMOTEMAP_QEMU_*; FOLLOW leaves the views unlocked, as UNLOCKED does
 * @timeout: how long QEMU may take for one answer, in milliseconds; 0: 10000
 */
struct remotemap_qemu_options {
	size_t size;
	unsigned int flags;
	int timeout;
};

/**
 * remotemap_open_qemu() - open the memory of a QEMU guest
 * @path: of a QMP socket, as -qmp unix:PATH,server=on,wait=off makes it
 * @options: NULL: for reading, RAM only, locked, and the socket is closed again
 * @qemu: result; to be given to remotemap_qemu_close()
 *
 * A QMP socket serves one client at a time: for as long as this call takes, and
 * with REMOTEMAP_QEMU_FOLLOW until the guest is closed, nobody else can use it.
 * QEMU can have several.
 *
 * QEMU's process is the one that holds a descriptor that was passed to it over
 * the socket, so it is that also where another process made the socket. It takes
 * the right to open its /proc/PID/mem.
 *
 * Return: 0, or as remotemap_open_pid(); and
 *  EINVAL, E2BIG  of the options, or @timeout is negative
 *  EFAULT         @path or @qemu is NULL
 *  ENAMETOOLONG   @path is longer than a socket's can be
 *  ENOENT         there is no @path
 *  EACCES         @path may not be connected to, or QEMU's process not be opened
 *  ECONNREFUSED   nobody listens at @path
 *  EBUSY          there was no greeting in @timeout: another client is
 *                 connected, QEMU is stopped, or it is no QMP socket
 *  EPROTO         what answers does not speak QMP, or not as QEMU does
 *  ECONNRESET     it closed the connection
 *  ETIMEDOUT      an answer took longer than @timeout
 *  ESRCH          QEMU's process is not to be found in /proc
 *  EREMOTE        the guest was migrated to another QEMU
 *  EAGAIN         the layout did not keep still while it was read
 */
int remotemap_open_qemu(const char *path,
			const struct remotemap_qemu_options *options,
			struct remotemap_qemu **qemu);

/**
 * remotemap_qemu_close() - let go of a guest
 * @qemu: or NULL, which does nothing
 *
 * Its handle is closed, see remotemap_close(). No other call may be using it,
 * nor be made with it later.
 */
void remotemap_qemu_close(struct remotemap_qemu *qemu);

/**
 * remotemap_qemu_handle() - the guest's memory
 * @qemu: a guest
 *
 * Offset = guest-physical address, a view a range. For all calls of remotemap.h
 * but remotemap_close().
 *
 * Return: the handle, which stays the guest's
 */
struct remotemap *remotemap_qemu_handle(const struct remotemap_qemu *qemu);

enum remotemap_qemu_kind {
	REMOTEMAP_QEMU_RAM,
	REMOTEMAP_QEMU_ROM,    /* the guest cannot write it, not now */
	REMOTEMAP_QEMU_DEVICE, /* a device's: video memory, shared memory */
};

/* remotemap_qemu_range.flags */
#define REMOTEMAP_QEMU_SHOWN (1U << 0)	  /* there is a view of it */
#define REMOTEMAP_QEMU_LASTING (1U << 1) /* non-volatile memory */

/**
 * struct remotemap_qemu_range - a range of guest-physical addresses
 * @address: where it begins for the guest, and in the map file
 * @size: of it
 * @host: where it begins in QEMU; 0: QEMU does not say (a real device's)
 * @page_size: of QEMU's memory behind it; 0: QEMU does not say
 * @kind: what is there
 * @flags: REMOTEMAP_QEMU_SHOWN, REMOTEMAP_QEMU_LASTING
 * @name: as QEMU calls it; never NULL
 */
struct remotemap_qemu_range {
	uint64_t address;
	uint64_t size;
	uint64_t host;
	uint64_t page_size;
	enum remotemap_qemu_kind kind;
	unsigned int flags;
	const char *name;
};

/**
 * remotemap_qemu_ranges() - the guest's layout
 * @qemu: a guest
 * @ranges: result: an array in the order of addresses, with the names in it, to
 *          be given to free(); NULL if there is none
 *
 * As it was when the guest was opened, or at the last remotemap_qemu_sync().
 *
 * Return: how many, or
 *  EFAULT  @ranges is NULL
 *  ENOMEM  out of memory
 */
ssize_t remotemap_qemu_ranges(struct remotemap_qemu *qemu,
			      struct remotemap_qemu_range **ranges);

/**
 * remotemap_qemu_kind_name() - a word for a kind
 * @kind: of a range
 *
 * Return: "ram", "rom" or "device"; "unknown" for what this version does not
 * know. Constant.
 */
const char *remotemap_qemu_kind_name(enum remotemap_qemu_kind kind);

/**
 * remotemap_qemu_sync() - make the views those of the guest's layout now
 * @qemu: a guest that was opened with REMOTEMAP_QEMU_FOLLOW
 *
 * Views of what is no more there are removed: mirrors have SIGBUS there. Then
 * views of what is new are added, and mirrors that span it show it. A view that
 * stays is not touched.
 *
 * What QEMU has unmapped is SIGBUS without this call. Only what it has put in
 * its place since would be shown until then.
 *
 * Return: 1: something has changed, 0: nothing; or as remotemap_open_qemu(), and
 *  EPERM    it was not opened with REMOTEMAP_QEMU_FOLLOW
 *  EREMOTE  the guest was migrated to another QEMU: all views are removed
 *  ESRCH    QEMU has ended
 */
int remotemap_qemu_sync(struct remotemap_qemu *qemu);

/**
 * remotemap_qemu_wait() - wait until QEMU tells of a change
 * @qemu: a guest that was opened with REMOTEMAP_QEMU_FOLLOW
 * @timeout: in milliseconds; 0: only look; negative: for ever
 *
 * These events of QMP are such: DEVICE_DELETED, MEMORY_DEVICE_SIZE_CHANGE,
 * ACPI_DEVICE_OST, RESET, SHUTDOWN, STOP, RESUME, MIGRATION. Firmware and drivers
 * move memory about without any: to be sure, remotemap_qemu_sync() now and then.
 * Other calls with @qemu wait for this one, but remotemap_qemu_handle().
 *
 * Return: 1: it did: remotemap_qemu_sync(), 0: not within @timeout; or
 *  EPERM   it was not opened with REMOTEMAP_QEMU_FOLLOW
 *  EINTR   a signal was handled
 *  EPROTO  what came is not QMP
 *  ESRCH   QEMU has ended
 *  ENOMEM  out of memory
 */
int remotemap_qemu_wait(struct remotemap_qemu *qemu, int timeout);

#ifdef __cplusplus
}
#endif

#endif /* REMOTEMAP_QEMU_H */

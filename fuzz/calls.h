/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The calls that programs are made of; the table of them is in table.c.
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "fuzz.h"

/* Whose memory: one of these, or a pid. */
enum {
	WHO_S0 = 0x1000000,
	WHO_S1,
	WHO_VIEWER,
	WHO_SELF,
	WHO_CHILD,
	WHO_INIT,
	WHO_KERNEL,
	WHO_NONE,
};

/* Where the file stands */
#define OFFSET_CURRENT UINT64_MAX

enum how {
	HOW_READ,
	HOW_WRITE,
	HOW_BOTH,
	HOW_EXCHANGE,
};

enum end {
	END_EXIT,
	END_WRITE,
	END_SLEEP,
	END_EXEC,
};

pid_t who_pid(uint64_t who);
int place_file(uint64_t place);
long place_keep(uint64_t place, int file);
long result_of(long result);
bool harmless(uint64_t at, uint64_t length);

#define DECLARE_CALL(name) long call_##name(const uint64_t *a)

DECLARE_CALL(device);
DECLARE_CALL(mem);
DECLARE_CALL(proc_map);
DECLARE_CALL(open);
DECLARE_CALL(map);
DECLARE_CALL(unmap);
DECLARE_CALL(lock);
DECLARE_CALL(remap);
DECLARE_CALL(ioctl);
DECLARE_CALL(ioctl32);
DECLARE_CALL(read);
DECLARE_CALL(write);
DECLARE_CALL(splice);
DECLARE_CALL(sendfile);
DECLARE_CALL(copy_range);
DECLARE_CALL(seek);
DECLARE_CALL(poll);
DECLARE_CALL(fdinfo);
DECLARE_CALL(reopen);
DECLARE_CALL(dup);
DECLARE_CALL(close);
DECLARE_CALL(status);
DECLARE_CALL(send);
DECLARE_CALL(receive);
DECLARE_CALL(take);
DECLARE_CALL(ring);
DECLARE_CALL(look);

DECLARE_CALL(mirror);
DECLARE_CALL(mmap);
DECLARE_CALL(munmap);
DECLARE_CALL(mremap);
DECLARE_CALL(mprotect);
DECLARE_CALL(madvise);
DECLARE_CALL(process_madvise);
DECLARE_CALL(mlock);
DECLARE_CALL(msync);
DECLARE_CALL(mincore);
DECLARE_CALL(access);
DECLARE_CALL(futex);
DECLARE_CALL(process_vm);
DECLARE_CALL(memfd);
DECLARE_CALL(secret);
DECLARE_CALL(file);
DECLARE_CALL(truncate);
DECLARE_CALL(fallocate);
DECLARE_CALL(mbind);
DECLARE_CALL(move_pages);
DECLARE_CALL(userfault);
DECLARE_CALL(userfault_fill);
DECLARE_CALL(fork);
DECLARE_CALL(exec);
DECLARE_CALL(exit);
DECLARE_CALL(kill);
DECLARE_CALL(knob);

#endif /* FUZZ_CALLS_H */

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap-qemu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * guest_follow SOCKET ADDRESS: print the byte at that physical address of a QEMU
 * guest, again whenever its memory has changed, until QEMU ends.
 */
int main(int argc, char **argv)
{
	struct remotemap_qemu_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_QEMU_FOLLOW,
	};
	struct remotemap_qemu *guest;
	unsigned char byte;
	uint64_t address;
	ssize_t n;

	if (argc != 3)
		errx(2, "usage: guest_follow SOCKET ADDRESS");
	address = strtoull(argv[2], NULL, 0);
	n = remotemap_open_qemu(argv[1], &options, &guest);
	if (n)
		errx(1, "%s: %s", argv[1], strerror(-n));
	do {
		/* What the guest has there is read as of any process. */
		n = remotemap_read(remotemap_qemu_handle(guest), &byte, 1,
				   address);
		if (n > 0)
			printf("%02x\n", byte);
		else
			printf("nothing\n");
		fflush(stdout);
		n = remotemap_qemu_wait(guest, -1);
		if (n > 0)
			n = remotemap_qemu_sync(guest);
	} while (n >= 0);
	printf("%s\n", strerror(-n));
	remotemap_qemu_close(guest);
	return 0;
}

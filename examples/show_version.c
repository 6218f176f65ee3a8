// SPDX-License-Identifier: LGPL-2.1-or-later
#include <remotemap.h>
#include <stdio.h>

/* show_version: of the library that is in use, not of the header. */
int main(void)
{
	printf("libremotemap %s\n", remotemap_version());
}

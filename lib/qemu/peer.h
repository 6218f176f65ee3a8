/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef REMOTEMAP_PEER_H
#define REMOTEMAP_PEER_H

#include "qmp.h"

/* A pidfd of the process at the other end */
int peer_open(struct qmp *qmp, int *pidfd);

#endif /* REMOTEMAP_PEER_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first include of a test program: the kernel's test harness, and what to
 * assert of a mirror.
 */
#ifndef TEST_HARNESS_H
#define TEST_HARNESS_H

#include "common.h"

#include <errno.h>
#include <signal.h>

/* It has functions that ignore a parameter, and compares with plain ints
 * whatever the other side is, and uses setjmp(), in the tests that its macros
 * make too.
 */
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wclobbered"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
/* Its only alarm is a test's time limit. */
#define alarm(seconds) alarm(patience(seconds))
#include "kselftest_harness.h"
#undef alarm
#pragma GCC diagnostic pop

/* What is there, what is not */
#define ASSERT_SHOWS(value, at)                         \
	do {                                            \
		uint64_t seen_ = 0;                     \
		ASSERT_EQ(0, touch_read((at), &seen_)); \
		ASSERT_EQ((uint64_t)(value), seen_);    \
	} while (0)
#define ASSERT_NOT_READABLE(at)                              \
	do {                                                 \
		uint64_t seen_;                              \
		ASSERT_EQ(SIGBUS, touch_read((at), &seen_)); \
	} while (0)
#define ASSERT_WRITES(value, at)                          \
	do {                                              \
		ASSERT_EQ(0, touch_write((at), (value))); \
	} while (0)
#define ASSERT_NOT_WRITABLE(at)                               \
	do {                                                  \
		ASSERT_EQ(SIGBUS, touch_write((at), 0x0bad)); \
	} while (0)
#define ASSERT_HOLE(at)                  \
	do {                             \
		ASSERT_NOT_READABLE(at); \
		ASSERT_NOT_WRITABLE(at); \
	} while (0)
/* The statement took an installed page from the mirror: it tests something. */
#define ASSERT_HITS(mirror, statement)                               \
	do {                                                         \
		uint64_t hits_ = mirror_hits(mirror);                \
		statement;                                           \
		ASSERT_LT(hits_, mirror_hits(mirror))                \
		TH_LOG("nothing was mirrored when: %s", #statement); \
	} while (0)

#endif /* TEST_HARNESS_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * Yama's scope 3: nobody attaches to anybody. It cannot be left again before
 * the next boot, so this program is the last in the order of their names.
 */
#define _GNU_SOURCE
#include "harness.h"

#include "permissions.h"

#define SIZE (2 * PAGE_SIZE)
#define SEED 0x3a3a

/* Opened while the scope was another. A mirror is not inherited by the process
 * of a test, its files are.
 */
static struct {
	struct source *source;
	struct mirror mirror;
} before;

static void open_before(void)
{
	uint64_t memory;

	before.source = source_of(USER);
	memory = source_anon(before.source, SIZE, 0);
	source_fill(before.source, memory, SIZE, SEED);
	before.mirror = mirror_open(before.source->pid, memory, SIZE,
				    PROT_READ | PROT_WRITE, 0);
}

FIXTURE(yama3) {
	struct source *source;
	uint64_t memory;
};

FIXTURE_SETUP(yama3)
{
	if (!has_yama())
		SKIP(return, "no Yama");
	self->source = source_of(USER);
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
}

FIXTURE_TEARDOWN(yama3)
{
	source_end(self->source);
}

TEST_F(yama3, what_was_opened_before_stays)
{
	char *at;

	if (!before.source)
		SKIP(return, "the scope was 3 before the test began");
	yama_set(3);
	EXPECT_EQ(EACCES, ask(before.source->pid));
	at = mirror_again(&before.mirror, PROT_READ | PROT_WRITE);
	EXPECT_EQ(-1, pattern_differs(at, SIZE, SEED));
	EXPECT_EQ(0, view_add(before.mirror.ctrl, before.mirror.address, SIZE,
			      PAGE_SIZE, 0));
}

TEST_F(yama3, nobody_may_see_anybody)
{
	yama_set(3);
	EXPECT_EQ(EACCES, ask(self->source->pid));
	EXPECT_EQ(EACCES, ask_as(USER, self->source->pid));
	EXPECT_EQ(EACCES, ask_as(NOBODY, self->source->pid));
}

TEST_F(yama3, a_process_may_see_itself)
{
	yama_set(3);
	EXPECT_EQ(0, ask(getpid()));
}

TEST_F(yama3, a_source_may_lend_itself)
{
	yama_set(3);
	EXPECT_EQ(0, lend_to_nobody(self->source, self->memory, SIZE, SEED));
}

int main(int argc, char **argv)
{
	int result;

	if (has_yama() && number_read(YAMA) != 3)
		open_before();
	result = test_harness_run(argc, argv);
	if (before.source)
		source_end(before.source);
	return result;
}

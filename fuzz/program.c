// SPDX-License-Identifier: GPL-2.0
/*
 * Programs: made up, changed, written and read as text.
 *
 * Invariant: whatever is done to it, a program is one that can be run, and its
 * text is read as the same program again.
 */
#include <inttypes.h>
#include <linux/remote_mapping.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"

/* ---- chance ----------------------------------------------------------------------- */

static uint64_t chance_state = 1;

void chance_seed(uint64_t seed)
{
	chance_state = seed * 0x9e3779b97f4a7c15ULL + 0x1234567;
}

/* splitmix64 */
static uint64_t chance_next(void)
{
	uint64_t value = chance_state += 0x9e3779b97f4a7c15ULL;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
	return value ^ value >> 31;
}

uint64_t chance(uint64_t below)
{
	return below ? chance_next() % below : 0;
}

bool one_in(unsigned int n)
{
	return !chance(n);
}

#define ONE_OF(array) ((array)[chance(ARRAY_SIZE(array))])

/* ---- arguments --------------------------------------------------------------------- */

/* Few places in it, so that what calls do meets. */
static uint64_t area_make(void)
{
	static const uint64_t pages[] = { 0,  0,  0,   0,   1,	 2,  15,
					  16, 64, 255, 256, 510, 511 };
	uint64_t at = ARENA + chance(one_in(3) ? 8 : 3) * HUGE_SIZE;

	at += ONE_OF(pages) * PAGE_SIZE;
	if (one_in(20))
		at += chance(PAGE_SIZE);
	return at;
}

static uint64_t address_make(void)
{
	static const uint64_t odd[] = {
		0,	    PAGE_SIZE,		0x7ffffffff000, 0x7fffffffe000,
		1ULL << 47, 1ULL << 56,		1ULL << 63,	-PAGE_SIZE,
		-1ULL,	    0xffffffff80000000,
	};

	return one_in(12) ? ONE_OF(odd) : area_make();
}

static uint64_t length_make(void)
{
	static const uint64_t pages[] = { 1,   1,   1,	  2,	4,
					  16,  64,  511,  512,	512,
					  512, 513, 1024, 1024, 1536 };
	static const uint64_t odd[] = {
		0,	    1,		8,	    4095,	    4097,
		1ULL << 30, 1ULL << 39, 1ULL << 47, 0x7ffffffff000, 1ULL << 63,
		-PAGE_SIZE, -1ULL,
	};

	return one_in(12) ? ONE_OF(odd) : ONE_OF(pages) * PAGE_SIZE;
}

static uint64_t offset_make(void)
{
	static const uint64_t odd[] = {
		OFFSET_CURRENT, ARENA,	       ARENA + HUGE_SIZE, 1ULL << 40,
		1ULL << 62,	INT64_MAX,     INT64_MAX - 4094,  -PAGE_SIZE,
		1ULL << 63,	PAGE_SIZE - 8,
	};

	return one_in(8) ? ONE_OF(odd) : area_make() - ARENA;
}

static uint64_t number_make(void)
{
	static const uint64_t odd[] = {
		2,  3,	4,   7,		31,	    32,
		33, 40, 255, PAGE_SIZE, UINT32_MAX, 1ULL << 31
	};

	if (one_in(6))
		return ONE_OF(odd);
	return one_in(3) ? chance(6) : chance(2);
}

static unsigned int nr_words(const struct word *words)
{
	unsigned int nr = 0;

	while (words[nr].name)
		nr++;
	return nr;
}

static uint64_t word_make(const struct word *words)
{
	unsigned int nr = nr_words(words);

	/* The first is the ordinary one. */
	if (one_in(60))
		return chance(1 << 16);
	return words[one_in(4) ? 0 : chance(nr)].value;
}

static uint64_t flags_make(const struct word *words)
{
	unsigned int i, nr = nr_words(words);
	uint64_t flags = 0;

	if (one_in(40))
		return 1ULL << chance(32);
	for (i = 0; i < nr; i++)
		if (one_in(i ? 3 : 2))
			flags |= words[i].value;
	return flags;
}

/* A place that a call before has left such a file in, for that process */
static uint64_t place_find(const struct program *program, unsigned int before,
			   unsigned int process, enum file_kind kind)
{
	unsigned int i, j, nr = 0;
	uint64_t found = chance(PLACES);

	if (one_in(25))
		return found;
	for (i = 0; i < before; i++) {
		const struct call *call = &program->calls[i];
		const struct arg_type *type = call_types[call->type].args;

		if (actor_process(call->actor) != process)
			continue;
		for (j = 0; j < ARGS_MAX && type[j].kind; j++)
			if (type[j].kind == ARG_OUT &&
			    (kind == FILE_ANY || type[j].file == kind) &&
			    one_in(++nr))
				found = call->args[j];
	}
	/* A ctrl file will do for many calls, and a memfd. */
	if (!nr && kind != FILE_ANY && before)
		return place_find(program, before, process, FILE_ANY);
	return found;
}

static uint64_t arg_make(const struct program *program, unsigned int at,
			 const struct call *call, const struct arg_type *type)
{
	switch (type->kind) {
	case ARG_FILE:
		return place_find(program, at, actor_process(call->actor),
				  type->file);
	case ARG_OUT:
		return chance(PLACES);
	case ARG_AREA:
		return area_make();
	case ARG_ADDRESS:
		return address_make();
	case ARG_LENGTH:
		return length_make();
	case ARG_OFFSET:
		return offset_make();
	case ARG_BUFFER:
		return one_in(10) ? address_make() : 0;
	case ARG_FLAGS:
		return flags_make(type->words);
	case ARG_WORD:
		return word_make(type->words);
	case ARG_NUMBER:
		return number_make();
	default:
		return 0;
	}
}

/* What is the same in most calls that get anywhere */
static void call_tune(struct call *call)
{
	uint64_t *a = call->args;

	if (call_types[call->type].make == call_open) {
		if (!one_in(8))
			a[4] = sizeof(struct pidfd_mem_open);
		if (!one_in(8))
			a[6] = 0;
		if (!one_in(8))
			a[8] = 0;
	} else if (call_types[call->type].make == call_map) {
		if (!one_in(10))
			a[5] = 0;
		if (!one_in(4))
			a[2] = a[1] - ARENA;
	} else if (call_types[call->type].make == call_mirror) {
		if (!one_in(8))
			a[5] = 0x11; /* MAP_SHARED | MAP_FIXED */
		if (!one_in(8))
			a[4] &= 3;
		if (one_in(2))
			a[3] = a[1] - ARENA;
		if (one_in(12)) {
			a[1] = 0;
			a[5] &= ~0x10UL;
		}
	} else if (call_types[call->type].make == call_mmap) {
		if (!one_in(3))
			a[3] = 0x22; /* MAP_PRIVATE | MAP_ANONYMOUS */
		if (!one_in(4))
			a[2] = 3;
	} else if (call_types[call->type].make == call_lock) {
		if (!one_in(4))
			a[1] = 0;
	}
}

static unsigned int type_choose(void)
{
	unsigned int i, sum = 0;
	uint64_t at;

	for (i = 0; i < nr_call_types; i++)
		sum += call_types[i].weight;
	at = chance(sum);
	for (i = 0; at >= call_types[i].weight; i++)
		at -= call_types[i].weight;
	return i;
}

static unsigned int actor_choose(enum side side)
{
	if (one_in(10))
		side = SIDE_BOTH;
	switch (side) {
	case SIDE_VIEWER:
		return one_in(3) ? chance(THREADS) : ACTOR_T0;
	case SIDE_SOURCE:
		return one_in(5) ? ACTOR_S1 : ACTOR_S0;
	default:
		return one_in(2) ? actor_choose(SIDE_VIEWER) :
				   actor_choose(SIDE_SOURCE);
	}
}

static void call_make(const struct program *program, unsigned int at,
		      struct call *call, bool failures)
{
	const struct arg_type *type;
	unsigned int i;

	memset(call, 0, sizeof(*call));
	call->type = type_choose();
	call->actor = actor_choose(call_types[call->type].side);
	call->async = one_in(3);
	call->repeat = one_in(8) ? 2 + chance(8) : 1;
	if (failures && one_in(6))
		call->fail = 1 + chance(12);
	type = call_types[call->type].args;
	for (i = 0; i < ARGS_MAX && type[i].kind; i++)
		call->args[i] = arg_make(program, at, call, &type[i]);
	call_tune(call);
}

/* ---- whole programs ------------------------------------------------------------------ */

static bool program_insert(struct program *program, unsigned int at,
			   const struct call *call)
{
	if (program->nr >= CALLS_MAX || at > program->nr)
		return false;
	memmove(&program->calls[at + 1], &program->calls[at],
		(program->nr - at) * sizeof(*call));
	program->calls[at] = *call;
	program->nr++;
	return true;
}

void program_remove(struct program *program, unsigned int at)
{
	program->nr--;
	memmove(&program->calls[at], &program->calls[at + 1],
		(program->nr - at) * sizeof(program->calls[0]));
}

static void append_text(struct program *program, const char *text)
{
	FILE *from = fmemopen((void *)text, strlen(text), "r");
	struct program more;
	char why[128];
	unsigned int i;

	if (!from || !program_parse(&more, from, why, sizeof(why)))
		abort();
	fclose(from);
	for (i = 0; i < more.nr; i++)
		program_insert(program, program->nr, &more.calls[i]);
}

/* A source with memory, and a viewer of it: most programs begin so. */
static void program_begin(struct program *program)
{
	static const char *const memory[] = {
		"s0 mmap at=a+0 length=0x600000 prot=READ|WRITE flags=PRIVATE|ANONYMOUS file=f0 offset=0\n",
		"s0 mmap at=a+0 length=0x600000 prot=READ|WRITE flags=PRIVATE|ANONYMOUS file=f0 offset=0\n"
		"s0 madvise at=a+0 length=0x600000 advice=HUGEPAGE\n",
		"s0 mmap at=a+0 length=0x600000 prot=READ|WRITE flags=SHARED|ANONYMOUS file=f0 offset=0\n",
		"s0 memfd file=f0 flags=0 length=0x600000\n"
		"s0 mmap at=a+0 length=0x600000 prot=READ|WRITE flags=SHARED file=f0 offset=0\n",
		"s0 file file=f0 length=0x600000\n"
		"s0 mmap at=a+0 length=0x600000 prot=READ|WRITE flags=SHARED file=f0 offset=0\n",
		"s0 memfd file=f0 flags=HUGETLB length=0x600000\n"
		"s0 mmap at=a+0 length=0x600000 prot=READ|WRITE flags=SHARED file=f0 offset=0\n",
		"s0 mmap at=a+0 length=0x400000 prot=READ|WRITE flags=PRIVATE|ANONYMOUS|HUGETLB file=f0 offset=0\n",
	};
	static const char *const context[] = {
		"t0 device file=f0 mode=RDWR\n"
		"t0 mem file=f1 who=s0 mode=RDWR\n"
		"t0 open device=f0 mem=f1 ctrl=f2 map=f3 size=32 flags=0 reserved=0 struct=0 tail=0\n"
		"t0 map ctrl=f2 address=a+0 offset=0 size=0x600000 flags=0 padding=0 struct=0\n"
		"t0 mirror file=f3 at=a+0 length=0x600000 offset=0 prot=READ|WRITE flags=SHARED|FIXED\n",
		"t0 device file=f0 mode=RDWR\n"
		"t0 mem file=f1 who=s0 mode=RDWR\n"
		"t0 open device=f0 mem=f1 ctrl=f2 map=f3 size=32 flags=0 reserved=0 struct=0 tail=0\n"
		"t0 map ctrl=f2 address=a+0 offset=0x200000 size=0x400000 flags=RESIDENT padding=0 struct=0\n"
		"t0 mirror file=f3 at=a+0 length=0x400000 offset=0x200000 prot=READ|WRITE flags=SHARED|FIXED\n",
		"t0 device file=f3 mode=RDWR\n"
		"t0 proc_map device=f3 who=s0\n"
		"t0 mirror file=f3 at=a+0 length=0x600000 offset=0x10000000000 prot=READ|WRITE flags=SHARED|FIXED\n",
	};

	append_text(program, ONE_OF(memory));
	if (!one_in(3))
		append_text(
			program,
			"s0 access at=a+0 length=0x600000 stride=0x10000 how=WRITE\n");
	append_text(program, context[one_in(2) ? 0 : chance(3)]);
	if (!one_in(3))
		append_text(
			program,
			"t0 access at=a+0 length=0x600000 stride=0x10000 how=READ\n");
}

void program_generate(struct program *program, bool failures)
{
	unsigned int i, nr = 8 + chance(32);
	struct call call;

	program->nr = 0;
	if (!one_in(10))
		program_begin(program);
	for (i = 0; i < nr; i++) {
		call_make(program, program->nr, &call, failures);
		if (!program_insert(program, program->nr, &call))
			return;
	}
}

/* Change one argument: anew, or by a little. */
static void mutate_argument(struct program *program, unsigned int at)
{
	struct call *call = &program->calls[at];
	const struct arg_type *type = call_types[call->type].args;
	unsigned int nr = 0, i;

	while (nr < ARGS_MAX && type[nr].kind)
		nr++;
	if (!nr)
		return;
	i = chance(nr);
	switch (one_in(3) ? type[i].kind : ARG_END) {
	case ARG_AREA:
	case ARG_ADDRESS:
	case ARG_LENGTH:
	case ARG_OFFSET:
		call->args[i] += one_in(2) ? PAGE_SIZE : -PAGE_SIZE;
		break;
	case ARG_FLAGS:
		call->args[i] ^=
			type[i].words[chance(nr_words(type[i].words))].value;
		break;
	default:
		call->args[i] = arg_make(program, at, call, &type[i]);
		break;
	}
}

static void mutate_manner(struct program *program, unsigned int at,
			  bool failures)
{
	struct call *call = &program->calls[at];

	switch (chance(failures ? 4 : 3)) {
	case 0:
		call->async = !call->async;
		break;
	case 1:
		call->repeat = one_in(2) ? 1 : 2 + chance(16);
		break;
	case 2:
		call->actor = actor_choose(SIDE_BOTH);
		break;
	default:
		call->fail = one_in(3) ? 0 : 1 + chance(20);
		break;
	}
}

/* The end of another program behind the beginning of this one */
static void mutate_splice(struct program *program, const struct program *other)
{
	unsigned int i, cut = 1 + chance(program->nr);

	if (!other->nr)
		return;
	program->nr = cut;
	for (i = chance(other->nr); i < other->nr; i++)
		if (!program_insert(program, program->nr, &other->calls[i]))
			return;
}

static void mutate_once(struct program *program, const struct program *other,
			bool failures)
{
	unsigned int at = chance(program->nr);
	struct call call;

	switch (chance(12)) {
	case 0:
	case 1:
	case 2:
		at = one_in(2) ? program->nr : chance(program->nr + 1);
		call_make(program, at, &call, failures);
		program_insert(program, at, &call);
		break;
	case 3:
		if (program->nr > 1)
			program_remove(program, at);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		mutate_argument(program, at);
		break;
	case 8:
	case 9:
		mutate_manner(program, at, failures);
		break;
	case 10:
		call = program->calls[at];
		program_insert(program, chance(program->nr + 1), &call);
		break;
	default:
		mutate_splice(program, other);
		break;
	}
}

void program_mutate(struct program *program, const struct program *other,
		    bool failures)
{
	unsigned int times = 1 + chance(4);

	while (times--)
		mutate_once(program, other, failures);
}

/* ---- as text ------------------------------------------------------------------------- */

static const char *const actor_names[ACTORS] = { "t0", "t1", "t2", "s0", "s1" };

static void print_flags(FILE *to, const struct word *words, uint64_t value)
{
	bool first = true;

	for (; words->name; words++) {
		if (!words->value || (value & words->value) != words->value)
			continue;
		fprintf(to, "%s%s", first ? "" : "|", words->name);
		value &= ~words->value;
		first = false;
	}
	if (value || first)
		fprintf(to, "%s%#" PRIx64, first ? "" : "|", value);
}

static void print_number(FILE *to, uint64_t value)
{
	fprintf(to, value < 256 ? "%" PRIu64 : "%#" PRIx64, value);
}

static void print_argument(FILE *to, const struct arg_type *type,
			   uint64_t value)
{
	const struct word *word;

	fprintf(to, " %s=", type->name);
	switch (type->kind) {
	case ARG_FILE:
	case ARG_OUT:
		fprintf(to, "f%" PRIu64, value % PLACES);
		return;
	case ARG_FLAGS:
		print_flags(to, type->words, value);
		return;
	case ARG_WORD:
		for (word = type->words; word->name; word++)
			if (word->value == value) {
				fputs(word->name, to);
				return;
			}
		break;
	case ARG_AREA:
	case ARG_ADDRESS:
	case ARG_BUFFER:
		if (value - ARENA <= ARENA_SIZE) {
			fprintf(to, "a+%#" PRIx64, value - ARENA);
			return;
		}
		break;
	default:
		break;
	}
	print_number(to, value);
}

void program_print(const struct program *program, FILE *to)
{
	unsigned int i, j;

	for (i = 0; i < program->nr; i++) {
		const struct call *call = &program->calls[i];
		const struct call_type *type = &call_types[call->type];

		fprintf(to, "%s ", actor_names[call->actor]);
		if (call->async)
			fputs("& ", to);
		if (call->repeat > 1)
			fprintf(to, "*%u ", call->repeat);
		if (call->fail)
			fprintf(to, "!%u ", call->fail);
		fputs(type->name, to);
		for (j = 0; j < ARGS_MAX && type->args[j].kind; j++)
			print_argument(to, &type->args[j], call->args[j]);
		fputc('\n', to);
	}
}

static bool parse_words(const char *text, const struct word *words,
			uint64_t *value)
{
	const struct word *word;
	size_t length;
	char *end;

	*value = 0;
	for (;; text += length + 1) {
		length = strcspn(text, "|");
		for (word = words; word->name; word++)
			if (strlen(word->name) == length &&
			    !strncmp(word->name, text, length))
				break;
		if (word->name) {
			*value |= word->value;
		} else {
			*value |= strtoull(text, &end, 0);
			if (end != text + length || !length)
				return false;
		}
		if (!text[length])
			return true;
	}
}

static bool parse_value(const char *text, const struct arg_type *type,
			uint64_t *value)
{
	uint64_t base = 0;
	char *end;

	if (type->kind == ARG_FLAGS || type->kind == ARG_WORD)
		return parse_words(text, type->words, value);
	if (type->kind == ARG_FILE || type->kind == ARG_OUT) {
		if (*text++ != 'f')
			return false;
	} else if (!strncmp(text, "a+", 2)) {
		base = ARENA;
		text += 2;
	}
	*value = base + strtoull(text, &end, 0);
	return end != text && !*end;
}

/* NAME=VALUE, in the order of the table */
static bool parse_arguments(struct call *call, char **rest)
{
	const struct arg_type *type = call_types[call->type].args;
	size_t length;
	unsigned int i;
	char *word;

	for (i = 0; i < ARGS_MAX && type[i].kind; i++) {
		word = strtok_r(NULL, " \t\n", rest);
		length = strlen(type[i].name);
		if (!word || strncmp(word, type[i].name, length) ||
		    word[length] != '=' ||
		    !parse_value(word + length + 1, &type[i], &call->args[i]))
			return false;
	}
	return !strtok_r(NULL, " \t\n", rest);
}

static bool parse_call(struct call *call, char *line)
{
	char *rest, *word = strtok_r(line, " \t\n", &rest);

	memset(call, 0, sizeof(*call));
	call->repeat = 1;
	while (call->actor < ACTORS &&
	       (!word || strcmp(word, actor_names[call->actor])))
		call->actor++;
	if (call->actor == ACTORS)
		return false;
	while ((word = strtok_r(NULL, " \t\n", &rest))) {
		if (*word == '&')
			call->async = true;
		else if (*word == '*')
			call->repeat = strtoul(word + 1, NULL, 10);
		else if (*word == '!')
			call->fail = strtoul(word + 1, NULL, 10);
		else
			break;
	}
	if (!word || !call->repeat)
		return false;
	while (call->type < nr_call_types &&
	       strcmp(word, call_types[call->type].name))
		call->type++;
	return call->type < nr_call_types && parse_arguments(call, &rest);
}

bool program_parse(struct program *program, FILE *from, char *why, size_t size)
{
	char line[1024], copy[1024];
	unsigned int number = 0;

	program->nr = 0;
	while (fgets(line, sizeof(line), from)) {
		number++;
		if (line[strspn(line, " \t\n")] == 0 || line[0] == '#')
			continue;
		strcpy(copy, line);
		if (program->nr == CALLS_MAX) {
			snprintf(why, size, "line %u: more than %u calls",
				 number, CALLS_MAX);
			return false;
		}
		if (!parse_call(&program->calls[program->nr], copy)) {
			snprintf(why, size, "line %u is not understood: %.80s",
				 number, line);
			return false;
		}
		program->nr++;
	}
	if (!program->nr)
		snprintf(why, size, "there is no call");
	return program->nr;
}

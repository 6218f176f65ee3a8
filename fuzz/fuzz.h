/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fuzzer: what its parts share.
 *
 * A *program* is a list of calls, one a line of text, each made by an *actor*:
 * a thread of the viewer (t0, t1, t2) or a source (s0, s1), which are processes
 * that may view as well. What calls make they leave in numbered places, so that
 * any call can be taken out and the rest still means something. All memory that
 * calls are about lies in the arena, at the same address in every process.
 *
 * Calls are made in order, each after the one before it has returned; behind one
 * marked & the next is begun at once.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define PAGE_SIZE 0x1000UL
#define HUGE_SIZE 0x200000UL
#define ARENA 0x10000000000UL
#define ARENA_SIZE (16 * HUGE_SIZE)

enum actor { ACTOR_T0, ACTOR_T1, ACTOR_T2, ACTOR_S0, ACTOR_S1, ACTORS };
#define THREADS 3U
/* The viewer and each source have places for files of their own. */
#define PROCESSES 3U
#define PLACES 12U

#define CALLS_MAX 64U
#define ARGS_MAX 10U

/* ---- what calls there are ---------------------------------------------------- */

enum arg_kind {
	ARG_END,
	ARG_FILE, /* a place, f0 to f11, of the caller's process */
	ARG_OUT, /* the same, where the call leaves a file */
	ARG_AREA, /* an address in the arena; a call elsewhere is not made */
	ARG_ADDRESS, /* an address, or what never was one */
	ARG_LENGTH, /* in bytes, mostly pages */
	ARG_OFFSET, /* in a file */
	ARG_BUFFER, /* where a call's struct is: 0, the program's own memory */
	ARG_FLAGS, /* words, joined by | */
	ARG_WORD, /* one word */
	ARG_NUMBER, /* mostly 0 */
};

/* What a file is, for those who look for one that fits. */
enum file_kind {
	FILE_ANY,
	FILE_DEVICE,
	FILE_MEM,
	FILE_CTRL,
	FILE_MAP,
	FILE_MEMORY,
	FILE_USERFAULT,
};

struct word {
	const char *name;
	uint64_t value;
};

struct arg_type {
	const char *name;
	enum arg_kind kind;
	enum file_kind file;
	const struct word *words;
};

/* Who makes a call, mostly. */
enum side { SIDE_VIEWER = 1, SIDE_SOURCE = 2, SIDE_BOTH = 3 };

struct call_type {
	const char *name;
	unsigned int weight;
	enum side side;
	struct arg_type args[ARGS_MAX];
	/* Returns what the system call did: not negative, or -errno. */
	long (*make)(const uint64_t *args);
};

extern const struct call_type call_types[];
extern const unsigned int nr_call_types;

/* ---- programs ------------------------------------------------------------------ */

struct call {
	unsigned short type;
	unsigned char actor;
	bool async;
	unsigned short repeat; /* how often, at least 1 */
	unsigned short fail; /* which allocation of it fails; 0: none */
	uint64_t args[ARGS_MAX];
};

struct program {
	unsigned int nr;
	struct call calls[CALLS_MAX];
};

uint64_t chance(uint64_t below);
bool one_in(unsigned int n);
void chance_seed(uint64_t seed);

/* failures: whether calls may have one of their allocations fail */
void program_generate(struct program *program, bool failures);
void program_mutate(struct program *program, const struct program *other,
		    bool failures);
void program_remove(struct program *program, unsigned int at);

/* One call a line; what begins with # is passed over. */
void program_print(const struct program *program, FILE *to);
/* False, and why, if a line is not understood. */
bool program_parse(struct program *program, FILE *from, char *why, size_t size);

/* ---- running one ------------------------------------------------------------- */

/* Edges of the module's code, hashed; without KCOV, calls and their results. */
#define SIGNAL_BITS (1U << 18)
#define SIGNAL_WORDS (SIGNAL_BITS / 64)
/* A bit for each byte of the module where something ran. */
#define TEXT_BYTES (1U << 20)
#define TEXT_WORDS (TEXT_BYTES / 64)

struct actor_state {
	uint32_t asked; /* counts the calls that it was given */
	uint32_t done; /* counts those that it has made */
	uint32_t call; /* the one that it is given */
	uint32_t gone; /* it makes none any more */
	pid_t pid;
	pid_t child; /* the last that it forked */
};

/* Shared by the fuzzer and all that runs a program. */
struct shared {
	struct actor_state actors[ACTORS];
	pid_t viewer;
	uint64_t made; /* calls */
	int32_t results[CALLS_MAX];
	uint64_t signal[SIGNAL_WORDS];
	uint64_t text[TEXT_WORDS];
};

extern struct shared *shared;

/* Where the calls are made from. */
extern __thread enum actor current_actor;
/* Sockets to hand files over, one pair for each process. */
extern int channels[PROCESSES][2];

unsigned int actor_process(enum actor actor);
/* Run what may fault; the signal that it raised, or 0. */
int guarded(void (*work)(void *), void *argument);
/* In a new source: nobody's files are its own. */
void places_clear(void);

/* Whether coverage can be had; sets up what runs need. */
bool execute_init(void);
/* In the child that runs it; does not return. */
void execute(const struct program *program) __attribute__((noreturn));

#endif /* FUZZ_H */

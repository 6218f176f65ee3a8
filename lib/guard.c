// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A guard: what is not there ends a function instead of the process.
 *
 * Invariants: a thread's guards are a list that its handler can read at any
 * instruction; a guard is in it while its frame is on the stack and no longer.
 * A SIGBUS that no guard of its thread is for has the effect that it would have
 * without the handler.
 */
#include "internal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef SS_AUTODISARM /* <linux/signal.h>, which <signal.h> excludes */
#define SS_AUTODISARM (1U << 31)
#endif

struct guard {
	struct guard *outer;
	uintptr_t start;
	size_t length;
	void *where; /* what was not there */
	sigjmp_buf jump;
};

/* Reached without a call that may allocate, also in a library opened later */
static __thread struct guard *innermost
	__attribute__((tls_model("initial-exec")));

/* Who had SIGBUS before; constant once the handler is installed, except for one
 * with SA_RESETHAND
 */
static struct sigaction before;

/* ---- a signal that is not for a guard ------------------------------------ */

/*
 * Raised by an instruction, which cannot go on: nobody can ignore that. The
 * kernel also tells of memory that has failed and nobody has touched yet
 * (BUS_MCEERR_AO).
 */
static bool is_fault(const siginfo_t *info)
{
	return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

/*
 * End as without a handler: the same signal is delivered again, at the
 * instruction that raised it, where the handler's return goes on with its mask.
 */
static void end_by_default(const siginfo_t *info)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	siginfo_t again = *info;
	sigset_t bus;

	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &bus, NULL);
	sigaction(SIGBUS, &action, NULL);
	syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid),
		SIGBUS, &again);
}

static void call_before(const struct sigaction *action, siginfo_t *info,
			void *context)
{
	sigset_t mask = action->sa_mask;

	/* As the kernel would have; the return from our handler undoes it. */
	if (!(action->sa_flags & SA_NODEFER))
		sigaddset(&mask, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(SIGBUS, info, context);
	else
		action->sa_handler(SIGBUS);
}

static void pass_on(siginfo_t *info, void *context)
{
	struct sigaction action = before;

	if (action.sa_flags & SA_SIGINFO ||
	    (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)) {
		if (action.sa_flags & (int)SA_RESETHAND) {
			before.sa_flags = 0;
			before.sa_handler = SIG_DFL;
		}
		call_before(&action, info, context);
	} else if (action.sa_handler == SIG_DFL || is_fault(info)) {
		end_by_default(info);
	}
}

/* ---- the handler --------------------------------------------------------- */

static struct guard *guard_for(const siginfo_t *info)
{
	struct guard *guard = innermost;

	if (!is_fault(info))
		return NULL;
	while (guard &&
	       (uintptr_t)info->si_addr - guard->start >= guard->length)
		guard = guard->outer;
	return guard;
}

static void handle(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	struct guard *guard = guard_for(info);
	int error = errno;

	(void)signal;
	if (!guard) {
		pass_on(info, context);
		errno = error;
		return;
	}
	/* The return that would give the stack back is not taken. */
	if (interrupted->uc_stack.ss_flags & (int)SS_AUTODISARM)
		sigaltstack(&interrupted->uc_stack, NULL);
	guard->where = info->si_addr;
	siglongjmp(guard->jump, 1);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_error;

static void handler_install(void)
{
	struct sigaction action = { .sa_sigaction = handle };

	/* It is known before the handler can need it. */
	if (sigaction(SIGBUS, NULL, &before)) {
		install_error = -errno;
		return;
	}
	/*
	 * The mask in the handler is that of the code it interrupts: so is an
	 * earlier handler's, with what it asks for. A signal that is ignored
	 * interrupts no system call.
	 */
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
	if (before.sa_flags & SA_RESTART || before.sa_handler == SIG_IGN)
		action.sa_flags |= SA_RESTART;
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, NULL))
		install_error = -errno;
}

static int handler_ensure(void)
{
	KEEP_ERRNO;

	pthread_once(&once, handler_install);
	return install_error;
}

/* ---- guards -------------------------------------------------------------- */

/* A fault while its signal is blocked would end the process. */
static void bus_unblock(sigset_t *mask)
{
	sigset_t bus;

	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, mask);
}

static int guard_run(struct guard *guard, int (*function)(void *argument),
		     void *argument, int *value)
{
	sigset_t mask;

	bus_unblock(&mask);
	guard->outer = innermost;
	if (sigsetjmp(guard->jump, 0)) {
		/* An inner guard's frame is gone, too. */
		innermost = guard->outer;
		pthread_sigmask(SIG_SETMASK, &mask, NULL);
		return -EFAULT;
	}
	innermost = guard;
	/* The handler sees it from here to there. */
	atomic_signal_fence(memory_order_seq_cst);
	*value = function(argument);
	atomic_signal_fence(memory_order_seq_cst);
	innermost = guard->outer;
	if (sigismember(&mask, SIGBUS) == 1) {
		sigset_t bus;

		sigemptyset(&bus);
		sigaddset(&bus, SIGBUS);
		pthread_sigmask(SIG_BLOCK, &bus, NULL);
	}
	return 0;
}

/*
 * All pages that the range touches: a vector load of its first byte may begin
 * before it. False if it wraps.
 */
static bool guard_range(struct guard *guard, uintptr_t start, size_t length)
{
	uintptr_t page = page_size(), skip = start & (page - 1);

	if (length > UINTPTR_MAX - start)
		return false;
	guard->start = start - skip;
	guard->length = length ? (length + skip + page - 1) & -page : 0;
	return true;
}

EXPORTED int remotemap_guard(const void *mirror, size_t length,
			     int (*function)(void *argument), void *argument,
			     int *result, void **where)
{
	struct guard guard;
	int err, value;

	if (!function)
		return -EFAULT;
	if (!guard_range(&guard, (uintptr_t)mirror, length))
		return -EINVAL;
	err = handler_ensure();
	if (err)
		return err;
	err = guard_run(&guard, function, argument, &value);
	/* The page's beginning may be before what was asked for. */
	if (err && where)
		*where = guard.where > mirror ? guard.where : (void *)mirror;
	if (!err && result)
		*result = value;
	return err;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Mirrors: mappings of the map file, and the faults that fill them.
 *
 * Invariant: a fault holds no lock of the viewer while it waits for the
 * source. What can be had at once is had with the viewer's mmap_lock held (the
 * source's is only tried, its page tables are only looked at, an anonymous
 * page is faulted in without waiting). All else is waited for with no lock
 * held, and the access is then tried again from the start, whatever came of
 * it: VM_FAULT_RETRY is the only answer the core takes without its lock.
 *
 * Pages enter as special page-table entries of a VM_PFNMAP VMA: no reference,
 * no rmap, no rss, and get_user_pages() and HMM refuse them. So a mirror of a
 * mirror cannot be, and the source's pages weigh what they weighed.
 *
 * A read fault lets a page enter read-only, even if the mirror may be written:
 * to look must not break copy-on-write or KSM of the source. The write then
 * comes to pfn_mkwrite. An anonymous page that the source itself may write now
 * is the exception: it is the source's alone.
 *
 * Huge pages are those of 2 MiB, giant ones those of 1 GiB, which only hugetlb
 * has.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/hmm.h>
#include <linux/hash.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>

#include "compat.h"
#include "remote_mapping.h"
#include "trace.h"

/* Huge pages are those that one PMD maps: one block. */
static_assert(BLOCK_PAGES == 1UL << PMD_ORDER);

/* Giant pages are those that one PUD maps. */
#define GIANT_PAGES BIT(PUD_ORDER)

/*
 * How many pages one fault may map: by default, and at most; and by default in a
 * 2 MiB that nothing was touched of yet, nor the page before, for those who only
 * want one look.
 */
#define WINDOW_PAGES 64UL
#define WINDOW_FIRST 16UL
#define WINDOW_MAX BLOCK_PAGES

/* How often a fault looks again at once when the source keeps changing. */
#define LOOKS_MAX 4

/**
 * struct look - one fault's look at the source
 * @vmf: the fault; its VMA is not to be used once the viewer's lock is dropped
 * @view: what backs the page, with a reference
 * @mm: the source, with mm_users held
 * @address: of the page, in the source
 * @write: the access is a write
 * @may_write: this VMA and this view and the source's VMA may be written
 * @start: of the window, in the viewer
 * @target: the page's index in the window
 * @nr: of pages in the window
 * @pfns: what HMM saw there
 * @room: for how many pages @pfns has room
 * @block: holds the bits of all of the window
 * @pages: the context's bits in it
 * @since: what of the source's invalidations had ended before the look
 * @upgrade: the page is there, but not for writing
 * @entered: how many pages entered the mirror
 * @giant: a giant page is to enter, or nothing
 * @small: it is no huge page after all
 * @barred: something that is no page is in the viewer's page table
 * @few: room for @pfns of a window of the default size
 */
struct look {
	struct vm_fault *vmf;
	struct view *view;
	struct mm_struct *mm;
	unsigned long address;
	bool write;
	bool may_write;
	unsigned long start;
	unsigned long target;
	unsigned long nr;
	unsigned long *pfns;
	unsigned long room;
	struct block *block;
	unsigned long *pages;
	unsigned long since;
	unsigned int entered;
	bool upgrade;
	bool giant;
	bool small;
	bool barred;
	unsigned long few[WINDOW_PAGES];
};

/* What to do when the source cannot be seen at once; no VM_FAULT_ code. */
#define LOOK_AGAIN ((__force vm_fault_t)0x40000000)
#define LOOK_WAIT ((__force vm_fault_t)0x20000000)
/* The source has a giant page there. */
#define LOOK_GIANT ((__force vm_fault_t)0x10000000)

/* ---- what may be seen ------------------------------------------------------ */

/* As /proc/PID/mem, without its FOLL_FORCE. */
bool source_may_read(const struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_READ) ||
	    vma->vm_flags & (VM_IO | VM_PFNMAP))
		return false;
	if (!compat_vma_is_cached(vma))
		return false;
	/* memfd_secret: not in the kernel's own mapping, nor in another's. */
	return !vma->vm_file ||
	       file_inode(vma->vm_file)->i_sb->s_magic != SECRETMEM_MAGIC;
}

bool source_may_write(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_WRITE && !compat_vma_is_shadow_stack(vma);
}

/*
 * Whether a fault of the source here waits for nobody but the kernel itself
 * with FAULT_FLAG_RETRY_NOWAIT. A file's may wait for a filesystem's
 * page_mkwrite, or for a page to be read; a hugetlb page's for its mutex.
 */
bool source_is_prompt(struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma);
}

/* Whether the source's pages are giant ones. */
static bool source_is_giant(struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_HUGETLB &&
	       vma_kernel_pagesize(vma) == PUD_SIZE;
}

/*
 * Pages of device memory are the device's affair. Called when the look still
 * holds: HMM reads some entries without a lock, and what it makes of one that
 * changes meanwhile may be no page at all.
 */
static bool pfn_is_ram(unsigned long entry)
{
	return !is_zone_device_page(hmm_pfn_to_page(entry));
}

/* The errors of a fault of the source, as the viewer gets them. */
static vm_fault_t source_error(vm_fault_t ret)
{
	if (ret & VM_FAULT_OOM)
		return VM_FAULT_OOM;
	if (ret & (VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE))
		return VM_FAULT_HWPOISON;
	return VM_FAULT_SIGBUS;
}

/* ---- waiting for the source ------------------------------------------------ */

/* Fault the page in at the source, and wait for it. Called with no lock. */
static vm_fault_t source_fault(struct mm_struct *mm, unsigned long address,
			       bool write, unsigned int flags)
{
	struct vm_area_struct *vma;
	vm_fault_t ret;

	flags |= FAULT_FLAG_REMOTE | FAULT_FLAG_ALLOW_RETRY |
		 FAULT_FLAG_KILLABLE | (write ? FAULT_FLAG_WRITE : 0);
	if (mmap_read_lock_killable(mm))
		return VM_FAULT_RETRY;
	vma = vma_lookup(mm, address);
	if (!vma || !source_may_read(vma) || (write && !source_may_write(vma)))
		ret = VM_FAULT_SIGBUS;
	else
		ret = handle_mm_fault(vma, address, flags, NULL);
	/* Either of these says that the lock was dropped. */
	if (!(ret & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)))
		mmap_read_unlock(mm);
	return ret;
}

static struct failure *__failure(struct context *context)
{
	lockdep_assert_held(&context->watch->lock);
	return &context->failures[hash_ptr(current, ilog2(FAILURES))];
}

/* Forget what the task's last wait came to; its fault begins to wait anew. */
static void failure_clear(struct context *context)
{
	struct failure *failure;

	spin_lock(&context->watch->lock);
	context->counters.retries++;
	failure = __failure(context);
	if (failure->task == current)
		failure->task = NULL;
	spin_unlock(&context->watch->lock);
}

static void failure_note(struct context *context, unsigned long address,
			 vm_fault_t error)
{
	struct failure *failure;

	spin_lock(&context->watch->lock);
	failure = __failure(context);
	failure->task = current;
	failure->address = address;
	failure->error = error;
	spin_unlock(&context->watch->lock);
}

/* What this task's last wait for this page came to, if that was an error. */
static vm_fault_t failure_take(struct context *context, unsigned long address)
{
	struct failure *failure;
	vm_fault_t ret = 0;

	spin_lock(&context->watch->lock);
	failure = __failure(context);
	if (failure->task == current && failure->address == address) {
		failure->task = NULL;
		ret = failure->error;
	}
	spin_unlock(&context->watch->lock);
	return ret;
}

/*
 * A page that is in memory though HMM calls it absent: one with a NUMA hint, as
 * hugetlb never has. With a reference; nothing is faulted in. Called with the
 * source's mmap_lock: FOLL_FORCE is for kernels before 6.6, which otherwise heed
 * the hint, and what else it would allow is refused here.
 */
bool resident_page(struct mm_struct *mm, unsigned long address,
		   struct page **page)
{
	struct vm_area_struct *vma = vma_lookup(mm, address);

	return vma && source_may_read(vma) && !(vma->vm_flags & VM_HUGETLB) &&
	       get_user_pages_remote(mm, address & PAGE_MASK, 1,
				     FOLL_NOFAULT | FOLL_FORCE, page,
				     NULL) == 1;
}

/*
 * The page that the source has at address now, if it is in memory, to be read:
 * with a reference. Nothing is faulted in and nothing waited for. Called with
 * the source's mmap_lock.
 */
bool source_peek(struct context *context, unsigned long address,
		 struct page **page)
{
	struct vm_area_struct *vma = vma_lookup(context->mm, address);
	struct watch *watch = context->watch;
	unsigned long entry = 0, since;
	struct hmm_range range = {
		.notifier = &context->snapshot,
		.start = address & PAGE_MASK,
		.end = (address & PAGE_MASK) + PAGE_SIZE,
		.hmm_pfns = &entry,
	};
	bool holds;

	if (!vma || !source_may_read(vma))
		return false;
	since = watch_begin(watch);
	if (hmm_range_fault(&range))
		return false;
	if (!(entry & HMM_PFN_VALID))
		return resident_page(context->mm, address, page);
	/* If it was the source's all the time, it is so, and somebody has it. */
	spin_lock(&watch->lock);
	holds = __watch_holds(watch, since, range.start, range.end) &&
		pfn_is_ram(entry);
	if (holds) {
		*page = hmm_pfn_to_page(entry);
		folio_get(page_folio(*page));
	}
	spin_unlock(&watch->lock);
	return holds;
}

/* It is read as HMM reads, to be checked by the watch. */
static bool resident_peek(struct mm_struct *mm, unsigned long address,
			  unsigned long *entry)
{
	struct page *page;

	if (!resident_page(mm, address, &page))
		return false;
	*entry = page_to_pfn(page) | HMM_PFN_VALID;
	put_page(page);
	return true;
}

/* So long a migration may take, where processors are busy. */
#define MIGRATION_MS 100

/*
 * A page that migrates is away for a moment, and cannot be told from one that is
 * swapped out: before it is called a hole, see whether it comes back. Only if an
 * invalidation of such a kind has ended not long ago, as that of its migration
 * would have. Called with no lock.
 */
static vm_fault_t resident_wait(const struct look *look)
{
	struct watch *watch = look->view->context->watch;
	unsigned long cleared = READ_ONCE(watch->cleared);
	unsigned long end = cleared + msecs_to_jiffies(MIGRATION_MS);
	unsigned int delay_us = 50;
	unsigned long entry;
	bool late, there;

	for (;;) {
		late = !time_in_range(jiffies, cleared, end);
		if (mmap_read_lock_killable(look->mm))
			return VM_FAULT_RETRY;
		there = resident_peek(look->mm, look->address, &entry);
		mmap_read_unlock(look->mm);
		if (there)
			return 0;
		if (late || fatal_signal_pending(current))
			return VM_FAULT_SIGBUS;
		usleep_range(delay_us, 2 * delay_us);
		delay_us = min(2 * delay_us, 10000U);
	}
}

/*
 * Called with no lock, with mm_users of the source held: wait until it is not
 * in the midst of changing the page, and, if it may be made to, has the page.
 */
static vm_fault_t source_wait_for(const struct look *look,
				  unsigned int fault_flags)
{
	bool interruptible = fault_flags & FAULT_FLAG_USER;
	unsigned int flags = fault_flags & FAULT_FLAG_TRIED;

	/* A user's access goes on after a handled signal; a kernel's cannot. */
	if (interruptible)
		flags |= FAULT_FLAG_INTERRUPTIBLE;
	if (watch_settle(look->view->context->watch, look->address,
			 interruptible))
		return VM_FAULT_RETRY;
	if (look->view->flags & PIDFD_MEM_MAP_RESIDENT)
		return resident_wait(look);
	return source_fault(look->mm, look->address, look->write, flags);
}

/*
 * Drop the viewer's lock and wait for the source. The answer is always
 * VM_FAULT_RETRY, which ends the fault if a fatal signal came. An error is
 * noted: the retry, with its lock held, takes it from there.
 *
 * The file keeps the context and the module while the VMA may go.
 */
static vm_fault_t source_wait(struct look *look)
{
	struct context *context = look->view->context;
	struct vm_fault *vmf = look->vmf;
	unsigned int flags = vmf->flags;
	struct file *file;
	vm_fault_t ret;

	if (flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	/* No signal reaches a task that exits, and looks at its robust list. */
	if (current->flags & PF_EXITING)
		return VM_FAULT_SIGBUS;
	if (flags & FAULT_FLAG_VMA_LOCK) {
		/* The fault comes again with the mmap_lock, and then waits. */
		release_fault_lock(vmf);
		return VM_FAULT_RETRY;
	}
	file = get_file(vmf->vma->vm_file);
	failure_clear(context);
	mmap_read_unlock(vmf->vma->vm_mm);

	ret = source_wait_for(look, flags);
	if (ret & VM_FAULT_ERROR)
		failure_note(context, look->address, source_error(ret));
	fput(file);
	return VM_FAULT_RETRY;
}

/* ---- looking --------------------------------------------------------------- */

/*
 * Whether the page before this one is in the mirror: somebody goes in order. Page
 * tables of the VMA stay while it is locked.
 */
static bool look_goes_on(const struct look *look)
{
	unsigned long page = look->vmf->address & PAGE_MASK;
	pmd_t *pmd = look->vmf->pmd;
	pmd_t value;

	if (page == look->vmf->vma->vm_start || !(page & ~PUD_MASK))
		return false;
	if (!(page & ~PMD_MASK))
		pmd--;
	value = pmdp_get_lockless(pmd);
	if (pmd_none(value) || pmd_leaf(value))
		return !pmd_none(value);
	return !pte_none(ptep_get(pte_offset_kernel(&value, page - PAGE_SIZE)));
}

/*
 * The window: an aligned block of the viewer's addresses around the page, cut
 * to the viewer's VMA, the view, one block and the source's VMA. It
 * lies within one page table, since it is no larger than one and aligned.
 */
static void look_window(struct look *look, const struct vm_area_struct *source)
{
	const struct vm_area_struct *vma = look->vmf->vma;
	unsigned long page = look->vmf->address & PAGE_MASK;
	const struct view *view = look->view;
	pgoff_t pgoff = look->vmf->pgoff;
	unsigned long pages, back, ahead;
	/* With room for one it may be a giant page's, with no table below. */
	bool one = look->room == 1 || vma->vm_flags & VM_RAND_READ;
	bool goes_on = !one && look_goes_on(look);

	pages = one ? 1 :
		vma->vm_flags & VM_SEQ_READ ? WINDOW_MAX :
		goes_on || !pmd_none(pmdp_get_lockless(look->vmf->pmd)) ?
		WINDOW_PAGES : WINDOW_FIRST;
	pages = min(pages, look->room);

	back = page / PAGE_SIZE % pages;
	ahead = pages - back;
	if (goes_on)
		back = 0; /* it has been looked at */
	back = min(back, (page - vma->vm_start) / PAGE_SIZE);
	back = min(back, pgoff - view->pgoff);
	back = min(back, look->address / PAGE_SIZE % BLOCK_PAGES);
	back = min(back, (look->address - source->vm_start) / PAGE_SIZE);
	ahead = min(ahead, (vma->vm_end - page) / PAGE_SIZE);
	ahead = min(ahead, view->pgoff + view->nr_pages - pgoff);
	ahead = min(ahead, BLOCK_PAGES - look->address / PAGE_SIZE % BLOCK_PAGES);
	ahead = min(ahead, (source->vm_end - look->address) / PAGE_SIZE);

	look->start = page - back * PAGE_SIZE;
	look->target = back;
	look->nr = back + ahead;
}

/* Whether what HMM saw suffices for the access. */
static bool look_suffices(const struct look *look)
{
	unsigned long entry = look->pfns[look->target];

	return entry & HMM_PFN_VALID &&
	       (!look->write || entry & HMM_PFN_WRITE);
}

/*
 * The page is not there, or not for writing: have the source fault it in, if
 * that takes no waiting.
 */
static vm_fault_t look_fault(struct look *look, struct vm_area_struct *source)
{
	bool resident = look->view->flags & PIDFD_MEM_MAP_RESIDENT;
	unsigned long *entry = &look->pfns[look->target];
	vm_fault_t ret;

	if (look->upgrade)
		return LOOK_WAIT;
	if (resident && !(*entry & HMM_PFN_VALID) &&
	    resident_peek(look->mm, look->address, entry) && !look->write)
		return 0;
	/* To break copy-on-write is a fault of the source too. */
	if (resident && *entry & HMM_PFN_VALID)
		return VM_FAULT_SIGBUS;
	if (look->vmf->flags & FAULT_FLAG_TRIED) {
		ret = failure_take(look->view->context, look->address);
		if (ret)
			return ret;
	}
	if (resident)
		return LOOK_WAIT;
	if (!source_is_prompt(source))
		return LOOK_WAIT;
	ret = handle_mm_fault(source, look->address,
			      FAULT_FLAG_REMOTE | FAULT_FLAG_ALLOW_RETRY |
			      FAULT_FLAG_RETRY_NOWAIT |
			      (look->write ? FAULT_FLAG_WRITE : 0), NULL);
	if (ret & VM_FAULT_ERROR)
		return source_error(ret);
	return ret & VM_FAULT_RETRY ? LOOK_WAIT : LOOK_AGAIN;
}

/*
 * See what the source has: 0, and look->pfns holds it.
 * Called with the source's mmap_lock, which stays.
 */
static vm_fault_t __look_at(struct look *look)
{
	struct hmm_range range = {
		.notifier = &look->view->context->snapshot,
	};
	struct vm_area_struct *source;

	mmap_assert_locked(look->mm);
	source = vma_lookup(look->mm, look->address);
	if (!source || !source_may_read(source) ||
	    (look->write && !source_may_write(source)))
		return VM_FAULT_SIGBUS;
	if (look->giant && !source_is_giant(source))
		return VM_FAULT_FALLBACK;
	look->may_write = look->vmf->vma->vm_flags & VM_WRITE &&
			  !(look->view->flags & PIDFD_MEM_MAP_READONLY) &&
			  source_may_write(source);

	look_window(look, source);
	memset(look->pfns, 0, look->nr * sizeof(*look->pfns));
	range.start = look->address - look->target * PAGE_SIZE;
	range.end = range.start + look->nr * PAGE_SIZE;
	range.hmm_pfns = look->pfns;
	/* No default_flags: a snapshot, which changes nothing. */
	if (hmm_range_fault(&range))
		return LOOK_AGAIN;

	if (look->pfns[look->target] & HMM_PFN_ERROR)
		return VM_FAULT_SIGBUS;
	if (!look_suffices(look)) {
		vm_fault_t ret = look_fault(look, source);

		if (ret)
			return ret;
	}
	return 0;
}

/* ---- entering -------------------------------------------------------------- */

/*
 * Whether the source's page is its alone, its contents nowhere else, and dirty in
 * all but name: an anonymous page, swap-backed and not in the swap cache. One
 * that MADV_FREE gave up may still look so, while it waits to be moved to the
 * list of what may be dropped; but then that queue has a reference, which is
 * given back after it was marked. Called when the look still holds: the page is
 * the source's, and MADV_FREE does not begin.
 */
static bool page_is_own(struct folio *folio, unsigned int order)
{
	if (folio_ref_count(folio) != 1)
		return false;
	/* Pairs with the put after folio_clear_swapbacked() in lru_lazyfree. */
	smp_rmb();
	return folio_test_anon(folio) && folio_test_swapbacked(folio) &&
	       !folio_test_swapcache(folio) &&
	       (!folio_test_large(folio) || order == PMD_ORDER);
}

/*
 * A page that may be written through the mirror is dirty, whoever asks later:
 * the source's own entry will not tell. Reclaim would drop a clean page of the
 * swap cache, of a file, or one that MADV_FREE gave up. False if it cannot be
 * marked here, with neither its lock nor leave to sleep: a page of a filesystem
 * that has work to do for it. The source is about to mark it then: it has made
 * its entry writable and has not come to that yet.
 *
 * What is dirty stays so while it is in the mirror: what cleans a folio first
 * write-protects it, which has to come through the notifier.
 */
static bool folio_written(struct folio *folio)
{
	struct address_space *mapping;

	if (folio_test_dirty(folio))
		return true;
	if (folio_test_anon(folio)) {
		folio_set_dirty(folio);
		return true;
	}
	/* The folio is the source's still: it has not been truncated. */
	mapping = READ_ONCE(folio->mapping);
	if (mapping && mapping->a_ops->dirty_folio != noop_dirty_folio)
		return false;
	folio_set_dirty(folio);
	return true;
}

/* Whether this page enters writable, and is marked if need be. */
static bool look_enters_writable(const struct look *look, unsigned long index)
{
	unsigned long entry = look->pfns[index];
	struct folio *folio;

	if (!look->may_write || !(entry & HMM_PFN_WRITE))
		return false;
	folio = page_folio(hmm_pfn_to_page(entry));
	if (page_is_own(folio, hmm_pfn_to_map_order(entry)))
		return true;
	return look->write && index == look->target && folio_written(folio);
}

/*
 * What is in the page table at the page's place is not nothing. It is left as it
 * is, but for the page of a write: an entry of the same page is made writable.
 */
static bool look_may_replace(struct look *look, unsigned long index, pte_t pte)
{
	if (index != look->target)
		return false;
	if (!pte_present(pte)) {
		/* A mark of userfaultfd's is here for good. */
		look->barred = true;
		return false;
	}
	return look->upgrade &&
	       pte_pfn(pte) == page_to_pfn(hmm_pfn_to_page(look->pfns[index]));
}

/*
 * One page enters; false if it does not. To allow more with the same page needs
 * no flush: who still has the old entry in his TLB faults, and looks again.
 */
static bool look_enter_one(struct look *look, unsigned long index, pte_t *ptep)
{
	struct vm_area_struct *vma = look->vmf->vma;
	unsigned long entry = look->pfns[index];
	pte_t pte;

	/* The source is not made to fault: its other pages are as they are. */
	if (!(entry & HMM_PFN_VALID))
		return false;
	if (!pfn_is_ram(entry)) {
		look->barred |= index == look->target;
		return false;
	}
	pte = ptep_get(ptep);
	if (!pte_none(pte) && !look_may_replace(look, index, pte))
		return false;

	pte = pte_mkspecial(pfn_pte(page_to_pfn(hmm_pfn_to_page(entry)),
				    vma->vm_page_prot));
	if (look->may_write && look_enters_writable(look, index))
		pte = pte_mkwrite_novma(pte_mkdirty(pte));
	else if (look->write && index == look->target)
		return false; /* it would only fault again: look again */
	set_pte_at(vma->vm_mm, look->start + index * PAGE_SIZE, ptep, pte);
	return true;
}

static int make_table_only(pte_t *ptep, unsigned long address, void *data)
{
	return 0;
}

/*
 * Whether the aligned size bytes around the page lie in the viewer's VMA and in
 * the view, at addresses of the viewer that agree with the source's.
 */
static bool look_covers(const struct look *look, unsigned long size)
{
	struct vm_area_struct *vma = look->vmf->vma;
	unsigned long start = ALIGN_DOWN(look->vmf->address, size);
	unsigned long source = ALIGN_DOWN(look->address, size);
	const struct view *view = look->view;

	return !((look->vmf->address ^ look->address) & (size - 1) & PAGE_MASK) &&
	       start >= vma->vm_start && start + size <= vma->vm_end &&
	       source >= view->address &&
	       source + size <= view_address(view, view->pgoff +
						   view->nr_pages);
}

/* Whether one entry for 2 MiB may do: the source has one there. */
static bool look_may_be_huge(const struct look *look)
{
	unsigned long entry = look->pfns[look->target];

	if (hmm_pfn_to_map_order(entry) < PMD_ORDER)
		return false;
	/* To protect it makes page tables, beside us. */
	return !userfaultfd_wp(look->vmf->vma) && look_covers(look, PMD_SIZE);
}

/*
 * Whether it does, when the look still holds. Not for the huge zero page, which is
 * no folio with a mapping: kernels differ in what they expect to find when they
 * zap it.
 */
static bool look_is_huge(const struct look *look)
{
	unsigned long entry = look->pfns[look->target];
	struct folio *folio = page_folio(hmm_pfn_to_page(entry));

	return pfn_is_ram(entry) && READ_ONCE(folio->mapping) &&
	       compat_pmd_mappable(folio, look->may_write);
}

/* 2 MiB enter at once. Called with watch->lock and context->populate. */
static void look_enter_huge(struct look *look)
{
	struct page *page = hmm_pfn_to_page(look->pfns[look->target]);
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), BLOCK_PAGES);
	bool write;

	look->small = !look_is_huge(look);
	if (look->small)
		return;
	write = look_enters_writable(look, look->target);
	if (look->write && !write)
		return; /* it would only fault again: look again */
	/* Another fault was first, or it cannot be: the access finds out. */
	if (vmf_insert_pfn_pmd(look->vmf, pfn, write) != VM_FAULT_NOPAGE)
		return;
	bitmap_fill(look->pages, BLOCK_PAGES);
	bitmap_fill(look->block->pages, BLOCK_PAGES);
	look->entered = BLOCK_PAGES;
	look->view->context->counters.huge_pages_mapped++;
}

/*
 * The same for 1 GiB, to be read only. Called with watch->lock,
 * context->mirrors_lock, and the VMA locked for writing.
 */
static void look_enter_giant(struct look *look)
{
	struct page *page = hmm_pfn_to_page(look->pfns[look->target]);
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), GIANT_PAGES);

	if (!pud_none(pudp_get(look->vmf->pud)) ||
	    vmf_insert_pfn_pud(look->vmf, pfn, false) != VM_FAULT_NOPAGE)
		return; /* the access finds out */
	look->entered = GIANT_PAGES;
	look->view->context->counters.huge_pages_mapped++;
}

/*
 * The pages of the window enter. Called with watch->lock. All of them are in one
 * page table, which is there and stays: what frees one has locked the VMA.
 */
static void look_enter_pages(struct look *look)
{
	unsigned long bit = (look->address / PAGE_SIZE - look->target) %
			    BLOCK_PAGES;
	struct vm_fault *vmf = look->vmf;
	spinlock_t *lock = pte_lockptr(vmf->vma->vm_mm, vmf->pmd);
	pte_t *ptep = pte_offset_kernel(vmf->pmd, look->start);
	bool shared = look->pages != look->block->pages;
	unsigned long i;

	spin_lock(lock);
	for (i = 0; i < look->nr; i++, ptep++) {
		if (!look_enter_one(look, i, ptep))
			continue;
		__set_bit(bit + i, look->pages);
		if (shared)
			__set_bit(bit + i, look->block->pages);
		look->entered++;
	}
	spin_unlock(lock);
}

/* What was seen of [start, end) of the source enters, if it still holds. */
static vm_fault_t look_enter(struct look *look, unsigned long start,
			     unsigned long end,
			     void (*enter)(struct look *look))
{
	struct context *context = look->view->context;
	struct watch *watch = context->watch;
	vm_fault_t ret = VM_FAULT_NOPAGE;

	spin_lock(&watch->lock);
	if (look->view->dead) {
		/* Another may be there now: the access finds out. */
	} else if (!__watch_holds(watch, look->since, start, end)) {
		context->counters.retries++;
		ret = LOOK_AGAIN;
	} else {
		look->pages = __block_pages(look->block, context,
					    look->address);
		enter(look);
		/* Else it is not over. */
		context->counters.faults += !look->small;
		context->counters.pages_mapped += look->entered;
		if (look->barred)
			ret = VM_FAULT_SIGBUS;
	}
	spin_unlock(&watch->lock);
	return ret;
}

/*
 * An empty 2 MiB of the viewer becomes a huge page or gets a page table: one of
 * the two, decided here. apply_to_page_range() warns when it meets a huge page,
 * and a fault beside this one may have put one there. A table that is there
 * stays while the mmap_lock is held, so the pages themselves need no mutex.
 *
 * Returns what the fault comes to, or 0 when there is a table.
 */
static vm_fault_t look_populate(struct look *look)
{
	unsigned long start = look->address & PMD_MASK;
	struct vm_fault *vmf = look->vmf;
	struct context *context = look->view->context;
	vm_fault_t ret = 0;

	mutex_lock(&context->populate);
	if (!pmd_none(pmdp_get_lockless(vmf->pmd)))
		ret = VM_FAULT_NOPAGE; /* by another: see what it is */
	else if (look_may_be_huge(look))
		ret = look_enter(look, start, start + PMD_SIZE,
				 look_enter_huge);
	else
		look->small = true;
	if (look->small) {
		ret = 0;
		look->small = false;
		if (apply_to_page_range(vmf->vma->vm_mm, vmf->address & PAGE_MASK,
					PAGE_SIZE, make_table_only, NULL))
			ret = VM_FAULT_OOM;
	}
	mutex_unlock(&context->populate);
	return ret;
}

/*
 * What HMM saw is a giant page, or smaller ones are to enter. While it changes
 * there is nothing to note: the source is waited for.
 */
static vm_fault_t look_is_giant(const struct look *look)
{
	struct watch *watch = look->view->context->watch;
	unsigned long start = look->address & PUD_MASK;
	bool holds;

	if (hmm_pfn_to_map_order(look->pfns[look->target]) < PUD_ORDER)
		return VM_FAULT_FALLBACK;
	spin_lock(&watch->lock);
	holds = __watch_holds(watch, look->since, start, start + PUD_SIZE);
	spin_unlock(&watch->lock);
	return holds ? LOOK_GIANT : LOOK_AGAIN;
}

/*
 * All pages of a giant page are noted before they enter, block after block, not
 * to hold the lock for 512 of them. A note is made only if what was seen of the
 * giant page still holds. So an invalidation of a part of it either began before:
 * then nothing more is noted, and nothing enters. Or it begins after the note,
 * and clears it. If nothing enters, a note of no page stays, of hugetlb memory
 * that the source has, until that is invalidated: a zap for nothing.
 */
static vm_fault_t look_note_giant(struct look *look, unsigned long start)
{
	struct context *context = look->view->context;
	struct watch *watch = context->watch;
	unsigned long end = start + PUD_SIZE;
	unsigned long address;
	struct block *block;
	bool holds, dead;

	for (address = start; address < end; address += PMD_SIZE) {
		block = block_get(context, address);
		if (!block)
			return VM_FAULT_OOM;
		spin_lock(&watch->lock);
		dead = look->view->dead;
		holds = !dead && __watch_holds(watch, look->since, start, end);
		if (holds) {
			bitmap_fill(__block_pages(block, context, address),
				    BLOCK_PAGES);
			bitmap_fill(block->pages, BLOCK_PAGES);
			/* Others end meanwhile, of which few are remembered. */
			look->since = watch->ended;
		} else if (!dead) {
			context->counters.retries++;
		}
		spin_unlock(&watch->lock);
		if (!holds)
			return dead ? VM_FAULT_NOPAGE : LOOK_AGAIN;
	}
	return 0;
}

/*
 * The giant page enters where there is nothing yet, with mirrors_lock held for
 * writing, so that no zap is under way. One that found nothing in the page table
 * and then a giant page would call that bad and clear it (zap_pud_range). Nor
 * does one enter between a zap's look for it and the zap (mirror_zap()).
 */
static vm_fault_t look_finish_giant(struct look *look)
{
	struct context *context = look->view->context;
	unsigned long start = look->address & PUD_MASK;
	vm_fault_t ret;

	ret = look_is_giant(look);
	if (ret == LOOK_GIANT)
		ret = look_note_giant(look, start);
	if (ret)
		return ret;
	look->block = block_get(context, look->address);
	if (!look->block)
		return VM_FAULT_OOM;
	if (down_write_killable(&context->mirrors_lock))
		return VM_FAULT_RETRY;
	ret = look_enter(look, start, start + PUD_SIZE, look_enter_giant);
	up_write(&context->mirrors_lock);
	return ret;
}

/* All that can fail or sleep is done before the lock is taken. */
static vm_fault_t look_finish(struct look *look)
{
	unsigned long start = look->address - look->target * PAGE_SIZE;
	vm_fault_t ret;
	pmd_t pmd;

	look->block = block_get(look->view->context, look->address);
	if (!look->block)
		return VM_FAULT_OOM;
	pmd = pmdp_get_lockless(look->vmf->pmd);
	if (pmd_none(pmd)) {
		ret = look_populate(look);
		if (ret)
			return ret;
	} else if (pmd_leaf(pmd)) {
		/* Entered by another since: the access finds it. */
		return VM_FAULT_NOPAGE;
	}
	return look_enter(look, start, start + look->nr * PAGE_SIZE,
			  look_enter_pages);
}

/* ---- the fault ------------------------------------------------------------- */

static vm_fault_t look_at(struct look *look)
{
	vm_fault_t ret = LOOK_WAIT;
	int looks;

	for (looks = 1; looks <= LOOKS_MAX; looks++) {
		look->since = watch_begin(look->view->context->watch);
		if (!mmap_read_trylock(look->mm))
			break;
		ret = __look_at(look);
		mmap_read_unlock(look->mm);
		if (!ret)
			ret = look->giant ? look_is_giant(look) :
					    look_finish(look);
		if (ret != LOOK_AGAIN)
			break;
	}
	if (ret != LOOK_AGAIN && ret != LOOK_WAIT)
		return ret;
	if (look->vmf->flags & FAULT_FLAG_ALLOW_RETRY)
		return source_wait(look);
	/*
	 * The caller can neither wait nor be told to come back for good: one
	 * that came back by itself (a futex) would do so for as long as the
	 * source likes.
	 */
	return VM_FAULT_SIGBUS;
}

/* A large window is worth the memory; without it there is the small one. */
static void look_make_room(struct look *look)
{
	look->pfns = look->few;
	look->room = WINDOW_PAGES;
	if (!(look->vmf->vma->vm_flags & VM_SEQ_READ))
		return;
	look->pfns = kmalloc_array(WINDOW_MAX, sizeof(*look->pfns),
				   GFP_KERNEL | __GFP_NOWARN);
	if (look->pfns)
		look->room = WINDOW_MAX;
	else
		look->pfns = look->few;
}

static bool look_begin(struct look *look, struct vm_fault *vmf)
{
	struct mirror *mirror = vmf->vma->vm_private_data;
	struct context *context = mirror->context;

	look->vmf = vmf;
	look->view = view_get(context, vmf->pgoff);
	if (!look->view)
		return false;
	look->mm = context->mm;
	look->address = view_address(look->view, vmf->pgoff);
	look->write = vmf->flags & FAULT_FLAG_WRITE;
	look->entered = 0;
	look->upgrade = false;
	look->giant = false;
	look->small = false;
	look->barred = false;
	if (look->write && look->view->flags & PIDFD_MEM_MAP_READONLY)
		goto err_view;
	/* From here on invalidations find the mirror, until it is unmapped. */
	if (mirror_link(mirror) || !mmget_not_zero(look->mm))
		goto err_view;
	return true;

err_view:
	view_put(look->view);
	return false;
}

static void look_end(struct look *look, vm_fault_t ret)
{
	/* Not to tear an address space down under the viewer's lock. */
	mmput_async(look->mm);
	trace_remote_mapping_fault(look->mm, look->view, look->address, look->write,
				   look->entered, ret);
	view_put(look->view);
}

/*
 * Whether the fault is one that a giant page may come of. Only in a mirror that
 * can never be written: else userfaultfd may be told of it, and the core warns of a
 * giant page there (change_huge_pud). And only where the viewer's mmap_lock can be
 * had for writing, and the source's beside it.
 */
static bool giant_may_enter(const struct vm_fault *vmf)
{
	const struct mirror *mirror = vmf->vma->vm_private_data;
	struct mm_struct *mm = vmf->vma->vm_mm;

	return COMPAT_HAS_GIANTS && !(vmf->vma->vm_flags & VM_MAYWRITE) &&
	       vmf->flags & FAULT_FLAG_ALLOW_RETRY &&
	       !(vmf->flags & FAULT_FLAG_RETRY_NOWAIT) &&
	       !(current->flags & PF_EXITING) &&
	       mm == current->mm && mm != mirror->context->mm;
}

/* False if it is no place for a giant page, or no place at all. */
static bool look_begin_giant(struct look *look, struct vm_fault *vmf)
{
	if (!look_begin(look, vmf))
		return false;
	look->pfns = look->few;
	look->room = 1;
	look->giant = true;
	if (look_covers(look, PUD_SIZE))
		return true;
	look_end(look, VM_FAULT_FALLBACK);
	return false;
}

static vm_fault_t mirror_fault(struct vm_fault *vmf)
{
	struct look look;
	vm_fault_t ret;

	/* An access of the kernel's comes back to here without looking. */
	if (fatal_signal_pending(current) || !look_begin(&look, vmf))
		return VM_FAULT_SIGBUS;
	look_make_room(&look);
	ret = look_at(&look);
	if (look.pfns != look.few)
		kfree(look.pfns);
	look_end(&look, ret);
	return ret;
}

/*
 * One look at one page, for writing, that neither waits nor makes the source
 * fault: whether the entry that is there could be made writable.
 */
static bool mirror_upgrade(struct vm_fault *vmf)
{
	struct look look;
	vm_fault_t ret = LOOK_WAIT;

	if (!look_begin(&look, vmf))
		return false;
	look.pfns = look.few;
	look.room = 1;
	look.upgrade = true;
	look.since = watch_begin(look.view->context->watch);
	if (mmap_read_trylock(look.mm)) {
		ret = __look_at(&look);
		mmap_read_unlock(look.mm);
	}
	if (!ret)
		ret = look_finish(&look);
	look_end(&look, ret);
	return look.entered;
}

/*
 * The first write to a page that entered read-only. It is looked at again, and
 * made writable if it is still the source's and the source may write it. If that
 * is not so at once, the entry is taken out, and the access faults as a write. To
 * say 0 would make the core upgrade the entry if it looks as before, though it
 * may have been zapped and put back meanwhile, to a page that is now shared; to
 * say VM_FAULT_RETRY is not allowed here.
 */
static vm_fault_t mirror_pfn_mkwrite(struct vm_fault *vmf)
{
	if (fatal_signal_pending(current))
		return VM_FAULT_SIGBUS;
	if (!compat_pte_upgradable() || !mirror_upgrade(vmf))
		zap_special_vma_range(vmf->vma, vmf->address & PAGE_MASK,
				      PAGE_SIZE);
	return VM_FAULT_NOPAGE;
}

#ifdef CONFIG_PER_VMA_LOCK
/*
 * There is nothing to map around without looking at the source. But where a VMA
 * has this, the core lets ->fault run with the VMA's lock alone; without, each
 * fault is begun twice.
 */
static vm_fault_t mirror_map_pages(struct vm_fault *vmf, pgoff_t first,
				   pgoff_t last)
{
	return 0;
}
#endif

/*
 * With the viewer's mmap_lock held for writing: a fault of the core's that holds
 * it for reading takes what is in an entry of 1 GiB for a page table, if the entry
 * was not there when it asked us, is there when it would make a table, and is a
 * table when it looks again (__handle_mm_fault, pud_trans_unstable). So no fault
 * is under way when one enters, of those with the VMA's lock neither; nor a walk
 * of the page table, to which the same could happen.
 *
 * All is looked up anew. What does not go at once does not go: the access comes
 * again.
 */
static void giant_enter(struct vm_area_struct *vma, unsigned long address)
{
	struct vm_fault vmf = {
		.vma = vma,
		.address = address & PAGE_MASK,
		.pgoff = linear_page_index(vma, address),
		.pud = pud_of(vma->vm_mm, address),
	};
	vm_fault_t ret = VM_FAULT_RETRY;
	struct look look;

	mmap_assert_write_locked(vma->vm_mm);
	vma_start_write(vma);
	if (!vmf.pud || vma->vm_flags & VM_MAYWRITE ||
	    !look_begin_giant(&look, &vmf))
		return;
	look.since = watch_begin(look.view->context->watch);
	if (mmap_read_trylock(look.mm)) {
		ret = __look_at(&look);
		mmap_read_unlock(look.mm);
	}
	if (!ret)
		ret = look_finish_giant(&look);
	look_end(&look, ret);
}

/* It is dropped for that, and an access that is dropped comes again. */
static vm_fault_t giant_enter_unlocked(struct vm_fault *vmf)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	unsigned long address = vmf->address;
	struct vm_area_struct *vma;
	struct file *file;

	if (vmf->flags & FAULT_FLAG_VMA_LOCK) {
		release_fault_lock(vmf);
		return VM_FAULT_RETRY;
	}
	file = get_file(vmf->vma->vm_file);
	mmap_read_unlock(mm);
	if (!mmap_write_lock_killable(mm)) {
		vma = vma_lookup(mm, address);
		if (vma && vma->vm_file == file)
			giant_enter(vma, address);
		mmap_write_unlock(mm);
	}
	fput(file);
	return VM_FAULT_RETRY;
}

/* Room for its notes, not to be made with the mmap_lock held for writing. */
static bool giant_make_room(struct look *look)
{
	unsigned long address = look->address & PUD_MASK;
	unsigned long end = address + PUD_SIZE;

	while (address < end && block_get(look->view->context, address))
		address += PMD_SIZE;
	return address == end;
}

/*
 * The first touch of an empty 1 GiB. Either a giant page enters, or the source has
 * none there, and the core goes on to smaller ones. Then a page table comes, and it
 * stays.
 */
static vm_fault_t mirror_giant_fault(struct vm_fault *vmf)
{
	struct look look;
	vm_fault_t ret;

	if (!giant_may_enter(vmf))
		return VM_FAULT_FALLBACK;
	if (fatal_signal_pending(current))
		return VM_FAULT_SIGBUS;
	if (!look_begin_giant(&look, vmf))
		return VM_FAULT_FALLBACK;
	ret = look_at(&look);
	if (ret == LOOK_GIANT && !giant_make_room(&look))
		ret = VM_FAULT_FALLBACK;
	/* Nothing of the source is held while the viewer is waited for. */
	look_end(&look, ret);
	return ret == LOOK_GIANT ? giant_enter_unlocked(vmf) : ret;
}

/*
 * The same for 2 MiB that entered read-only. The core also asks here about an
 * empty 2 MiB, on some kernels; that is mirror_fault()'s to decide. It may hold
 * the VMA's lock alone: all that is used here is the VMA's.
 */
static vm_fault_t mirror_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	if (order == PUD_ORDER)
		return mirror_giant_fault(vmf);
	if (order != PMD_ORDER || pmd_none(vmf->orig_pmd))
		return VM_FAULT_FALLBACK;
	if (fatal_signal_pending(current))
		return VM_FAULT_SIGBUS;
	zap_special_vma_range(vmf->vma, vmf->address & PMD_MASK, PMD_SIZE);
	return VM_FAULT_NOPAGE;
}

compat_define_huge_fault(mirror_huge_fault);

/* A debugger of the viewer looks at or writes the mirror. */
static int mirror_access(struct vm_area_struct *vma, unsigned long address,
			 void *buffer, int length, int write)
{
	struct mirror *mirror = vma->vm_private_data;
	pgoff_t pgoff = linear_page_index(vma, address);
	struct view *view;
	ssize_t ret;

	if (length <= 0 || (write && !(vma->vm_flags & VM_MAYWRITE)))
		return -EFAULT;
	view = view_get(mirror->context, pgoff);
	if (!view)
		return -EFAULT;
	length = min_t(unsigned long, length, PAGE_SIZE - address % PAGE_SIZE);
	ret = view_access(view, view_address(view, pgoff) + address % PAGE_SIZE,
			  buffer, length, write);
	view_put(view);
	return ret;
}

static const struct vm_operations_struct mirror_ops = {
	.open = mirror_copy,
	.close = mirror_remove,
	.fault = mirror_fault,
#ifdef CONFIG_PER_VMA_LOCK
	.map_pages = mirror_map_pages,
#endif
	.huge_fault = compat_huge_fault(mirror_huge_fault),
	.pfn_mkwrite = mirror_pfn_mkwrite,
	.access = mirror_access,
};

/* ---- mapping --------------------------------------------------------------- */

/*
 * The core has checked the file's rights and that it is not executable
 * (SB_I_NOEXEC; a file of the device is not on that superblock). VM_SHARED is
 * cleared by the core where the file is not open for writing: VM_MAYSHARE tells
 * MAP_SHARED.
 */
int mirror_mmap(struct context *context, struct vm_area_struct *vma)
{
	int ret;

	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (vma->vm_mm == context->mm)
		return -EINVAL;
	if (context_ended(context))
		return -ESRCH;
	if (!views_touch(context, vma->vm_pgoff,
			 vma->vm_pgoff + vma_pages(vma) - 1))
		return -EINVAL;
	ret = mirror_add(context, vma);
	if (ret)
		return ret;

	/*
	 * VM_IO, for MADV_DOFORK to be refused on all kernels: 6.12's fork copies
	 * a huge entry that it read without a lock, though a zap may have taken
	 * it out of the parent meanwhile.
	 */
	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP |
		     VM_DONTCOPY, VM_MAYEXEC);
	vma->vm_ops = &mirror_ops;
	return 0;
}

/* Where the core would put something larger, moved up to agree modulo size. */
static unsigned long place_like(unsigned long like, struct file *file,
				unsigned long length, pgoff_t pgoff,
				unsigned long flags, unsigned long size)
{
	unsigned long place;

	if (length < size || length > TASK_SIZE - size)
		return -ENOMEM;
	place = mm_get_unmapped_area(file, 0, length + size, pgoff, flags);
	if (IS_ERR_VALUE(place))
		return place;
	return place + ((like - place) & (size - 1) & PAGE_MASK);
}

/*
 * A place for a mirror that agrees with the source's addresses, so that huge
 * pages can be huge in it: modulo 2 MiB if it is as large, modulo 1 GiB if it is
 * as large as that. Whether the source has giant pages there is not asked: it
 * may have them later, and all it costs is room between mappings.
 */
unsigned long mirror_place(struct context *context, struct file *file,
			   unsigned long length, pgoff_t pgoff,
			   unsigned long flags)
{
	unsigned long place = -ENOMEM, like = 0;
	struct view *view;

	view = view_next(context, pgoff);
	if (view) {
		like = view_address(view, pgoff);
		view_put(view);
	}
	if (COMPAT_HAS_GIANTS)
		place = place_like(like, file, length, pgoff, flags, PUD_SIZE);
	if (IS_ERR_VALUE(place))
		place = place_like(like, file, length, pgoff, flags, PMD_SIZE);
	if (IS_ERR_VALUE(place))
		place = mm_get_unmapped_area(file, 0, length, pgoff, flags);
	return place;
}

/* Whether a live view backs a mirror of this context at the caller's address. */
int mirror_check(struct context *context, unsigned long address)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct mirror *mirror;
	struct view *view;
	int ret = -EINVAL;

	if (context_ended(context))
		return -ESRCH;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, address);
	mirror = vma && vma->vm_ops == &mirror_ops ? vma->vm_private_data : NULL;
	if (mirror && mirror->context == context) {
		view = view_get(context, linear_page_index(vma, address));
		if (view) {
			view_put(view);
			ret = 0;
		}
	}
	mmap_read_unlock(mm);
	return ret;
}

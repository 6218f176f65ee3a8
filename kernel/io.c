// SPDX-License-Identifier: GPL-2.0
/*
 * What the files of a context do beside ioctl and mmap.
 *
 * Invariant: while user memory is faulted in nothing of the source is held, nor a
 * lock, and its address space is not kept from its end. A user's buffer may fault,
 * wait, be a mirror itself. The source's pages are held, as process_vm_readv() holds
 * them, while it brings in those of the same batch, and for the copy.
 *
 * Data that was moved is reported, whatever comes after it.
 */
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/hmm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "compat.h"
#include "remote_mapping.h"

/* ---- reading and writing --------------------------------------------------- */

/* How many pages are held at a time; a page of pointers to them. */
#define BATCH_PAGES (PAGE_SIZE / sizeof(struct page *))
/* A short transfer needs no memory. */
#define BATCH_FEW 16
/* User memory that is faulted in may be gone by chance, but not so many times. */
#define VAIN_MAX 100

/**
 * struct transfer - one read or write of the map file
 * @context: whose
 * @pos: in the map file, in bytes
 * @iter: the user's memory
 * @write: from there to the source
 * @pages: the source's pages, held
 * @room: how many can be held
 * @wanted: how much the last batch would have moved, of which nothing was
 * @vain: how many times it was faulted in and yet not there
 * @few: room for a few
 */
struct transfer {
	struct context *context;
	loff_t pos;
	struct iov_iter *iter;
	bool write;
	struct page **pages;
	unsigned long room;
	size_t wanted;
	unsigned int vain;
	struct page *few[BATCH_FEW];
};

/*
 * The same of a RESIDENT view. GUP does not see a page with a NUMA hint, and
 * faults hugetlb pages in, on some kernels: those are taken one by one.
 * Called with the source's mmap_lock, which stays. All is in that VMA.
 */
static long resident_hold(struct transfer *transfer, struct vm_area_struct *vma,
			  unsigned long address, unsigned long nr)
{
	struct context *context = transfer->context;
	long held = 0;

	if (transfer->write)
		return compat_gup_may_fault(vma) ? -EFAULT :
			pin_user_pages_remote(context->mm, address, nr,
					      FOLL_NOFAULT | FOLL_WRITE,
					      transfer->pages, NULL);
	if (!compat_gup_may_fault(vma))
		held = get_user_pages_remote(context->mm, address, nr,
					     FOLL_NOFAULT, transfer->pages,
					     NULL);
	if (held > 0)
		return held;
	for (held = 0; held < nr; held++)
		if (!source_peek(context, address + held * PAGE_SIZE,
				 &transfer->pages[held]))
			break;
	return held;
}

/*
 * Hold up to nr pages of the source from address on; how many, or an error.
 *
 * What the source has not mapped is not asked of get_user_pages(): below a stack it
 * prints that it does not grow stacks any more. (If it waits for the source, and that
 * has changed what is mapped there, it does so yet.)
 */
static long pages_hold(struct transfer *transfer, const struct view *view,
		       unsigned long address, unsigned long nr)
{
	struct mm_struct *mm = transfer->context->mm;
	struct vm_area_struct *vma;
	int locked = 1;
	long ret;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	ret = mmap_read_lock_killable(mm);
	if (ret)
		goto out_mm;
	vma = vma_lookup(mm, address);
	if (vma)
		nr = min(nr, (vma->vm_end - address) >> PAGE_SHIFT);
	if (!vma)
		ret = -EFAULT;
	else if (view->flags & PIDFD_MEM_MAP_RESIDENT)
		ret = resident_hold(transfer, vma, address, nr);
	else if (transfer->write)
		ret = pin_user_pages_remote(mm, address, nr, FOLL_WRITE,
					    transfer->pages, &locked);
	else
		ret = get_user_pages_remote(mm, address, nr, 0,
					    transfer->pages, &locked);
	if (locked)
		mmap_read_unlock(mm);
out_mm:
	mmput_async(mm);
	if (!ret || (ret < 0 && ret != -EINTR && ret != -ENOMEM))
		return -EFAULT;
	return ret;
}

static void pages_release(struct transfer *transfer, long nr, bool written)
{
	if (transfer->write) {
		unpin_user_pages_dirty_lock(transfer->pages, nr, written);
		return;
	}
	while (nr)
		put_page(transfer->pages[--nr]);
}

/*
 * Between one of the pages and user memory: how much, or an error. Page faults are
 * off: it takes no more than its moment.
 *
 * Not copy_page_to_iter(): it would put the source's own pages into a pipe,
 * where they stay, and change.
 */
static ssize_t page_copy(struct transfer *transfer, const struct view *view,
			 long index, size_t offset, size_t length)
{
	size_t copied;
	char *at;

	if (!view_copy_begin(view))
		return -EFAULT;
	pagefault_disable();
	at = kmap_local_page(transfer->pages[index]);
	if (transfer->write)
		copied = _copy_from_iter(at + offset, length, transfer->iter);
	else
		copied = _copy_to_iter(at + offset, length, transfer->iter);
	kunmap_local(at);
	pagefault_enable();
	view_copy_end(view);
	return copied;
}

/*
 * Move what one batch of pages holds of [address, address + length); 0 if the user's
 * memory is not there. It is not faulted in here: who answers for its faults could
 * keep the source's pages for as long as he likes, and have them read or written
 * after the view is removed. Removal waits for what is being moved (view.c).
 */
static ssize_t batch_copy(struct transfer *transfer, const struct view *view,
			  unsigned long address, size_t length)
{
	size_t offset = offset_in_page(address), done = 0;
	ssize_t copied = 0, part;
	unsigned long nr;
	long held, i;

	nr = min(DIV_ROUND_UP(offset + length, PAGE_SIZE), transfer->room);
	held = pages_hold(transfer, view, address & PAGE_MASK, nr);
	if (held < 0)
		return held;
	for (i = 0; i < held; i++) {
		part = min(length - done, PAGE_SIZE - offset);
		copied = page_copy(transfer, view, i, offset, part);
		if (copied < 0)
			break;
		done += copied;
		if (copied < part)
			break;
		offset = 0;
	}
	pages_release(transfer, held, done);
	if (done)
		return done;
	transfer->wanted = min(length, held * PAGE_SIZE - offset);
	return copied;
}

/*
 * No page of the source is held. 0, or an error where there is nothing to fault in:
 * or what is said to be there is not, again and again (a shadow stack, say).
 */
static ssize_t user_fault_in(struct transfer *transfer)
{
	size_t left;

	if (transfer->vain++ == VAIN_MAX)
		return -EFAULT;
	if (transfer->write)
		left = fault_in_iov_iter_readable(transfer->iter,
						  transfer->wanted);
	else
		left = fault_in_iov_iter_writeable(transfer->iter,
						   transfer->wanted);
	return left == transfer->wanted ? -EFAULT : 0;
}

/* Move what can be moved at once from transfer->pos on; 0 as in batch_copy(). */
static ssize_t transfer_batch(struct transfer *transfer)
{
	struct context *context = transfer->context;
	unsigned long address, left;
	struct view *view;
	ssize_t ret = -EFAULT;

	view = view_get(context, transfer->pos >> PAGE_SHIFT);
	if (!view)
		return -EFAULT;
	if (!transfer->write || !(view->flags & PIDFD_MEM_MAP_READONLY)) {
		address = view->address +
			  (transfer->pos - ((loff_t)view->pgoff << PAGE_SHIFT));
		left = view_address(view, view->pgoff + view->nr_pages) -
		       address;
		ret = batch_copy(transfer, view, address,
				 min(left, iov_iter_count(transfer->iter)));
	}
	view_put(view);
	return ret;
}

static ssize_t transfer_all(struct transfer *transfer)
{
	size_t count = iov_iter_count(transfer->iter);
	ssize_t ret = 0;

	while (iov_iter_count(transfer->iter)) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ret = transfer_batch(transfer);
		if (!ret)
			ret = user_fault_in(transfer);
		else
			transfer->vain = 0;
		if (ret < 0)
			break;
		transfer->pos += ret;
		cond_resched();
	}
	count -= iov_iter_count(transfer->iter);
	return count ?: ret;
}

static ssize_t context_transfer(struct context *context, struct kiocb *iocb,
				struct iov_iter *iter, bool write)
{
	struct transfer transfer = {
		.context = context,
		.pos = iocb->ki_pos,
		.iter = iter,
		.write = write,
		.pages = transfer.few,
		.room = BATCH_FEW,
	};
	ssize_t ret;

	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EAGAIN;
	if (context_ended(context))
		return -ESRCH;
	if (iov_iter_count(iter) > BATCH_FEW * PAGE_SIZE) {
		transfer.pages = kmalloc(PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN);
		if (transfer.pages)
			transfer.room = BATCH_PAGES;
		else
			transfer.pages = transfer.few;
	}
	ret = transfer_all(&transfer);
	iocb->ki_pos = transfer.pos;
	if (transfer.pages != transfer.few)
		kfree(transfer.pages);
	return ret;
}

ssize_t context_read(struct context *context, struct kiocb *iocb,
		     struct iov_iter *to)
{
	/* As of any file; a hole before the last view is an error. */
	if (iocb->ki_pos >= i_size_read(&context->inode) &&
	    !context_ended(context))
		return 0;
	return context_transfer(context, iocb, to, false);
}

ssize_t context_write(struct context *context, struct kiocb *iocb,
		      struct iov_iter *from)
{
	return context_transfer(context, iocb, from, true);
}

/* ---- a debugger of the viewer ---------------------------------------------- */

/* How often to ask for what is busy, 1 ms apart. */
#define ACCESS_TRIES 50

/*
 * One page, with the source's mmap_lock: to be read with a reference, to be
 * written with a pin. If it is not there the source is made to fault where that
 * takes no waiting. 0 if it is worth another try.
 */
static int access_page(struct view *view, unsigned long address, bool write,
		       struct page **page)
{
	struct mm_struct *mm = view->context->mm;
	struct vm_area_struct *vma = vma_lookup(mm, address);
	vm_fault_t fault;

	if (!vma || !source_may_read(vma) || (write && !source_may_write(vma)))
		return -EFAULT;
	if (!write && source_peek(view->context, address, page))
		return 1;
	if (write && !compat_gup_may_fault(vma) &&
	    pin_user_pages_remote(mm, address & PAGE_MASK, 1,
				  FOLL_NOFAULT | FOLL_WRITE, page, NULL) == 1)
		return 1;
	if (!source_is_prompt(vma) || view->flags & PIDFD_MEM_MAP_RESIDENT)
		return -EFAULT;
	fault = handle_mm_fault(vma, address, FAULT_FLAG_REMOTE |
				FAULT_FLAG_ALLOW_RETRY |
				FAULT_FLAG_RETRY_NOWAIT |
				(write ? FAULT_FLAG_WRITE : 0), NULL);
	return fault & VM_FAULT_ERROR ? -EFAULT : 0;
}

/* As in a fault, the viewer's mmap_lock is held: the source's is only tried. */
static int access_hold(struct view *view, unsigned long address, bool write,
		       struct page **page)
{
	struct mm_struct *mm = view->context->mm;
	int tries, ret;

	for (tries = 0; tries < ACCESS_TRIES; tries++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		/* The second time what the first has faulted in is there. */
		if (tries > 1)
			fsleep(USEC_PER_MSEC);
		if (!mmap_read_trylock(mm))
			continue;
		ret = access_page(view, address, write, page);
		mmap_read_unlock(mm);
		if (ret)
			return ret;
	}
	return -EAGAIN;
}

/* A folio's lock, without waiting for long: who has it may want the viewer's. */
static bool access_lock(struct folio *folio)
{
	int tries;

	for (tries = 0; tries < ACCESS_TRIES; tries++) {
		if (folio_trylock(folio))
			return true;
		if (fatal_signal_pending(current))
			return false;
		fsleep(USEC_PER_MSEC);
	}
	return false;
}

/* Copy within one page of the source; buffer is the kernel's. */
ssize_t view_access(struct view *view, unsigned long address, void *buffer,
		    size_t length, bool write)
{
	struct mm_struct *mm = view->context->mm;
	struct page *page;
	char *at;
	long ret;

	if (write && view->flags & PIDFD_MEM_MAP_READONLY)
		return -EFAULT;
	if (!mmget_not_zero(mm))
		return -ESRCH;
	ret = access_hold(view, address, write, &page);
	mmput_async(mm);
	if (ret < 0)
		return ret;
	ret = -EAGAIN;
	if (write && !access_lock(page_folio(page)))
		goto out_page;
	ret = -EFAULT;
	if (!view_copy_begin(view))
		goto out_folio;
	at = kmap_local_page(page);
	if (write)
		memcpy(at + offset_in_page(address), buffer, length);
	else
		memcpy(buffer, at + offset_in_page(address), length);
	kunmap_local(at);
	if (write)
		folio_mark_dirty(page_folio(page));
	view_copy_end(view);
	ret = length;
out_folio:
	if (write)
		folio_unlock(page_folio(page));
out_page:
	if (write)
		unpin_user_page(page);
	else
		put_page(page);
	return ret;
}

/* ---- where data is --------------------------------------------------------- */

/* Balancing between memory nodes makes hints; with one there is none. */
static bool hints_possible(void)
{
	return IS_ENABLED(CONFIG_NUMA_BALANCING) && nr_online_nodes > 1;
}

/*
 * Whether the page of a RESIDENT view is in memory, and up to where, at most
 * end, this is so. Called with the source's mmap_lock.
 */
static bool resident_extent(struct view *view, unsigned long address,
			    unsigned long end, unsigned long *until)
{
	unsigned long pfns[64];
	struct hmm_range range = {
		.notifier = &view->context->snapshot,
		.start = address,
		.end = min(end, address + sizeof(pfns) / sizeof(*pfns) *
				PAGE_SIZE),
		.hmm_pfns = pfns,
	};
	unsigned long i, nr = (range.end - range.start) / PAGE_SIZE;
	struct page *page;

	/* A moment's picture. */
	memset(pfns, 0, sizeof(pfns));
	if (hmm_range_fault(&range)) {
		*until = address + PAGE_SIZE;
		return false;
	}
	/* HMM calls a page absent that has a NUMA hint. */
	for (i = 0; hints_possible() && i < nr; i++) {
		if (pfns[i] & HMM_PFN_VALID ||
		    !resident_page(view->context->mm, address + i * PAGE_SIZE,
				   &page))
			continue;
		pfns[i] |= HMM_PFN_VALID;
		put_page(page);
	}
	for (i = 1; i < nr; i++)
		if ((pfns[i] ^ pfns[0]) & HMM_PFN_VALID)
			break;
	*until = address + i * PAGE_SIZE;
	return pfns[0] & HMM_PFN_VALID;
}

/* Where the source's mapping of a file stops having a file behind it. */
static unsigned long file_extent(const struct vm_area_struct *vma)
{
	struct inode *inode = vma->vm_file ? file_inode(vma->vm_file) : NULL;
	unsigned long size, start = vma->vm_start;

	if (!inode || !S_ISREG(inode->i_mode))
		return vma->vm_end;
	size = PAGE_ALIGN(i_size_read(inode));
	if (size <= (loff_t)vma->vm_pgoff << PAGE_SHIFT)
		return start;
	size -= (loff_t)vma->vm_pgoff << PAGE_SHIFT;
	return min(vma->vm_end, size < vma->vm_end - start ? start + size :
							     vma->vm_end);
}

/*
 * Whether there is data at address, a multiple of the page size, and up to
 * where, at most end, this is so. Called with the source's mmap_lock.
 */
static bool source_extent(struct view *view, unsigned long address,
			  unsigned long end, unsigned long *until)
{
	struct vm_area_struct *vma = find_vma(view->context->mm, address);
	unsigned long file;

	if (!vma || vma->vm_start > address) {
		*until = vma ? min(vma->vm_start, end) : end;
		return false;
	}
	file = file_extent(vma);
	*until = min(vma->vm_end, end);
	if (!source_may_read(vma) || address >= file)
		return false;
	*until = min(*until, file);
	if (view->flags & PIDFD_MEM_MAP_RESIDENT)
		return resident_extent(view, address, *until, until);
	return true;
}

/* The same for a page of the map file: the extent ends in *until. */
static int map_extent(struct context *context, pgoff_t pgoff, bool *data,
		      pgoff_t *until)
{
	struct view *view = view_next(context, pgoff);
	unsigned long address, end;
	int ret;

	*data = false;
	*until = view ? view->pgoff : ULONG_MAX;
	if (!view || view->pgoff > pgoff) {
		ret = 0;
		goto out_view;
	}
	ret = -ESRCH;
	if (!mmget_not_zero(context->mm))
		goto out_view;
	ret = mmap_read_lock_killable(context->mm);
	if (!ret) {
		address = view_address(view, pgoff);
		end = view_address(view, view->pgoff + view->nr_pages);
		*data = source_extent(view, address, end, &end);
		mmap_read_unlock(context->mm);
		*until = pgoff + ((end - address) >> PAGE_SHIFT);
	}
	mmput_async(context->mm);
out_view:
	if (view)
		view_put(view);
	return ret;
}

static loff_t context_seek_for(struct context *context, loff_t offset,
			       bool want)
{
	loff_t size = i_size_read(&context->inode);
	pgoff_t pgoff = offset >> PAGE_SHIFT, until;
	bool data;
	int ret;

	if (offset < 0 || offset >= size)
		return -ENXIO;
	while (pgoff < size >> PAGE_SHIFT) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = map_extent(context, pgoff, &data, &until);
		if (ret)
			return ret;
		if (data == want)
			return max(offset, (loff_t)pgoff << PAGE_SHIFT);
		pgoff = until;
		cond_resched();
	}
	return want ? -ENXIO : size;
}

loff_t context_seek(struct context *context, struct file *file, loff_t offset,
		    int whence)
{
	loff_t size = i_size_read(&context->inode);

	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		if (context_ended(context))
			return -ESRCH;
		offset = context_seek_for(context, offset, whence == SEEK_DATA);
		if (offset < 0)
			return offset;
		return vfs_setpos(file, offset, MAX_LFS_FILESIZE);
	}
	return generic_file_llseek_size(file, offset, whence, MAX_LFS_FILESIZE,
					size);
}

/* ---- poll and fdinfo ------------------------------------------------------- */

__poll_t context_poll(struct context *context, struct file *file,
		      struct poll_table_struct *table)
{
	poll_wait(file, &context->poll, table);
	return context_ended(context) ? EPOLLHUP : 0;
}

static void view_show(const struct view *view, struct seq_file *m)
{
	seq_printf(m, "view:\toffset %016llx address %016lx size %016llx flags %s%s\n",
		   (u64)view->pgoff << PAGE_SHIFT, view->address,
		   (u64)view->nr_pages << PAGE_SHIFT,
		   view->flags & PIDFD_MEM_MAP_READONLY ? "ro" : "rw",
		   view->flags & PIDFD_MEM_MAP_RESIDENT ? ",resident" : "");
}

/* /proc/PID/fdinfo/N, of all files of the context. */
void context_show(struct context *context, struct seq_file *m)
{
	struct watch *watch = context->watch;
	struct counters counters;
	unsigned long heard, index = 0;
	struct view *view;

	spin_lock(&watch->lock);
	counters = context->counters;
	heard = context->narrow ?
			context->heard + counters.invalidations_hit :
			watch->heard - context->heard;
	spin_unlock(&watch->lock);
	if (mutex_lock_killable(&context->mutex))
		return;
	seq_printf(m, "source:\t%d\n",
		   pid_nr_ns(context->pid, task_active_pid_ns(current)));
	seq_printf(m, "ended:\t%d\n", context_ended(context));
	seq_printf(m, "locked:\t%d\n", context->locked);
	seq_printf(m, "views:\t%lu\n", context->nr_views);
	seq_printf(m, "faults:\t%llu\n", counters.faults);
	seq_printf(m, "pages_mapped:\t%llu\n", counters.pages_mapped);
	seq_printf(m, "huge_pages_mapped:\t%llu\n", counters.huge_pages_mapped);
	seq_printf(m, "invalidations:\t%lu\n", heard);
	seq_printf(m, "invalidations_hit:\t%llu\n",
		   counters.invalidations_hit);
	seq_printf(m, "retries:\t%llu\n", counters.retries);
	mt_for_each(&context->views, view, index, ULONG_MAX) {
		if (!view->dead)
			view_show(view, m);
		/* Then it is called again with more room. */
		if (seq_has_overflowed(m) || fatal_signal_pending(current))
			break;
		cond_resched();
	}
	mutex_unlock(&context->mutex);
}

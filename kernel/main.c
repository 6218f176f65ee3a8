// SPDX-License-Identifier: GPL-2.0
/*
 * The module: its device, the files of a context, and their calls.
 *
 * Invariant: a context lives as long as the inode of its map file, of which it
 * is a part. Map files, mirrors and descriptors opened with O_PATH hold that
 * inode through their path, the ctrl file holds it by itself. Descriptors are
 * installed last, when nothing can fail any more.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/mman.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/pseudo_fs.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "remote_mapping.h"

static struct kmem_cache *context_cache;
static struct vfsmount *context_mount;
static const struct file_operations map_fops;

/* ---- the context and its inode --------------------------------------------- */

static struct inode *context_alloc_inode(struct super_block *sb)
{
	struct context *context;

	context = alloc_inode_sb(sb, context_cache, GFP_KERNEL);
	if (!context)
		return NULL;
	memset_startat(context, 0, mm);
	context->owned_first = ULONG_MAX;
	context->shares = RB_ROOT;
	context->addresses = RB_ROOT_CACHED;
	init_waitqueue_head(&context->poll);
	mutex_init(&context->populate);
	init_rwsem(&context->mirrors_lock);
	init_rwsem(&context->moving);
	context->mirrors = RB_ROOT_CACHED;
	init_waitqueue_head(&context->aside_wait);
	mutex_init(&context->mutex);
	mt_init_flags(&context->views, MT_FLAGS_USE_RCU);
	return &context->inode;
}

static void context_free_inode(struct inode *inode)
{
	kmem_cache_free(context_cache, context_of(inode));
}

/*
 * Somebody may hold the inode and none of the module's files: an O_PATH
 * descriptor. So the inode holds a file of the module, and with it the module.
 * Here the code of the module still runs when that is given back; but the file
 * is put by a task's way back to user mode, or by a worker a tick later, and it
 * is the core that then puts the module.
 */
static const struct file_operations pin_fops = {
	.owner = THIS_MODULE,
};

static void context_evict_inode(struct inode *inode)
{
	struct context *context = context_of(inode);

	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	/* First out of the sight of invalidations, then freed. */
	if (context->watch)
		context_unwatch(context);
	views_free(context);
	if (context->mm)
		mmdrop(context->mm);
	put_pid(context->pid);
	if (context->pin)
		fput(context->pin);
}

static const struct super_operations context_super_ops = {
	.alloc_inode = context_alloc_inode,
	.free_inode = context_free_inode,
	.evict_inode = context_evict_inode,
	.statfs = simple_statfs,
};

static int context_init_fs(struct fs_context *fc)
{
	struct pseudo_fs_context *pseudo = init_pseudo(fc, REMOTE_MAPPING_MAGIC);

	if (!pseudo)
		return -ENOMEM;
	pseudo->ops = &context_super_ops;
	return 0;
}

/* No owner: the mount would hold the module for ever. */
static struct file_system_type context_fs = {
	.name = "remote_mapping",
	.init_fs_context = context_init_fs,
	.kill_sb = kill_anon_super,
};

/* Its size is the views', its mode and owner are the context's. */
static int context_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
			   struct iattr *attributes)
{
	return -EPERM;
}

static const struct inode_operations context_inode_ops = {
	.setattr = context_setattr,
};

/* For fdinfo: the process, as long as it is known. */
static struct pid *context_pid(struct mm_struct *mm)
{
	struct pid *pid = NULL;
#ifdef CONFIG_MEMCG
	struct task_struct *owner;

	rcu_read_lock();
	owner = rcu_dereference(mm->owner);
	if (owner)
		pid = get_task_pid(owner, PIDTYPE_TGID);
	rcu_read_unlock();
#endif
	return pid;
}

static int context_init(struct context *context, struct mm_struct *mm,
			bool writable)
{
	struct inode *inode = &context->inode;

	inode->i_mode = S_IFREG | 0400 | (writable ? 0200 : 0);
	inode->i_op = &context_inode_ops;
	inode->i_fop = &map_fops;
	mmgrab(mm);
	context->mm = mm;
	context->snapshot.mm = mm;
	context->pid = context_pid(mm);
	context->writable = writable;
	context->pin = anon_inode_getfile("[remote_mapping]", &pin_fops, NULL,
					  O_RDONLY);
	if (IS_ERR(context->pin)) {
		int ret = PTR_ERR(context->pin);

		context->pin = NULL;
		return ret;
	}
	return context_watch(context);
}

/* A context's map file, with the inode's first reference. */
static struct file *context_map_file(struct context *context)
{
	struct file *file;

	/* alloc_file_pseudo() takes none, the last fput() gives one back. */
	__module_get(THIS_MODULE);
	file = alloc_file_pseudo(&context->inode, context_mount,
				 "remote_mapping",
				 (context->writable ? O_RDWR : O_RDONLY) |
				 O_LARGEFILE, &map_fops);
	if (IS_ERR(file))
		module_put(THIS_MODULE);
	else
		/* As an open by name would have it, of a regular file. */
		file->f_mode |= FMODE_PREAD | FMODE_PWRITE | FMODE_ATOMIC_POS;
	return file;
}

/**
 * context_open() - a new context
 * @mem: the authority, a /proc/PID/mem
 * @writable: whether viewers may write
 *
 * Return: its map file; ESRCH if the source is gone.
 */
static struct file *context_open(struct file *mem, bool writable)
{
	struct mm_struct *mm = mem->private_data;
	struct inode *inode;
	struct file *map;
	int ret;

	if (!mm)
		return ERR_PTR(-ESRCH);
	inode = alloc_anon_inode(context_mount->mnt_sb);
	if (IS_ERR(inode))
		return ERR_CAST(inode);
	ret = context_init(context_of(inode), mm, writable);
	map = ret ? ERR_PTR(ret) : context_map_file(context_of(inode));
	if (IS_ERR(map))
		iput(inode);
	return map;
}

/* ---- the ctrl file --------------------------------------------------------- */

static long ctrl_map(struct context *context, const void __user *argument)
{
	struct pidfd_mem_map range;

	if (copy_from_user(&range, argument, sizeof(range)))
		return -EFAULT;
	return view_add(context, &range);
}

static long ctrl_unmap(struct context *context, const void __user *argument)
{
	struct pidfd_mem_unmap range;

	if (copy_from_user(&range, argument, sizeof(range)))
		return -EFAULT;
	return view_remove(context, &range);
}

static long ctrl_ioctl(struct file *file, unsigned int call,
		       unsigned long argument)
{
	struct context *context = file->private_data;

	switch (call) {
	case PIDFD_MEM_MAP:
		return ctrl_map(context, (void __user *)argument);
	case PIDFD_MEM_UNMAP:
		return ctrl_unmap(context, (void __user *)argument);
	case PIDFD_MEM_LOCK:
		return argument ? -EINVAL : views_lock(context);
	default:
		return -ENOTTY;
	}
}

static __poll_t ctrl_poll(struct file *file, struct poll_table_struct *table)
{
	return context_poll(file->private_data, file, table);
}

static void ctrl_show(struct seq_file *m, struct file *file)
{
	context_show(file->private_data, m);
}

static int ctrl_release(struct inode *inode, struct file *file)
{
	struct context *context = file->private_data;

	iput(&context->inode);
	return 0;
}

static const struct file_operations ctrl_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = ctrl_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = ctrl_poll,
	.show_fdinfo = ctrl_show,
	.release = ctrl_release,
};

static struct file *ctrl_open(struct context *context)
{
	struct file *file;

	ihold(&context->inode);
	file = anon_inode_getfile("[pidfd_mem]", &ctrl_fops, context, O_RDWR);
	if (IS_ERR(file))
		iput(&context->inode);
	return file;
}

/* ---- the map file ---------------------------------------------------------- */

/* Opened again through /proc/PID/fd: never for more than the context gives. */
static int map_open(struct inode *inode, struct file *file)
{
	if (file->f_mode & FMODE_WRITE && !context_of(inode)->writable)
		return -EACCES;
	return 0;
}

static long context_ioctl(struct context *context, unsigned int call,
			  unsigned long argument)
{
	switch (call) {
	case PIDFD_MEM_REMAP:
		return mirror_check(context, argument);
	default:
		return -ENOTTY;
	}
}

static long map_ioctl(struct file *file, unsigned int call,
		      unsigned long argument)
{
	return context_ioctl(context_of(file_inode(file)), call, argument);
}

#ifdef CONFIG_COMPAT
/* As a 32-bit program numbers it: the argument's size is in the number. */
#define PIDFD_MEM_REMAP_32 _IOW('p', 0x04, compat_ulong_t)

static long map_compat_ioctl(struct file *file, unsigned int call,
			     unsigned long argument)
{
	if (call == PIDFD_MEM_REMAP_32)
		call = PIDFD_MEM_REMAP;
	return map_ioctl(file, call, argument);
}
#endif

static int map_mmap(struct file *file, struct vm_area_struct *vma)
{
	return mirror_mmap(context_of(file_inode(file)), vma);
}

/*
 * io_uring does not begin a transfer that may have to wait before a file that can
 * be polled says that it is ready; as any regular file, this one is. Nobody else
 * is told: who polls waits for the end, and it would seem that the end is there.
 */
static bool poll_is_by_io_uring(const struct poll_table_struct *table)
{
	const __poll_t mark = EPOLLET | EPOLLPRI;

	return (poll_requested_events(table) & mark) == mark;
}

static __poll_t map_poll(struct file *file, struct poll_table_struct *table)
{
	__poll_t ready = context_poll(context_of(file_inode(file)), file, table);

	if (!ready && poll_is_by_io_uring(table))
		ready = EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
	return ready;
}

static void map_show(struct seq_file *m, struct file *file)
{
	context_show(context_of(file_inode(file)), m);
}

static unsigned long map_place(struct file *file, unsigned long address,
			       unsigned long length, unsigned long pgoff,
			       unsigned long flags)
{
	/*
	 * To register a notifier gives way to signals (viewer.c): better now
	 * than when what MAP_FIXED replaces is gone.
	 */
	if (signal_pending(current))
		return -ERESTARTNOINTR;
	/* A hint or a demand is the caller's own affair. */
	if (address || flags & MAP_FIXED)
		return mm_get_unmapped_area(file, address, length,
					    pgoff, flags);
	return mirror_place(context_of(file_inode(file)), file, length, pgoff,
			    flags);
}

static ssize_t map_read(struct kiocb *iocb, struct iov_iter *to)
{
	return context_read(context_of(file_inode(iocb->ki_filp)), iocb, to);
}

static ssize_t map_write(struct kiocb *iocb, struct iov_iter *from)
{
	return context_write(context_of(file_inode(iocb->ki_filp)), iocb, from);
}

static ssize_t splice_read(struct file *file, loff_t *pos,
			   struct pipe_inode_info *pipe, size_t length,
			   unsigned int flags)
{
	ssize_t ret = copy_splice_read(file, pos, pipe, length, flags);

	/* It says EAGAIN where it was told EFAULT: nothing will change. */
	return ret == -EAGAIN ? -EFAULT : ret;
}

static loff_t map_seek(struct file *file, loff_t offset, int whence)
{
	return context_seek(context_of(file_inode(file)), file, offset, whence);
}

static const struct file_operations map_fops = {
	.owner = THIS_MODULE,
	.open = map_open,
	.llseek = map_seek,
	.read_iter = map_read,
	.write_iter = map_write,
	.splice_read = splice_read,
	.splice_write = iter_file_splice_write,
	.mmap = map_mmap,
	.get_unmapped_area = map_place,
	.unlocked_ioctl = map_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = map_compat_ioctl,
#endif
	.poll = map_poll,
	.show_fdinfo = map_show,
};

/* ---- the device ------------------------------------------------------------ */

/*
 * A file of the device that REMOTE_PROC_MAP made a map file has a map file of
 * its own behind it, from then on.
 */
static struct file *device_map(struct file *file)
{
	/* Pairs with cmpxchg() in device_remote_proc_map(). */
	return smp_load_acquire(&file->private_data);
}

static long device_remote_proc_map(struct file *file, unsigned long nr)
{
	struct pidfd_mem_map everything = {};
	struct file *mem, *map;
	bool write = file->f_mode & FMODE_WRITE;
	int ret;

	if (device_map(file))
		return -EALREADY;
	mem = access_open(nr > INT_MAX ? -1 : (pid_t)nr, write);
	if (IS_ERR(mem))
		return PTR_ERR(mem);
	map = context_open(mem, write);
	fput(mem);
	if (IS_ERR(map))
		return PTR_ERR(map);

	everything.size = context_of(file_inode(map))->mm->task_size;
	ret = view_add(context_of(file_inode(map)), &everything);
	if (!ret && cmpxchg(&file->private_data, NULL, map))
		ret = -EALREADY;
	if (ret)
		fput(map);
	return ret;
}

static int open_read(struct pidfd_mem_open *open, const void __user *argument)
{
	u32 size;
	int ret;

	if (get_user(size, (const u32 __user *)argument))
		return -EFAULT;
	if (size < sizeof(*open))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(open, sizeof(*open), argument, size);
	if (ret)
		return ret;
	if (open->flags & ~PIDFD_MEM_OPEN_RDONLY ||
	    memchr_inv(open->reserved, 0, sizeof(open->reserved)))
		return -EINVAL;
	return 0;
}

/* The map file of a context for the authority that the caller names. */
static struct file *open_map(const struct pidfd_mem_open *open)
{
	struct file *mem = fget(open->mem_fd), *map;

	if (!mem)
		return ERR_PTR(-EBADF);
	if (access_is_mem(mem) && mem->f_mode & FMODE_READ)
		map = context_open(mem, mem->f_mode & FMODE_WRITE &&
				   !(open->flags & PIDFD_MEM_OPEN_RDONLY));
	else
		map = ERR_PTR(-EBADF);
	fput(mem);
	return map;
}

/* Give both files to the caller, or neither. */
static int open_install(struct pidfd_mem_open *open, void __user *argument,
			struct file *ctrl, struct file *map)
{
	int ctrl_fd, map_fd, ret;

	ctrl_fd = get_unused_fd_flags(O_CLOEXEC);
	if (ctrl_fd < 0)
		return ctrl_fd;
	map_fd = get_unused_fd_flags(O_CLOEXEC);
	if (map_fd < 0) {
		ret = map_fd;
		goto err_ctrl_fd;
	}
	open->ctrl_fd = ctrl_fd;
	open->map_fd = map_fd;
	if (copy_to_user(argument, open, sizeof(*open))) {
		ret = -EFAULT;
		goto err_map_fd;
	}
	fd_install(ctrl_fd, ctrl);
	fd_install(map_fd, map);
	return 0;

err_map_fd:
	put_unused_fd(map_fd);
err_ctrl_fd:
	put_unused_fd(ctrl_fd);
	return ret;
}

static long device_pidfd_mem_open(struct file *file, void __user *argument)
{
	struct pidfd_mem_open open;
	struct file *map, *ctrl;
	int ret;

	if (device_map(file))
		return -EALREADY;
	ret = open_read(&open, argument);
	if (ret)
		return ret;
	map = open_map(&open);
	if (IS_ERR(map))
		return PTR_ERR(map);
	ctrl = ctrl_open(context_of(file_inode(map)));
	if (IS_ERR(ctrl)) {
		ret = PTR_ERR(ctrl);
		goto err_map;
	}
	ret = open_install(&open, argument, ctrl, map);
	if (ret)
		goto err_ctrl;
	return 0;

err_ctrl:
	fput(ctrl);
err_map:
	fput(map);
	return ret;
}

static long device_ioctl(struct file *file, unsigned int call,
			 unsigned long argument)
{
	struct file *map;

	if (call == REMOTE_PROC_MAP)
		return device_remote_proc_map(file, argument);
	/* A later struct is larger, and its size is in the call's number. */
	if ((call & ~IOCSIZE_MASK) == (PIDFD_MEM_OPEN & ~IOCSIZE_MASK))
		return device_pidfd_mem_open(file, (void __user *)argument);
	map = device_map(file);
	if (!map)
		return -ENOTTY;
	return map_ioctl(map, call, argument);
}

#ifdef CONFIG_COMPAT
static long device_compat_ioctl(struct file *file, unsigned int call,
				unsigned long argument)
{
	if (call == PIDFD_MEM_REMAP_32)
		call = PIDFD_MEM_REMAP;
	return device_ioctl(file, call, argument);
}
#endif

/* The mirror is one of the map file behind, which it keeps. */
static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct file *map = device_map(file);
	int ret;

	if (!map)
		return -EINVAL;
	ret = map_mmap(map, vma);
	if (!ret)
		vma_set_file(vma, map);
	return ret;
}

static unsigned long device_place(struct file *file, unsigned long address,
				  unsigned long length, unsigned long pgoff,
				  unsigned long flags)
{
	struct file *map = device_map(file);

	if (map)
		return map_place(map, address, length, pgoff, flags);
	return mm_get_unmapped_area(file, address, length, pgoff,
				    flags);
}

/* EINVAL is what read() says of a file unsuitable for reading. */
static ssize_t device_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *map = device_map(iocb->ki_filp);

	if (!map)
		return -EINVAL;
	return context_read(context_of(file_inode(map)), iocb, to);
}

static ssize_t device_write(struct kiocb *iocb, struct iov_iter *from)
{
	struct file *map = device_map(iocb->ki_filp);

	if (!map)
		return -EINVAL;
	return context_write(context_of(file_inode(map)), iocb, from);
}

static loff_t device_seek(struct file *file, loff_t offset, int whence)
{
	struct file *map = device_map(file);

	if (!map)
		return -EINVAL;
	return context_seek(context_of(file_inode(map)), file, offset, whence);
}

static __poll_t device_poll(struct file *file, struct poll_table_struct *table)
{
	struct file *map = device_map(file);

	return map ? map_poll(map, table) : EPOLLERR;
}

static void device_show(struct seq_file *m, struct file *file)
{
	struct file *map = device_map(file);

	if (map)
		map_show(m, map);
}

static int device_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL; /* the misc core left itself there */
	return 0;
}

static int device_release(struct inode *inode, struct file *file)
{
	struct file *map = device_map(file);

	if (map)
		fput(map);
	return 0;
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.llseek = device_seek,
	.read_iter = device_read,
	.write_iter = device_write,
	.splice_read = splice_read,
	.splice_write = iter_file_splice_write,
	.mmap = device_mmap,
	.get_unmapped_area = device_place,
	.unlocked_ioctl = device_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = device_compat_ioctl,
#endif
	.poll = device_poll,
	.show_fdinfo = device_show,
};

/* 0666: the authority is in what a caller can open, not in this node. */
static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = REMOTE_MAPPING_DEVICE,
	.fops = &device_fops,
	.mode = 0666,
};

/* ---- the module ------------------------------------------------------------ */

/*
 * What the core frees by a function of the module, after a grace period of its
 * own: it must all be gone before the module is.
 */
static atomic_t live = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(live_wait);
/* For work that ends what is live */
struct workqueue_struct *live_queue;

void live_get(void)
{
	atomic_inc(&live);
}

void live_put(void)
{
	if (atomic_dec_and_test(&live))
		wake_up_all(&live_wait);
}

static void context_construct(void *object)
{
	struct context *context = object;

	inode_init_once(&context->inode);
}

static int __init remote_mapping_init(void)
{
	int ret;

	if (!compat_page_tables_usable()) {
		pr_err("remote_mapping: CONFIG_PAGE_TABLE_CHECK of this kernel forbids mirrors: boot with page_table_check=off\n");
		return -EOPNOTSUPP;
	}
	ret = access_init();
	if (ret)
		return ret;
	ret = watch_init();
	if (ret)
		return ret;
	ret = blocks_init();
	if (ret)
		goto err_watch;
	live_queue = alloc_workqueue("remote_mapping", WQ_UNBOUND, 0);
	if (!live_queue) {
		ret = -ENOMEM;
		goto err_blocks;
	}
	context_cache = kmem_cache_create("remote_mapping",
					  sizeof(struct context), 0,
					  SLAB_ACCOUNT,
					  context_construct);
	if (!context_cache) {
		ret = -ENOMEM;
		goto err_queue;
	}
	context_mount = kern_mount(&context_fs);
	if (IS_ERR(context_mount)) {
		ret = PTR_ERR(context_mount);
		goto err_cache;
	}
	/* Nothing there is executable, whatever the caller's personality. */
	context_mount->mnt_sb->s_iflags |= SB_I_NOEXEC | SB_I_NODEV;
	ret = misc_register(&device);
	if (ret)
		goto err_mount;
	return 0;

err_mount:
	kern_unmount(context_mount);
err_cache:
	/* The mount's own inode is freed after a grace period. */
	rcu_barrier();
	kmem_cache_destroy(context_cache);
err_queue:
	destroy_workqueue(live_queue);
err_blocks:
	blocks_exit();
err_watch:
	watch_exit();
	return ret;
}

static void __exit remote_mapping_exit(void)
{
	misc_deregister(&device);
	kern_unmount(context_mount);
	/*
	 * mmu_notifier_synchronize() ends a grace period, but does not wait for
	 * what is called after it, with softirqs off. When that has been called,
	 * it has returned after a grace period of RCU.
	 */
	wait_event(live_wait, !atomic_read(&live));
	synchronize_rcu();
	destroy_workqueue(live_queue);
	watch_exit();
	rcu_barrier();
	blocks_exit();
	kmem_cache_destroy(context_cache);
}

module_init(remote_mapping_init);
module_exit(remote_mapping_exit);

MODULE_DESCRIPTION("Map the memory of another process, zero-copy and live");
MODULE_AUTHOR("The remote mapping developers");
MODULE_VERSION(REMOTE_MAPPING_VERSION);
MODULE_LICENSE("GPL");

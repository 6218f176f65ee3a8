// SPDX-License-Identifier: GPL-2.0
/*
 * Authority: who may see whose memory.
 *
 * Invariant: the module itself grants nothing. A context is made only from an
 * open /proc/PID/mem; to open that file is the kernel's own check (ptrace
 * access mode, LSMs, namespaces, hidepid), and the file refers to exactly the
 * address space that was checked.
 *
 * Such a file is known by its file operations. They are learned when the
 * module is loaded, from the /proc of the process that loads it, never later:
 * a user can lay another file over a path in a mount namespace of his own.
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>

#include "remote_mapping.h"

static const struct file_operations *mem_fops __ro_after_init;

int __init access_init(void)
{
	struct file *file = filp_open("/proc/self/mem", O_RDONLY, 0);
	int ret = 0;

	if (IS_ERR(file)) {
		pr_err("remote_mapping: /proc/self/mem cannot be opened (%ld): mount /proc first\n",
		       PTR_ERR(file));
		return PTR_ERR(file);
	}
	if (file_inode(file)->i_sb->s_magic != PROC_SUPER_MAGIC ||
	    !current->mm || file->private_data != current->mm) {
		pr_err("remote_mapping: /proc/self/mem is not what it should be\n");
		ret = -EINVAL;
	} else {
		mem_fops = file->f_op;
	}
	filp_close(file, NULL);
	return ret;
}

/* Whether the file is a /proc/PID/mem: then its private_data is the mm. */
bool access_is_mem(const struct file *file)
{
	return file->f_op == mem_fops;
}

/*
 * Whether the address space is that of the process with this pid in the
 * caller's pid namespace; the path may have led to another process's.
 */
static int access_check(const struct mm_struct *mm, pid_t nr)
{
	struct task_struct *task;
	struct mm_struct *own;
	struct pid *pid;
	int ret = 0;

	pid = find_get_pid(nr);
	task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	if (!task)
		return -ESRCH;

	own = get_task_mm(task);
	if (own != mm)
		ret = -ESRCH;
	else if (!own)
		ret = task->flags & PF_KTHREAD ? -EINVAL : -ESRCH;
	if (own)
		mmput(own);
	put_task_struct(task);
	return ret;
}

static struct file *access_try(pid_t nr, bool write)
{
	struct file *file;
	char path[32];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/mem", nr);
	/* Whatever a caller's own /proc may be: not to wait for a FIFO. */
	file = filp_open(path, (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW |
			 O_NONBLOCK | O_NOCTTY, 0);
	if (IS_ERR(file)) {
		/*
		 * No such file: no such process, as far as the caller can see
		 * (hidepid), or no /proc. Newer kernels do not open that of a
		 * kernel thread: say what it is.
		 */
		if (PTR_ERR(file) == -ENOENT || PTR_ERR(file) == -ENOTDIR)
			return ERR_PTR(-ESRCH);
		if (PTR_ERR(file) == -ESRCH)
			return ERR_PTR(access_check(NULL, nr) ?: -ESRCH);
		return file;
	}

	ret = access_is_mem(file) ? access_check(file->private_data, nr) :
				    -ESRCH;
	if (ret) {
		fput(file);
		return ERR_PTR(ret);
	}
	return file;
}

/**
 * access_open() - open /proc/PID/mem as the caller may
 * @nr: in the caller's pid namespace
 * @write: for writing too
 *
 * Return: a file with an address space, or what opening it says: ESRCH where
 * there is no such process, EINVAL where it is a kernel thread.
 */
struct file *access_open(pid_t nr, bool write)
{
	struct file *file;

	if (nr <= 0)
		return ERR_PTR(-ESRCH);
	file = access_try(nr, write);
	/* It may have called execve() between the opening and the check. */
	if (file == ERR_PTR(-ESRCH))
		file = access_try(nr, write);
	return file;
}

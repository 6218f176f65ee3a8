// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The source's regions, from /proc/PID/smaps or maps. Invariant: the array and
 * the names are one allocation, so that free() is all there is to freeing them.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* What backs a file's mapping, by its device */
enum backing { DISK, TMPFS, HUGETLBFS, DEVTMPFS };

struct filesystem {
	unsigned int major;
	unsigned int minor;
	enum backing backing;
};

struct reader {
	struct remotemap_region *regions;
	size_t count;
	size_t room;
	/* While it is read name is where the name is in names. */
	char *names;
	size_t names_length;
	size_t names_room;
	struct filesystem *filesystems;
	size_t nr_filesystems;
	/* Of the region that is being read, from VmFlags */
	bool hugetlb;
	bool device;
};

/* ---- arrays that grow ---------------------------------------------------- */

static int region_new(struct reader *reader, struct remotemap_region **region)
{
	if (reader->count == reader->room) {
		size_t room = reader->room ? 2 * reader->room : 64;
		struct remotemap_region *more =
			realloc(reader->regions, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		reader->regions = more;
		reader->room = room;
	}
	*region = &reader->regions[reader->count++];
	memset(*region, 0, sizeof(**region));
	return 0;
}

static int name_keep(struct reader *reader, const char *name, size_t length)
{
	if (reader->names_room - reader->names_length <= length) {
		size_t room = 2 * (reader->names_room + length + 1024);
		char *more = realloc(reader->names, room);

		if (!more)
			return -ENOMEM;
		reader->names = more;
		reader->names_room = room;
	}
	memcpy(reader->names + reader->names_length, name, length);
	reader->names_length += length;
	reader->names[reader->names_length++] = '\0';
	return 0;
}

/* ---- which file systems are memory --------------------------------------- */

static int mount_line(void *context, const char *text)
{
	struct reader *reader = context;
	struct filesystem filesystem = { 0 }, *more;
	const char *type = strstr(text, " - ");

	if (!type || sscanf(text, "%*u %*u %u:%u", &filesystem.major,
			    &filesystem.minor) != 2)
		return 1;
	type += strlen(" - ");
	if (!strncmp(type, "tmpfs ", strlen("tmpfs ")))
		filesystem.backing = TMPFS;
	else if (!strncmp(type, "hugetlbfs ", strlen("hugetlbfs ")))
		filesystem.backing = HUGETLBFS;
	else if (!strncmp(type, "devtmpfs ", strlen("devtmpfs ")))
		filesystem.backing = DEVTMPFS;
	else
		return 1;
	more = realloc(reader->filesystems,
		       (reader->nr_filesystems + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	reader->filesystems = more;
	more[reader->nr_filesystems++] = filesystem;
	return 1;
}

static enum backing backing_of(const struct reader *reader,
			       const struct remotemap_region *region)
{
	size_t i;

	for (i = 0; i < reader->nr_filesystems; i++)
		if (reader->filesystems[i].major == region->major &&
		    reader->filesystems[i].minor == region->minor)
			return reader->filesystems[i].backing;
	return DISK;
}

/* ---- what a region is ---------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool ends(const char *text, const char *with)
{
	size_t length = strlen(text), tail = strlen(with);

	return length >= tail && !strcmp(text + length - tail, with);
}

/* Files of the kernel itself are on devices without a major number. */
static enum remotemap_kind kind_of_internal(const char *name)
{
	if (begins(name, "/memfd:") || begins(name, "/SYSV") ||
	    begins(name, "/dev/zero"))
		return REMOTEMAP_SHMEM;
	if (begins(name, "/anon_hugepage"))
		return REMOTEMAP_HUGETLB;
	if (!strcmp(name, "/secretmem") ||
	    !strcmp(name, "/secretmem (deleted)"))
		return REMOTEMAP_SECRET;
	if (begins(name, "anon_inode:") || begins(name, "/remote_mapping"))
		return REMOTEMAP_DEVICE;
	return REMOTEMAP_FILE;
}

static enum remotemap_kind kind_of_file(const struct reader *reader,
					const struct remotemap_region *region,
					const char *name)
{
	switch (backing_of(reader, region)) {
	case TMPFS:
		return REMOTEMAP_SHMEM;
	case HUGETLBFS:
		return REMOTEMAP_HUGETLB;
	case DEVTMPFS:
		return REMOTEMAP_DEVICE;
	case DISK:
		break;
	}
	return region->major ? REMOTEMAP_FILE : kind_of_internal(name);
}

static enum remotemap_kind kind_of(const struct reader *reader,
				   const struct remotemap_region *region,
				   const char *name)
{
	if (begins(name, "[vdso") || begins(name, "[vvar") ||
	    begins(name, "[vsyscall") || begins(name, "[uprobes"))
		return REMOTEMAP_SPECIAL;
	if (reader->device)
		return REMOTEMAP_DEVICE;
	if (reader->hugetlb)
		return REMOTEMAP_HUGETLB;
	if (!strcmp(name, "[heap]"))
		return REMOTEMAP_HEAP;
	if (begins(name, "[stack"))
		return REMOTEMAP_STACK;
	if (begins(name, "[anon_shmem"))
		return REMOTEMAP_SHMEM;
	if (!region->inode && !region->major && !region->minor)
		return REMOTEMAP_ANONYMOUS;
	return kind_of_file(reader, region, name);
}

/* As the module decides it; what is for the kernel alone it does not find. */
static bool is_shown(const struct reader *reader,
		     const struct remotemap_region *region, const char *name)
{
	return region->flags & REMOTEMAP_REGION_READ && !reader->device &&
	       region->kind != REMOTEMAP_DEVICE &&
	       region->kind != REMOTEMAP_SECRET && !begins(name, "[vvar") &&
	       !begins(name, "[vsyscall");
}

/* The last region's lines are all read. */
static void region_finish(struct reader *reader)
{
	struct remotemap_region *region;
	const char *name;

	if (!reader->count)
		return;
	region = &reader->regions[reader->count - 1];
	name = reader->names + (uintptr_t)region->name;
	region->kind = kind_of(reader, region, name);
	if (is_shown(reader, region, name))
		region->flags |= REMOTEMAP_REGION_SHOWN;
	reader->hugetlb = false;
	reader->device = false;
}

/* ---- lines --------------------------------------------------------------- */

static unsigned int rights(const char *text)
{
	unsigned int flags = 0;

	if (text[0] == 'r')
		flags |= REMOTEMAP_REGION_READ;
	if (text[1] == 'w')
		flags |= REMOTEMAP_REGION_WRITE;
	if (text[2] == 'x')
		flags |= REMOTEMAP_REGION_EXEC;
	if (text[3] == 's')
		flags |= REMOTEMAP_REGION_SHARED;
	return flags;
}

static int header_line(struct reader *reader, const char *text)
{
	unsigned long long start, end, offset, inode;
	struct remotemap_region *region;
	unsigned int major, minor;
	char permissions[5];
	size_t length;
	int err, name = 0;

	if (sscanf(text, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end,
		   permissions, &offset, &major, &minor, &inode, &name) != 7)
		return 1;
	region_finish(reader);
	err = region_new(reader, &region);
	if (err)
		return err;
	region->start = start;
	region->end = end;
	region->flags = rights(permissions);
	region->offset = offset;
	region->major = major;
	region->minor = minor;
	region->inode = inode;
	region->name = (char *)(uintptr_t)reader->names_length;
	length = strcspn(text + name, "\n");
	err = name_keep(reader, text + name, length);
	return err ? err : 1;
}

static void flags_line(struct reader *reader, struct remotemap_region *region,
		       const char *text)
{
	for (text += strlen("VmFlags:"); (text = strchr(text, ' ')); text++) {
		if (begins(text, " ht"))
			reader->hugetlb = true;
		if (begins(text, " io") || begins(text, " pf"))
			reader->device = true;
		if (begins(text, " dd"))
			region->flags |= REMOTEMAP_REGION_DONTDUMP;
	}
}

static void size_line(struct remotemap_region *region, const char *text)
{
	unsigned long long kilobytes;
	uint64_t bytes;
	char key[32];

	if (sscanf(text, "%31[A-Za-z_]: %llu kB", key, &kilobytes) != 2)
		return;
	bytes = kilobytes * 1024;
	/* Pages of hugetlb are in no Rss. */
	if (!strcmp(key, "Rss") || ends(key, "_Hugetlb"))
		region->resident += bytes;
	if (!strcmp(key, "AnonHugePages") || ends(key, "PmdMapped") ||
	    ends(key, "_Hugetlb"))
		region->huge += bytes;
	if (!strcmp(key, "Swap"))
		region->swapped = bytes;
	if (!strcmp(key, "KernelPageSize"))
		region->page_size = bytes;
	if (!strcmp(key, "Anonymous") && bytes)
		region->flags |= REMOTEMAP_REGION_MODIFIED;
}

static int region_line(void *context, const char *text)
{
	struct reader *reader = context;
	struct remotemap_region *region;

	/* A key begins with a capital, an address does not. */
	if (text[0] < 'A' || text[0] > 'Z')
		return header_line(reader, text);
	if (!reader->count)
		return 1;
	region = &reader->regions[reader->count - 1];
	if (begins(text, "VmFlags:"))
		flags_line(reader, region, text);
	else
		size_line(region, text);
	return 1;
}

/* ---- all of them --------------------------------------------------------- */

/* Regions and names into one allocation */
static int reader_pack(struct reader *reader)
{
	size_t i, size = reader->count * sizeof(*reader->regions);
	char *packed;

	if (!reader->count)
		return 0;
	packed = realloc(reader->regions, size + reader->names_length);
	if (!packed)
		return -ENOMEM;
	reader->regions = (struct remotemap_region *)packed;
	memcpy(packed + size, reader->names, reader->names_length);
	for (i = 0; i < reader->count; i++)
		reader->regions[i].name =
			packed + size + (uintptr_t)reader->regions[i].name;
	return 0;
}

static int regions_read(struct reader *reader, pid_t pid, const char *file)
{
	char path[64];
	int err;

	/* Without it what is on a tmpfs is a file like others. */
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	err = lines_read(path, mount_line, reader);
	if (err == -ENOMEM)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	err = lines_read(path, region_line, reader);
	if (err == -ENOENT)
		return proc_missing();
	if (err)
		return err;
	region_finish(reader);
	return reader_pack(reader);
}

static ssize_t regions_of(pid_t pid, const char *file,
			  struct remotemap_region **regions)
{
	KEEP_CALM;
	struct reader reader = { 0 };
	int err;

	if (!regions)
		return -EFAULT;
	if (pid <= 0)
		return -ESRCH;
	err = regions_read(&reader, pid, file);
	free(reader.names);
	free(reader.filesystems);
	if (err) {
		free(reader.regions);
		return err;
	}
	*regions = reader.regions;
	return (ssize_t)reader.count;
}

EXPORTED ssize_t remotemap_regions(pid_t pid, struct remotemap_region **regions)
{
	return regions_of(pid, "smaps", regions);
}

EXPORTED ssize_t remotemap_regions_brief(pid_t pid,
					 struct remotemap_region **regions)
{
	return regions_of(pid, "maps", regions);
}

EXPORTED void remotemap_regions_free(struct remotemap_region *regions,
				     ssize_t count)
{
	KEEP_ERRNO;

	(void)count;
	free(regions);
}

EXPORTED const char *remotemap_kind_name(enum remotemap_kind kind)
{
	static const char *const names[] = {
		[REMOTEMAP_ANONYMOUS] = "anonymous",
		[REMOTEMAP_FILE] = "file",
		[REMOTEMAP_SHMEM] = "shmem",
		[REMOTEMAP_HUGETLB] = "hugetlb",
		[REMOTEMAP_HEAP] = "heap",
		[REMOTEMAP_STACK] = "stack",
		[REMOTEMAP_SPECIAL] = "special",
		[REMOTEMAP_DEVICE] = "device",
		[REMOTEMAP_SECRET] = "secret",
	};

	return (size_t)kind < sizeof(names) / sizeof(*names) ? names[kind] :
							       "unknown";
}

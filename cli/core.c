// SPDX-License-Identifier: GPL-2.0
/* See core.h. */
#include "core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

/* Makes room for more elements of size beside count: false if there is none. */
static bool grow(void *array, size_t size, size_t count, size_t more,
		 size_t *room)
{
	void **at = array, *larger;
	size_t wanted = *room ? *room : 64;

	if (count + more <= *room)
		return true;
	while (wanted < count + more)
		wanted *= 2;
	larger = reallocarray(*at, wanted, size);
	if (!larger)
		return false;
	*at = larger;
	*room = wanted;
	return true;
}

enum status core_add(struct core *core, const struct core_segment *segment)
{
	if (!grow(&core->segment, sizeof(*segment), core->count, 1,
		  &core->room))
		return fail(STATUS_SYSTEM, "out of memory");
	core->segment[core->count++] = *segment;
	return STATUS_OK;
}

/* ---- notes ----------------------------------------------------------------- */

static size_t padded(size_t size)
{
	return (size + 3) & ~3UL;
}

static enum status note_add(struct core *core, uint32_t type, const void *bytes,
			    size_t size)
{
	static const char name[8] = "CORE";
	const Elf64_Nhdr header = {
		.n_namesz = 5,
		.n_descsz = size,
		.n_type = type,
	};
	size_t all = sizeof(header) + sizeof(name) + padded(size);
	unsigned char *at;

	if (size > UINT32_MAX)
		return fail(STATUS_SYSTEM, "a note of %zu bytes is too large",
			    size);
	if (!grow(&core->notes, 1, core->notes_size, all, &core->notes_room))
		return fail(STATUS_SYSTEM, "out of memory");
	at = core->notes + core->notes_size;
	memset(at, 0, all);
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), name, sizeof(name));
	memcpy(at + sizeof(header) + sizeof(name), bytes, size);
	core->notes_size += all;
	return STATUS_OK;
}

/* Up to size bytes of /proc/PID/NAME: how many, or -errno */
static ssize_t proc_read(pid_t pid, const char *name, void *bytes, size_t size)
{
	char path[64];
	size_t done = 0;
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < size) {
		got = read(fd, (char *)bytes + done, size - done);
		if (got <= 0)
			break;
		done += got;
	}
	if (got < 0)
		got = -errno;
	close(fd);
	return got < 0 ? got : (ssize_t)done;
}

/* What ps shows: from /proc/PID/stat and cmdline, as far as they can be read */
static enum status note_process(struct core *core, pid_t pid)
{
	struct elf_prpsinfo info = { .pr_pid = pid };
	char text[1024], *name, *rest;
	ssize_t size;

	size = proc_read(pid, "stat", text, sizeof(text) - 1);
	text[size > 0 ? size : 0] = '\0';
	/* The name may hold anything, so brackets, too. */
	name = strchr(text, '(');
	rest = strrchr(text, ')');
	if (name && rest) {
		*rest = '\0';
		snprintf(info.pr_fname, sizeof(info.pr_fname), "%s", name + 1);
		if (sscanf(rest + 1, " %c %d %d %d", &info.pr_sname,
			   &info.pr_ppid, &info.pr_pgrp, &info.pr_sid) < 1)
			info.pr_sname = '?';
		info.pr_zomb = info.pr_sname == 'Z';
	}
	size = proc_read(pid, "cmdline", text, sizeof(info.pr_psargs) - 1);
	for (ssize_t i = 0; i < size; i++)
		info.pr_psargs[i] = text[i] || i == size - 1 ? text[i] : ' ';
	return note_add(core, NT_PRPSINFO, &info, sizeof(info));
}

static enum status note_auxv(struct core *core, pid_t pid)
{
	Elf64_auxv_t auxv[128];
	ssize_t size = proc_read(pid, "auxv", auxv, sizeof(auxv));

	if (size < 0)
		return fail(STATUS_REFUSED, "/proc/%d/auxv: %s", pid,
			    strerror(-size));
	return note_add(core, NT_AUXV, auxv, size);
}

static bool is_file(const struct remotemap_region *region)
{
	return region->name[0] == '/';
}

/* Count and page size, then three words a mapping, then their names */
static enum status note_files(struct core *core,
			      const struct remotemap_region *regions,
			      ssize_t count)
{
	uint64_t *word, number = 0;
	size_t size = 2 * sizeof(*word);
	enum status status;
	char *name, *note;

	for (ssize_t i = 0; i < count; i++) {
		if (!is_file(&regions[i]))
			continue;
		number++;
		size += 3 * sizeof(*word) + strlen(regions[i].name) + 1;
	}
	note = malloc(size);
	if (!note)
		return fail(STATUS_SYSTEM, "out of memory");
	word = (uint64_t *)note;
	name = note + (2 + 3 * number) * sizeof(*word);
	*word++ = number;
	*word++ = CORE_PAGE;
	for (ssize_t i = 0; i < count; i++) {
		if (!is_file(&regions[i]))
			continue;
		*word++ = regions[i].start;
		*word++ = regions[i].end;
		*word++ = regions[i].offset / CORE_PAGE;
		name = stpcpy(name, regions[i].name) + 1;
	}
	status = note_add(core, NT_FILE, note, size);
	free(note);
	return status;
}

enum status core_describe(struct core *core, pid_t pid,
			  const struct remotemap_region *regions, ssize_t count)
{
	enum status status = note_process(core, pid);

	if (!status)
		status = note_auxv(core, pid);
	if (!status)
		status = note_files(core, regions, count);
	return status;
}

/* ---- layout ---------------------------------------------------------------- */

/*
 * More program headers than e_phnum can count: it says so, and section header 0
 * counts them.
 */
static bool many(const struct core *core)
{
	return core->count + 1 >= PN_XNUM;
}

static uint64_t sections_offset(const struct core *core)
{
	return sizeof(Elf64_Ehdr) + (core->count + 1) * sizeof(Elf64_Phdr);
}

static uint64_t notes_offset(const struct core *core)
{
	return sections_offset(core) + (many(core) ? sizeof(Elf64_Shdr) : 0);
}

void core_layout(struct core *core)
{
	uint64_t offset = notes_offset(core) + core->notes_size;

	offset = (offset + CORE_PAGE - 1) & -CORE_PAGE;
	core->data = offset;
	for (size_t i = 0; i < core->count; i++) {
		core->segment[i].offset = offset;
		offset += core->segment[i].file;
	}
	core->end = offset;
}

static void fill_program_headers(const struct core *core, Elf64_Phdr *header)
{
	*header++ = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = notes_offset(core),
		.p_filesz = core->notes_size,
		.p_align = 4,
	};
	for (size_t i = 0; i < core->count; i++) {
		const struct core_segment *segment = &core->segment[i];

		if (segment->memory)
			*header = (Elf64_Phdr){
				.p_type = PT_LOAD,
				.p_flags = segment->rights,
				.p_offset = segment->offset,
				.p_vaddr = segment->start,
				.p_paddr = core->physical ? segment->start : 0,
				.p_filesz = segment->file,
				.p_memsz = segment->memory,
				.p_align = CORE_PAGE,
			};
		header++;
	}
}

void *core_headers(const struct core *core)
{
	char *bytes = calloc(1, core->data);
	Elf64_Ehdr *header = (Elf64_Ehdr *)bytes;

	if (!bytes) {
		complain("out of memory");
		return NULL;
	}
	*header = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			     ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = core->count + 1,
	};
	if (many(core)) {
		header->e_phnum = PN_XNUM;
		header->e_shoff = sections_offset(core);
		header->e_shentsize = sizeof(Elf64_Shdr);
		header->e_shnum = 1;
		*(Elf64_Shdr *)(bytes + header->e_shoff) = (Elf64_Shdr){
			.sh_type = SHT_NULL,
			.sh_size = header->e_shnum,
			.sh_info = core->count + 1,
		};
	}
	fill_program_headers(core, (Elf64_Phdr *)(bytes + header->e_phoff));
	memcpy(bytes + notes_offset(core), core->notes, core->notes_size);
	return bytes;
}

void core_truncate(struct core *core, size_t at, uint64_t written)
{
	if (at >= core->count)
		return;
	core->end = core->segment[at].offset + written;
	/* Its memory, too: what is left away would read as zeros. */
	core->segment[at].file = written;
	core->segment[at].memory = written;
	while (++at < core->count) {
		/* Nothing points past the file's end. */
		core->segment[at].offset = core->end;
		if (!core->segment[at].file)
			continue;
		core->segment[at].file = 0;
		core->segment[at].memory = 0;
	}
}

void core_free(struct core *core)
{
	free(core->segment);
	free(core->notes);
	*core = (struct core){ 0 };
}

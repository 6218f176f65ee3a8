# SPDX-License-Identifier: GPL-2.0
#
# `make help` lists the targets. Everything is built under build/.

define help
make demo           see it work, in a virtual machine
make check          everything that is to hold: static checks, then all tests
                    on all kernels; ends with "N passed, N failed"
make check-static   only what needs no virtual machine
make check-vm       only the tests: KERNEL=6.1 one kernel, TEST=fork only the
                    programs whose names hold that
make check-debug    all tests on a kernel with KASAN, lockdep, kmemleak and more
                    in it, which is built once, in a quarter of an hour
make check-race     the same on one with KCSAN, which looks for data races
make soak           everything at once, by chance, and every value checked:
                    SECONDS=120, SEED= (printed), KERNEL=6.12
make soak-bites     it finds what is broken on purpose: KERNEL=6.12
make fuzz           programs by chance against the user API, guided by what they
                    make the module do: SECONDS=180, SEED= (printed),
                    KERNEL=debug, CORPUS=update to keep what was found
make module         build/KERNEL/remote_mapping.ko for the kernels in KERNELS
                    (the running kernel: make -C kernel)
make lib cli examples test   what their folders hold
make bench          measure it beside its peers: bench/results/
make deb            Debian packages, in build/deb
make check-packages builds, installs, upgrades and removes them in a clean
                    Debian, and runs what they install
make install        library, headers, command, Python module, man pages;
                    PREFIX=$(PREFIX), DESTDIR=
make uninstall      what that put there
make clean
endef

KERNELS ?= 6.1 6.12

PREFIX ?= /usr/local
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
MANDIR ?= $(PREFIX)/share/man
# Where Python looks: without Python there is no such place.
PYTHONDIR ?= $(shell python3 -c 'import sys, sysconfig; \
	path = sysconfig.get_path("purelib"); \
	print(sys.argv[1] + path[path.index("/lib/python"):])' $(PREFIX) 2>/dev/null)

CFLAGS ?= -O2 -g
warnings := -Wall -Wextra -Werror
flags = -std=gnu11 $(warnings) -Ikernel/uapi -Ilib -Ilib/qemu -MMD -MP -pthread

version := $(shell cat VERSION)
soname := libremotemap.so.0
real_name := libremotemap.so.$(version)
qemu_soname := libremotemap-qemu.so.0
qemu_real_name := libremotemap-qemu.so.$(version)
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/remote-mapping/kernels
jobs := $(shell nproc)

tests := $(patsubst test/%.c,build/test/%,$(wildcard test/test_*.c)) \
	$(patsubst test/%.sh,build/test/%,$(wildcard test/test_*.sh))
examples := $(patsubst %.c,build/%,$(wildcard examples/*.c))
modules := $(KERNELS:%=build/%/remote_mapping.ko)

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help deps module lib cli examples test demo install clean
.PHONY: check check-static check-vm check-debug check-race

all: module lib cli examples test
help:
	$(info $(help))@:

# ---- the module --------------------------------------------------------------

# Kbuild leaves its products beside the sources, so each kernel gets a folder
# of links to them.
module: $(modules)

kernel_sources := $(shell find kernel -type f ! -name '.*' \( -name '*.[ch]' \
	-o -name Kbuild -o -name VERSION \) ! -name '*.mod.c')

$(modules): build/%/remote_mapping.ko: $(kernel_sources) $(cache)/%/release
	@mkdir -p $(@D)
	@find $(@D) -maxdepth 1 -type l -delete
	@ln -s $(addprefix ../../,$(sort $(foreach f,$(kernel_sources),\
		kernel/$(firstword $(subst /, ,$(f:kernel/%=%)))))) $(@D)
	+@$(MAKE) -C $(cache)/$*/headers M=$(CURDIR)/$(@D) \
		$(if $(filter -j%,$(MAKEFLAGS)),,-j$(jobs)) modules
	@touch $@

# The cache outlives the tree; what it holds is used as it is.
$(cache)/%/release: | deps
	@scripts/kernels fetch $*

deps:
	@scripts/deps build

# ---- the command ---------------------------------------------------------------

cli: build/cli/remotemap build/cli/completion.bash

cli_libraries := -ljansson -lm -lncursesw -ltinfo -lyara
cli_objects := $(patsubst cli/%.c,build/cli-objects/%.o,$(wildcard cli/*.c))

# Not beside it: what is in build/cli are programs.
build/cli-objects/%.o: cli/%.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) -D_GNU_SOURCE \
		-DVERSION='"$(version)"' -c -o $@ $<

build/cli/remotemap: $(cli_objects) build/lib/libremotemap.so \
		build/lib/libremotemap-qemu.so
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(flags) $(LDFLAGS) -o $@ $(cli_objects) \
		-Lbuild/lib -lremotemap-qemu -lremotemap $(cli_libraries)

build/cli/completion.bash: cli/completion.bash
	@install -D -m 644 $< $@

# ---- library, examples, tests ------------------------------------------------

lib: build/lib/$(soname) build/lib/libremotemap.so build/lib/libremotemap.a

lib_objects := $(patsubst %.c,build/%.o,$(wildcard lib/*.c))

build/lib/%.o: lib/%.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) -fPIC -fvisibility=hidden \
		-DREMOTEMAP_VERSION='"$(version)"' -c -o $@ $<

build/lib/$(soname): $(lib_objects) lib/remotemap.map
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(soname) -Wl,-z,defs \
		-Wl,--version-script,lib/remotemap.map -o $@ $(lib_objects)

build/lib/libremotemap.so: build/lib/$(soname)
	@ln -sf $(<F) $@

build/lib/libremotemap.a: $(lib_objects)
	$(AR) rcs $@ $^

# What asks QEMU is a library of its own: it takes a JSON parser.
lib: build/lib/$(qemu_soname) build/lib/libremotemap-qemu.so
lib: build/lib/libremotemap-qemu.a

qemu_objects := $(patsubst %.c,build/%.o,$(wildcard lib/qemu/*.c))

build/lib/$(qemu_soname): $(qemu_objects) lib/qemu/remotemap-qemu.map \
		build/lib/libremotemap.so
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(qemu_soname) \
		-Wl,-z,defs -Wl,--version-script,lib/qemu/remotemap-qemu.map \
		-o $@ $(qemu_objects) -Lbuild/lib -lremotemap -ljansson

build/lib/libremotemap-qemu.so: build/lib/$(qemu_soname)
	@ln -sf $(<F) $@

build/lib/libremotemap-qemu.a: $(qemu_objects)
	$(AR) rcs $@ $^

examples: $(examples)

build/examples/guest_%: example_libraries := -lremotemap-qemu

build/examples/%: examples/%.c build/lib/libremotemap.so \
		build/lib/libremotemap-qemu.so Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) $(LDFLAGS) -o $@ $< \
		-Lbuild/lib $(example_libraries) -lremotemap

build/demo/demo: demo/demo.c build/lib/libremotemap.so Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) $(LDFLAGS) -o $@ $< \
		-Lbuild/lib -lremotemap

test: $(tests)

# The harness is the kernel's own; its warnings are its own affair.
harness := $(cache)/source/tools/testing/selftests

test_shared := build/test/common.o build/test/fuse.o

$(test_shared): build/test/%.o: test/%.c $(cache)/source/release Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) -isystem $(harness) -c -o $@ $<

build/test/test_%: test/test_%.c $(test_shared) build/lib/libremotemap.a
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) -isystem $(harness) $(LDFLAGS) \
		-o $@ $< $(test_shared) build/lib/libremotemap.a

# What shell tests read is beside them.
shell_shared := $(addprefix build/test/,tap.sh programs.sh terminal.sh guests.sh \
	qmp.py)

build/test/test_%: test/test_%.sh $(shell_shared)
	@install -D -m 755 $< $@

$(shell_shared): build/%: %
	@install -D -m 644 $< $@

# A guest for QEMU, 32-bit code that QEMU loads where its header says
test: build/test/guest.bin

build/test/guest.bin: test/guest/guest.S Makefile
	@mkdir -p $(@D)
	$(CC) -m32 -c -o $(@:.bin=.o) $<
	$(LD) -m elf_i386 -Ttext 0x100000 -e _start --oformat binary -o $@ \
		$(@:.bin=.o)

# /init of a Linux guest, without a C library
test: build/test/guest-init build/test/guest_tasks.py

build/test/guest-init: test/guest/init.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -std=gnu11 $(warnings) -ffreestanding -fno-stack-protector \
		-fno-tree-loop-distribute-patterns -nostdlib -static -o $@ $<

build/test/guest_tasks.py: examples/guest_tasks.py
	@install -D -m 755 $< $@

# ---- the Python package --------------------------------------------------------

python_package := $(wildcard python/remotemap/*.py) python/remotemap/py.typed

# Beside the tests, for the virtual machine
test: $(patsubst %,build/test/%,$(python_package) $(wildcard python/tests/*.py))

build/test/python/%: python/%
	@install -D -m 644 $< $@

# Their commands are a test.
test: build/test/docs/tutorial.md build/test/docs/look-into-a-vm.md

build/test/docs/%: docs/%
	@install -D -m 644 $< $@

# ---- the consistency checker -------------------------------------------------

soak_objects := $(patsubst test/%.c,build/%.o,$(wildcard test/soak/*.c))
soak_kernel = $(or $(KERNEL),$(lastword $(KERNELS)))
.PHONY: soak soak-bites

test: build/test/soak

build/soak/%.o: test/soak/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) -c -o $@ $<

build/test/soak: $(soak_objects) build/test/common.o
	$(CC) $(CFLAGS) $(flags) $(LDFLAGS) -o $@ $^

soak:
	@scripts/deps check
	@$(MAKE) -j$(jobs) KERNELS=$(soak_kernel) module test
	@test/soak/run --kernel $(soak_kernel) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

soak-bites:
	@scripts/deps check
	@$(MAKE) -j$(jobs) KERNELS=$(soak_kernel) module test
	@MAKE='$(MAKE)' test/soak/bites --kernel $(soak_kernel) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

# ---- the fuzzer --------------------------------------------------------------

fuzz_objects := $(patsubst %.c,build/%.o,$(wildcard fuzz/*.c))
fuzz_kernel = $(or $(KERNEL),debug)
.PHONY: fuzz fuzzer

fuzzer: build/fuzz/fuzz

build/fuzz/%.o: fuzz/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) -D_GNU_SOURCE -c -o $@ $<

# It is forked and executed all the time: that is quicker without libraries.
build/fuzz/fuzz: $(fuzz_objects)
	$(CC) $(CFLAGS) $(flags) $(LDFLAGS) -static -o $@ $^

fuzz:
	@scripts/deps check
	@$(MAKE) -j$(jobs) KERNELS=$(fuzz_kernel) module fuzzer
	@fuzz/run --kernel $(fuzz_kernel) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(filter update,$(CORPUS)),--update)

# ---- benchmarks --------------------------------------------------------------

bench_shared := build/bench/bench.o build/bench/walk.o
benches := $(filter-out $(bench_shared:.o=),\
	$(patsubst %.c,build/%,$(wildcard bench/*.c)))
.PHONY: bench benches
.SECONDARY: $(bench_shared)

# Figures of both kernels, tables and plots: bench/results/
bench:
	@scripts/deps bench
	@$(MAKE) -j$(jobs) module benches
	@bench/run $(KERNELS)
	@bench/report bench/results

benches: $(benches) build/cli/remotemap

build/bench/%.o: bench/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) -c -o $@ $<

build/bench/qemu_%: bench_guests := build/lib/libremotemap-qemu.a
build/bench/qemu_%: bench_libraries := -ljansson

build/bench/%: bench/%.c $(bench_shared) build/lib/libremotemap.a \
		build/lib/libremotemap-qemu.a
	$(CC) $(CPPFLAGS) $(CFLAGS) $(flags) $(LDFLAGS) -o $@ $< $(bench_shared) \
		$(bench_guests) build/lib/libremotemap.a $(bench_libraries)

-include $(wildcard build/*/*.d build/*/*/*.d)

# ---- what a user types -------------------------------------------------------

# demo/run builds what it shows, for the kernel it shows it on.
demo:
	@scripts/deps demo
	@MAKE='$(MAKE)' MAKEFLAGS=-j$(jobs) demo/run

check check-static check-vm check-debug check-race: check%:
	@scripts/deps check
	@MAKE='$(MAKE)' KERNELS='$(or $(KERNEL),$(KERNELS))' TEST='$(TEST)' \
		scripts/check $(subst -,,$*)

# ---- packages ----------------------------------------------------------------

.PHONY: deb check-packages

deb:
	@scripts/deps deb
	@scripts/deb

check-packages:
	@scripts/deps packages
	@test/packages/run

# ---- installation ------------------------------------------------------------

.PHONY: uninstall

# A name that the NAME section of a page has besides the page's is a link to it.
page_names = sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([^ ,]*\).*/\1/p' $(1)

install: lib cli
	install -d $(addprefix $(DESTDIR),$(LIBDIR)/pkgconfig $(INCLUDEDIR)/linux)
	install -m 755 build/lib/$(soname) $(DESTDIR)$(LIBDIR)/$(real_name)
	ln -sf $(real_name) $(DESTDIR)$(LIBDIR)/$(soname)
	ln -sf $(soname) $(DESTDIR)$(LIBDIR)/libremotemap.so
	install -m 755 build/lib/$(qemu_soname) \
		$(DESTDIR)$(LIBDIR)/$(qemu_real_name)
	ln -sf $(qemu_real_name) $(DESTDIR)$(LIBDIR)/$(qemu_soname)
	ln -sf $(qemu_soname) $(DESTDIR)$(LIBDIR)/libremotemap-qemu.so
	install -m 644 build/lib/libremotemap.a build/lib/libremotemap-qemu.a \
		$(DESTDIR)$(LIBDIR)
	install -m 644 lib/remotemap.h lib/qemu/remotemap-qemu.h \
		$(DESTDIR)$(INCLUDEDIR)
	install -m 644 kernel/uapi/linux/remote_mapping.h \
		$(DESTDIR)$(INCLUDEDIR)/linux
	set -e; for template in lib/remotemap.pc.in lib/qemu/remotemap-qemu.pc.in; do \
		name=$${template##*/}; \
		sed -e 's,@prefix@,$(PREFIX),' -e 's,@libdir@,$(LIBDIR),' \
			-e 's,@includedir@,$(INCLUDEDIR),' \
			-e 's,@version@,$(version),' $$template \
			>$(DESTDIR)$(LIBDIR)/pkgconfig/$${name%.in}; \
	done
	install -D -m 755 -t $(DESTDIR)$(BINDIR) build/cli/remotemap
	install -D -m 644 cli/completion.bash \
		$(DESTDIR)$(COMPLETIONDIR)/remotemap
	set -e; for page in man/*.[1-8]; do \
		file=$${page##*/}; section=$${page##*.}; \
		to=$(DESTDIR)$(MANDIR)/man$$section; \
		install -D -m 644 -t $$to $$page; \
		for name in $$($(call page_names,$$page)); do \
			test $$name.$$section = $$file || \
				ln -sf $$file $$to/$$name.$$section; \
		done; \
	done
	to=$(PYTHONDIR); test -z "$$to" || \
		install -D -m 644 -t $(DESTDIR)$$to/remotemap $(python_package)

# What install would put there says what goes, and what Python made of it. Of the
# folders those that are this project's, and empty.
staged := build/uninstall

uninstall:
	@rm -rf $(staged)
	@mkdir -p $(staged)
	@$(MAKE) install DESTDIR=$(CURDIR)/$(staged) >$(staged).log || \
		{ cat $(staged).log; exit 1; }
	@cd $(staged) && find . -path '*/remotemap/*.py' -execdir mkdir -p __pycache__ \;
	@cd $(staged) && find . -depth -printf '%y %P\n' | while read -r kind path; do \
		path='$(DESTDIR)'/$$path; \
		case $$kind$$path in \
		d*/__pycache__) rm -rf "$$path" ;; \
		d*/linux | d*/remotemap | d*/pkgconfig | d*/completions | d*/man?) \
			test ! -d "$$path" || \
				rmdir --ignore-fail-on-non-empty "$$path" ;; \
		d*) ;; \
		*) rm -f "$$path" ;; \
		esac || exit 1; \
	done
	@rm -rf $(staged) $(staged).log

clean:
	rm -rf build

// SPDX-License-Identifier: GPL-2.0
/*
 * How long things live: files, mirrors, contexts and the module in whatever
 * order they go; sources and viewers that end in the midst of it; and views
 * that come and go in great number, compared with a model.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "harness.h"

#define PAGES 64
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 0x11fe

static uint64_t module_references(void)
{
	return number_read("/sys/module/remote_mapping/refcnt");
}

/* A source, and a module that nobody uses */
FIXTURE(lifetime) {
	struct source *source;
	uint64_t memory;
};

FIXTURE_SETUP(lifetime)
{
	/* Who used it last may have died a moment ago. */
	WAIT_FOR(!module_references());
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
}

FIXTURE_TEARDOWN(lifetime)
{
	source_end(self->source);
}

static char *map_pages(int fd, int count, int prot)
{
	char *at = mmap(NULL, count * PAGE_SIZE, prot, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		fatal("mmap of a map file: %m");
	return at;
}

static void open_view(FIXTURE_DATA(lifetime) *self, int *ctrl, int *map)
{
	int error = context_open(self->source->pid, O_RDWR, 0, ctrl, map);

	if (!error)
		error = view_add(*ctrl, self->memory, 0, SIZE, 0);
	if (error)
		fatal("no view of the source: %s", strerror(-error));
}

/* The source has other pages there. */
static void renew(FIXTURE_DATA(lifetime) *self, uint64_t seed)
{
	source_munmap(self->source, self->memory, SIZE);
	source_mmap(self->source, self->memory, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	source_fill(self->source, self->memory, SIZE, seed);
}

/* ---- files and the module ----------------------------------------------------- */

static void expect_in_use(struct __test_metadata *_metadata, const char *by)
{
	ASSERT_LE(1, module_references())
		TH_LOG("in use by %s", by);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "remote_mapping", O_NONBLOCK))
		TH_LOG("in use by %s", by);
	EXPECT_EQ(EWOULDBLOCK, errno)
		TH_LOG("in use by %s", by);
}

TEST_F(lifetime, module_stays_for_an_open_device)
{
	int fd = device_open(O_RDONLY);

	expect_in_use(_metadata, "a device file");
	close(fd);
	WAIT_FOR(!module_references());
	fd = device_open(O_RDONLY);
	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	expect_in_use(_metadata, "a device file with a process");
	close(fd);
	WAIT_FOR(!module_references());
}

TEST_F(lifetime, module_stays_for_each_file_and_mirror_alone)
{
	int ctrl, map, path;
	char *at, name[32];

	open_view(self, &ctrl, &map);
	close(map);
	expect_in_use(_metadata, "a ctrl file");
	close(ctrl);
	WAIT_FOR(!module_references());

	open_view(self, &ctrl, &map);
	close(ctrl);
	expect_in_use(_metadata, "a map file");
	at = map_pages(map, 1, PROT_READ);
	close(map);
	expect_in_use(_metadata, "a mirror");
	munmap(at, PAGE_SIZE);
	WAIT_FOR(!module_references());

	open_view(self, &ctrl, &map);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", map);
	path = open(name, O_PATH | O_CLOEXEC);
	ASSERT_LE(0, path);
	close(ctrl);
	close(map);
	expect_in_use(_metadata, "a map file opened as a path");
	close(path);
	WAIT_FOR(!module_references());
}

TEST_F(lifetime, module_stays_for_a_mirror_of_the_device)
{
	int fd = device_open(O_RDWR);
	char *at;

	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, self->memory);
	ASSERT_NE(MAP_FAILED, at);
	close(fd);
	expect_in_use(_metadata, "a mirror");
	EXPECT_EQ(-1, pattern_differs(at, SIZE, SEED));
	munmap(at, SIZE);
	WAIT_FOR(!module_references());
}

/* The control message for one file */
union passing {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr header;
};

static void put_in_socket(int socket, int fd)
{
	union passing passing = {
		.header = {
			.cmsg_len = CMSG_LEN(sizeof(fd)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct iovec iov = { "", 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &passing,
		.msg_controllen = sizeof(passing.bytes),
	};

	memcpy(CMSG_DATA(&passing.header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, 0) != 1)
		fatal("sendmsg: %m");
}

TEST_F(lifetime, module_stays_for_a_file_on_its_way)
{
	int ctrl, map, ends[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	open_view(self, &ctrl, &map);
	put_in_socket(ends[0], map);
	close(map);
	close(ctrl);
	expect_in_use(_metadata, "a message");
	close(ends[0]);
	close(ends[1]);
	WAIT_FOR(!module_references());
}

/* What the parts of a context are closed in the order of: the nth of the 24 */
static void order_of(int n, int order[4])
{
	int left[4] = { 0, 1, 2, 3 };
	int i, j, pick;

	for (i = 0; i < 4; i++) {
		pick = n % (4 - i);
		n /= 4 - i;
		order[i] = left[pick];
		for (j = pick; j < 3; j++)
			left[j] = left[j + 1];
	}
}

enum { MEM, CTRL, MAP, MIRROR };

static struct pidfd_mem_open open_parts(FIXTURE_DATA(lifetime) *self)
{
	struct pidfd_mem_open parts = {
		.size = sizeof(parts),
		.mem_fd = mem_open(self->source->pid, O_RDWR),
	};
	int device = device_open(O_RDWR);

	if (ioctl(device, PIDFD_MEM_OPEN, &parts) ||
	    view_add(parts.ctrl_fd, self->memory, 0, SIZE, 0))
		fatal("no context: %m");
	close(device);
	return parts;
}

TEST_F(lifetime, parts_go_in_any_order)
{
	int order[4], n, i;

	for (n = 0; n < 24; n++) {
		struct pidfd_mem_open parts = open_parts(self);
		char *at =
			map_pages(parts.map_fd, PAGES, PROT_READ | PROT_WRITE);

		order_of(n, order);
		for (i = 0; i < 4; i++) {
			if (order[i] == MIRROR) {
				munmap(at, SIZE);
				at = NULL;
			} else {
				close(order[i] == MEM  ? parts.mem_fd :
				      order[i] == CTRL ? parts.ctrl_fd :
							 parts.map_fd);
			}
			/* It lives on and follows its source. */
			renew(self, SEED + i);
			ASSERT_TRUE(!at ||
				    pattern_differs(at, SIZE, SEED + i) == -1)
				TH_LOG("order %d, step %d", n, i);
		}
		WAIT_FOR(!module_references());
	}
}

static uint64_t slab_kib(void)
{
	uint64_t kib = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");

	while (fgets(line, sizeof(line), file) &&
	       sscanf(line, "Slab: %lu", &kib) != 1)
		;
	fclose(file);
	return kib;
}

#define PARTS 4

/* A context with a few views, 2 MiB apart in the source, and a mirror of all */
static void cycle(struct source *source, uint64_t memory, int mem_fd)
{
	struct pidfd_mem_open parts = {
		.size = sizeof(parts),
		.mem_fd = mem_fd,
	};
	int device = device_open(O_RDWR), part;
	uint64_t value;
	char *at;

	if (ioctl(device, PIDFD_MEM_OPEN, &parts))
		fatal("no context: %m");
	for (part = 0; part < PARTS; part++)
		if (view_add(parts.ctrl_fd, memory + part * PMD_SIZE,
			     part * PAGE_SIZE, PAGE_SIZE, 0))
			fatal("no view of process %d", source->pid);
	at = map_pages(parts.map_fd, PARTS, PROT_READ | PROT_WRITE);
	for (part = 0; part < PARTS; part++)
		if (touch_read(at + part * PAGE_SIZE, &value) ||
		    value != (uint64_t)part)
			fatal("a wrong page");
	munmap(at, PARTS * PAGE_SIZE);
	close(parts.ctrl_fd);
	close(parts.map_fd);
	close(device);
}

#define CYCLES 1500
/* 68 bytes a context, 17 a view */
#define CYCLES_KIB 100

/* Whether that many contexts leave the kernel's memory as it was. What they
 * free is free after a while.
 */
static bool cycles_leave_nothing(struct source *source, uint64_t memory,
				 int mem_fd)
{
	uint64_t before = slab_kib();
	struct deadline deadline;
	int i;

	for (i = 0; i < repeated(CYCLES); i++)
		cycle(source, memory, mem_fd);
	WAIT_FOR(!module_references());
	deadline = deadline_in(2);
	while (slab_kib() > before + CYCLES_KIB) {
		if (deadline_passed(&deadline))
			return false;
		deadline_nap();
	}
	return true;
}

/* Caches grow to what is in use at the most, and then stay: a leak grows on. */
TEST_F(lifetime, thousands_of_contexts_leave_nothing)
{
	uint64_t memory = source_anon(self->source, PARTS * PMD_SIZE, 0);
	int mem_fd = mem_open(self->source->pid, O_RDWR);
	int part, tries = 6;

	for (part = 0; part < PARTS; part++)
		source_store(self->source, memory + part * PMD_SIZE, part);
	while (tries && !cycles_leave_nothing(self->source, memory, mem_fd))
		tries--;
	EXPECT_LT(0, tries);
}

TEST_F(lifetime, hundreds_of_sources_leave_nothing)
{
	long before = slab_objects("mm_struct");
	struct mirror mirror;
	uint64_t value;
	int i;

	if (!before)
		SKIP(return,
			   "this kernel does not tell how many mm_structs there are");
	for (i = 0; i < repeated(200); i++) {
		struct source *source = source_start();
		uint64_t memory = source_anon(source, PAGE_SIZE, 0);

		source_store(source, memory, i);
		mirror = mirror_open(source->pid, memory, PAGE_SIZE, PROT_READ,
				     0);
		ASSERT_EQ(0, touch_read(mirror.at, &value));
		ASSERT_EQ(i, value);
		if (i % 2)
			source_kill(source);
		mirror_close(&mirror);
		source_end(source);
	}
	WAIT_FOR(!module_references());
	WAIT_FOR(slab_objects("mm_struct") < before + 100);
}

static int hold_many(FIXTURE_DATA(lifetime) *self, int ready)
{
	int ctrl, map, i;
	uint64_t value;
	char byte = 0;

	for (i = 0; i < 50; i++) {
		open_view(self, &ctrl, &map);
		if (touch_read(map_pages(map, PAGES, PROT_READ), &value))
			return 1;
	}
	if (write(ready, &byte, 1) != 1)
		return 2;
	for (;;)
		pause();
}

TEST_F(lifetime, killed_viewer_leaves_nothing)
{
	int ready[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid)
		_exit(hold_many(self, ready[1]));
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_LE(50, module_references());
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	WAIT_FOR(!module_references());
	EXPECT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
}

/* ---- views in number --------------------------------------------------------------- */

#define MANY 10000

static void add_many(struct __test_metadata *_metadata,
		     FIXTURE_DATA(lifetime) *self, int ctrl)
{
	int i;

	/* Neighbours in the file are not neighbours in the source. */
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, view_add(ctrl,
				      self->memory + i * 7 % PAGES * PAGE_SIZE,
				      i * PAGE_SIZE, PAGE_SIZE, 0));
	}
}

TEST_F(lifetime, ten_thousand_views)
{
	int ctrl, map, i;
	uint64_t value;
	char *at;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	add_many(_metadata, self, ctrl);
	EXPECT_EQ(MANY, counter(map, "views"));
	EXPECT_TRUE(has_view(map, (MANY - 1) * PAGE_SIZE,
			     self->memory + (MANY - 1) * 7 % PAGES * PAGE_SIZE,
			     PAGE_SIZE, 0));
	at = map_pages(map, MANY, PROT_READ);
	for (i = 0; i < MANY; i += 97) {
		ASSERT_EQ(0, touch_read(at + i * PAGE_SIZE, &value));
		ASSERT_EQ(pattern(SEED, i * 7 % PAGES), value);
	}
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, view_remove(ctrl, i * 7919L % MANY * PAGE_SIZE,
					 PAGE_SIZE));
	}
	EXPECT_EQ(0, counter(map, "views"));
	EXPECT_EQ(SIGBUS, touch_read(at, &value));
}

TEST_F(lifetime, ten_thousand_views_go_with_their_context)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	add_many(_metadata, self, ctrl);
	close(ctrl);
	close(map);
	WAIT_FOR(!module_references());
}

TEST_F(lifetime, ten_thousand_views_and_no_source)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	add_many(_metadata, self, ctrl);
	source_kill(self->source);
	EXPECT_EQ(MANY, counter(map, "views"));
	EXPECT_EQ(0, view_remove(ctrl, 0, PAGE_SIZE));
	close(ctrl);
	close(map);
	WAIT_FOR(!module_references());
}

/*
 * The model: which page of the source each page of the file stands for, and
 * the size of the view that begins there. One page more always has a view, so
 * that a mirror of all can be made.
 */
struct model {
	int page[PAGES];
	int size[PAGES];
	int views;
};

static uint64_t random_state = SEED;

/* xorshift: the same numbers in every run */
static unsigned int random_below(unsigned int limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 20) % limit;
}

static int model_add(struct model *model, int offset, int size, int page)
{
	int i;

	for (i = 0; i < size; i++)
		if (model->page[offset + i] >= 0)
			return -EALREADY;
	for (i = 0; i < size; i++)
		model->page[offset + i] = page + i;
	model->size[offset] = size;
	model->views++;
	return 0;
}

static int model_remove(struct model *model, int offset, int size)
{
	int i;

	if (model->size[offset] != size)
		return -EINVAL;
	for (i = 0; i < size; i++)
		model->page[offset + i] = -1;
	model->size[offset] = 0;
	model->views--;
	return 0;
}

static void expect_as_modelled(struct __test_metadata *_metadata,
			       const struct model *model, const char *at,
			       int turn)
{
	uint64_t value;
	int i;

	for (i = 0; i < PAGES; i++) {
		int raised = touch_read(at + i * PAGE_SIZE, &value);

		ASSERT_EQ(model->page[i] < 0 ? SIGBUS : 0, raised)
			TH_LOG("page %d, turn %d", i, turn);
		if (raised)
			continue;
		ASSERT_EQ(pattern(SEED, model->page[i]), value)
			TH_LOG("page %d, turn %d", i, turn);
	}
}

/* One random call, to the module and to the model */
static void random_call(struct __test_metadata *_metadata,
			FIXTURE_DATA(lifetime) *self, struct model *model,
			int ctrl)
{
	int offset = random_below(PAGES);
	int size = 1 + random_below(PAGES - offset < 8 ? PAGES - offset : 8);
	int page = random_below(PAGES - size + 1);

	if (random_below(2)) {
		EXPECT_EQ(model_add(model, offset, size, page),
			  view_add(ctrl, self->memory + page * PAGE_SIZE,
				   offset * PAGE_SIZE, size * PAGE_SIZE, 0));
		return;
	}
	/* Mostly one that is there */
	if (random_below(8) && model->size[offset])
		size = model->size[offset];
	EXPECT_EQ(model_remove(model, offset, size),
		  view_remove(ctrl, offset * PAGE_SIZE, size * PAGE_SIZE));
}

TEST_F(lifetime, random_views_are_as_modelled)
{
	struct model model = { .views = 1 };
	int ctrl, map, turn, i;
	char *at;

	for (i = 0; i < PAGES; i++)
		model.page[i] = -1;
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, SIZE, PAGE_SIZE, 0));
	at = map_pages(map, PAGES + 1, PROT_READ);
	for (turn = 0; turn < repeated(3000); turn++) {
		random_call(_metadata, self, &model, ctrl);
		if (turn % 16 == 15)
			expect_as_modelled(_metadata, &model, at, turn);
	}
	EXPECT_EQ(model.views, counter(map, "views"));
	/* The calls must have been of all kinds for that to say something. */
	EXPECT_LT(5, model.views);
}

/* ---- views, and threads that disagree ------------------------------------------------ */

struct racer {
	pthread_barrier_t *barrier;
	int ctrl;
	uint64_t memory;
	int result;
};

static void *race_to_add(void *argument)
{
	struct racer *racer = argument;

	pthread_barrier_wait(racer->barrier);
	racer->result = view_add(racer->ctrl, racer->memory, 0, PAGE_SIZE, 0);
	return NULL;
}

TEST_F(lifetime, one_of_two_overlapping_views_is_added)
{
	pthread_barrier_t barrier;
	int ctrl, map, turn;

	pthread_barrier_init(&barrier, NULL, 2);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	for (turn = 0; turn < repeated(200); turn++) {
		struct racer mine = { &barrier, ctrl, self->memory, 1 };
		struct racer other = mine;
		pthread_t thread;

		ASSERT_EQ(0,
			  pthread_create(&thread, NULL, race_to_add, &other));
		race_to_add(&mine);
		pthread_join(thread, NULL);
		ASSERT_EQ(-EALREADY, mine.result + other.result)
			TH_LOG("%d and %d", mine.result, other.result);
		ASSERT_EQ(0, view_remove(ctrl, 0, PAGE_SIZE));
	}
}

/* Add and remove until it is refused: the error */
static void *add_and_remove(void *argument)
{
	struct racer *racer = argument;
	int error = 0;

	pthread_barrier_wait(racer->barrier);
	while (!error) {
		error = view_add(racer->ctrl, racer->memory, 0, PAGE_SIZE, 0);
		if (!error)
			error = view_remove(racer->ctrl, 0, PAGE_SIZE);
	}
	racer->result = error;
	return NULL;
}

TEST_F(lifetime, locked_while_views_come_and_go)
{
	pthread_barrier_t barrier;
	int ctrl, map, turn;

	pthread_barrier_init(&barrier, NULL, 2);
	for (turn = 0; turn < 50; turn++) {
		struct racer racer = { &barrier, -1, self->memory, 0 };
		pthread_t thread;
		uint64_t views;

		ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl,
					  &map));
		racer.ctrl = ctrl;
		ASSERT_EQ(0, pthread_create(&thread, NULL, add_and_remove,
					    &racer));
		pthread_barrier_wait(&barrier);
		ASSERT_EQ(0, context_lock(ctrl));
		views = counter(map, "views");
		pthread_join(thread, NULL);
		ASSERT_EQ(-EPERM, racer.result);
		ASSERT_EQ(views, counter(map, "views"));
		close(ctrl);
		close(map);
	}
}

TEST_F(lifetime, source_ends_while_views_come_and_go)
{
	pthread_barrier_t barrier;
	struct racer racer = { &barrier, -1, self->memory, 0 };
	pthread_t thread;
	int ctrl, map;

	pthread_barrier_init(&barrier, NULL, 2);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	racer.ctrl = ctrl;
	ASSERT_EQ(0, pthread_create(&thread, NULL, add_and_remove, &racer));
	pthread_barrier_wait(&barrier);
	source_kill(self->source);
	pthread_join(thread, NULL);
	EXPECT_EQ(-ESRCH, racer.result);
}

/*
 * The mirror's one page stands for page G % 2 of the source in generation G.
 * Who reads the same generation before and after a look may have seen that
 * page or a hole, and nothing else: the removal of the page before was over.
 */
struct watcher {
	const char *at;
	int generation;
	bool stop;
	int seen;
	int wrong;
};

static void *watch(void *argument)
{
	struct watcher *watcher = argument;
	int before, raised;
	uint64_t value;

	while (!__atomic_load_n(&watcher->stop, __ATOMIC_SEQ_CST)) {
		before =
			__atomic_load_n(&watcher->generation, __ATOMIC_SEQ_CST);
		raised = touch_read(watcher->at, &value);
		if (before !=
		    __atomic_load_n(&watcher->generation, __ATOMIC_SEQ_CST))
			continue;
		if (raised)
			continue;
		__atomic_add_fetch(&watcher->seen, 1, __ATOMIC_SEQ_CST);
		if (value != pattern(SEED, before % 2))
			watcher->wrong++;
	}
	return NULL;
}

TEST_F(lifetime, removed_view_is_gone_for_threads_that_look)
{
	struct watcher watcher = { 0 };
	int ctrl, map, generation, seen;
	pthread_t thread;

	open_view(self, &ctrl, &map);
	watcher.at = map_pages(map, 1, PROT_READ);
	ASSERT_EQ(0, view_remove(ctrl, 0, SIZE));
	ASSERT_EQ(0, pthread_create(&thread, NULL, watch, &watcher));
	for (generation = 0; generation < repeated(2000); generation++) {
		__atomic_store_n(&watcher.generation, generation,
				 __ATOMIC_SEQ_CST);
		ASSERT_EQ(0, view_add(ctrl,
				      self->memory + generation % 2 * PAGE_SIZE,
				      0, PAGE_SIZE, 0));
		/* Now and then wait until the page has been looked at. */
		seen = __atomic_load_n(&watcher.seen, __ATOMIC_SEQ_CST);
		WAIT_FOR(generation % 20 ||
			 __atomic_load_n(&watcher.seen, __ATOMIC_SEQ_CST) >
				 seen + 1);
		ASSERT_EQ(0, view_remove(ctrl, 0, PAGE_SIZE));
	}
	__atomic_store_n(&watcher.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, watcher.wrong);
}

/* ---- ends in the midst of faults ------------------------------------------------------ */

/* What the source and the test see both: in memory that they share */
struct stage {
	volatile bool stop;
	uint64_t memory;
};

static struct stage *stage_make(void)
{
	struct stage *stage = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (stage == MAP_FAILED)
		fatal("mmap: %m");
	return stage;
}

/* In the source: drop the pages and write them anew until told to stop. */
static long churn(void *argument)
{
	struct stage *stage = *(struct stage **)argument;
	long rounds = 0;
	size_t page;

	while (!stage->stop) {
		if (madvise((void *)stage->memory, SIZE, MADV_DONTNEED))
			return -errno;
		for (page = 0; page < PAGES; page++)
			*(volatile uint64_t *)(stage->memory +
					       page * PAGE_SIZE) =
				pattern(SEED, page);
		rounds++;
	}
	return rounds;
}

/* What the last round of it left: a word a page */
static void expect_written(struct __test_metadata *_metadata, const char *at)
{
	uint64_t value;
	int page;

	for (page = 0; page < PAGES; page++) {
		ASSERT_EQ(0, touch_read(at + page * PAGE_SIZE, &value));
		EXPECT_EQ(pattern(SEED, page), value);
	}
}

/* A source that churns */
static struct source *churn_begin(struct stage *stage)
{
	struct source *source = source_start();

	stage->stop = false;
	stage->memory = source_anon(source, SIZE, 0);
	source_call_begin(source, churn, &stage, sizeof(stage));
	return source;
}

static long churn_end(struct source *source, struct stage *stage)
{
	stage->stop = true;
	return source_finish(source);
}

/* In a viewer: touch all pages over and over, until a signal or a wrong value
 * (a page is as written, or not written yet). Says once that it has begun.
 */
static int touch_over_and_over(int map, int ready)
{
	char *at = map_pages(map, PAGES, PROT_READ | PROT_WRITE);
	uint64_t value;
	char byte = 0;
	int page, raised;
	long turn;

	for (turn = 0;; turn++) {
		page = turn * 13 % PAGES;
		raised = touch_read(at + page * PAGE_SIZE, &value);
		if (!raised && turn % 3 == 0)
			raised = touch_write(at + page * PAGE_SIZE,
					     pattern(SEED, page));
		if (raised)
			return raised;
		if (value && value != pattern(SEED, page))
			return 100;
		if (turn == PAGES && write(ready, &byte, 1) != 1)
			return 101;
	}
}

static pid_t toucher_start(int map, int ready[2])
{
	pid_t pid = fork();
	char byte;

	if (!pid)
		_exit(touch_over_and_over(map, ready[1]));
	if (read(ready[0], &byte, 1) != 1)
		fatal("a viewer says nothing: %m");
	return pid;
}

static void view_of_stage(struct source *source, struct stage *stage, int *ctrl,
			  int *map)
{
	if (context_open(source->pid, O_RDWR, 0, ctrl, map) ||
	    view_add(*ctrl, stage->memory, 0, SIZE, 0))
		fatal("no view of the stage");
}

TEST_F(lifetime, source_ends_while_eight_viewers_fault)
{
	struct stage *stage = stage_make();
	int ctrl, map, ready[2], round, i, status;
	pid_t viewers[8];

	ASSERT_EQ(0, pipe(ready));
	for (round = 0; round < 2; round++) {
		struct source *source = churn_begin(stage);

		view_of_stage(source, stage, &ctrl, &map);
		for (i = 0; i < 8; i++)
			viewers[i] = toucher_start(map, ready);
		source_kill(source);
		for (i = 0; i < 8; i++) {
			ASSERT_EQ(viewers[i], waitpid(viewers[i], &status, 0));
			EXPECT_TRUE(WIFEXITED(status));
			EXPECT_EQ(SIGBUS, WEXITSTATUS(status));
		}
		close(ctrl);
		close(map);
		source_end(source);
	}
	WAIT_FOR(!module_references());
}

TEST_F(lifetime, viewers_are_killed_while_they_fault)
{
	struct stage *stage = stage_make();
	struct source *source = churn_begin(stage);
	int ctrl, map, ready[2], round, status;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	view_of_stage(source, stage, &ctrl, &map);
	for (round = 0; round < 40; round++) {
		pid = toucher_start(map, ready);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	EXPECT_LT(0, churn_end(source, stage));
	expect_written(_metadata, map_pages(map, PAGES, PROT_READ));
	source_end(source);
}

/* While others fault, the viewer's own address space is copied, without its
 * mirrors, and the copy torn down.
 */
static void fork_often(struct __test_metadata *_metadata, char *at)
{
	int round, status;
	pid_t pid;

	for (round = 0; round < repeated(80); round++) {
		pid = fork();
		if (!pid) {
			uint64_t value;

			_exit(touch_read(at + round % PAGES * PAGE_SIZE,
					 &value));
		}
		ASSERT_LT(0, pid);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		ASSERT_EQ(SIGSEGV, WEXITSTATUS(status));
	}
}

TEST_F(lifetime, viewer_forks_often)
{
	struct stage *stage = stage_make();
	struct source *source = churn_begin(stage);
	int ctrl, map, ready[2];
	pid_t viewer;
	char *at;

	ASSERT_EQ(0, pipe(ready));
	view_of_stage(source, stage, &ctrl, &map);
	viewer = toucher_start(map, ready);
	at = map_pages(map, PAGES, PROT_READ | PROT_WRITE);
	fork_often(_metadata, at);
	kill(viewer, SIGKILL);
	waitpid(viewer, NULL, 0);
	EXPECT_LT(0, churn_end(source, stage));
	expect_written(_metadata, at);
	source_end(source);
}

TEST_F(lifetime, viewer_maps_and_unmaps_often)
{
	struct stage *stage = stage_make();
	struct source *source = churn_begin(stage);
	int ctrl, map, ready[2], round;
	pid_t viewer;

	ASSERT_EQ(0, pipe(ready));
	view_of_stage(source, stage, &ctrl, &map);
	viewer = toucher_start(map, ready);
	for (round = 0; round < repeated(300); round++) {
		char *at = map_pages(map, PAGES, PROT_READ | PROT_WRITE);
		char *half = at + SIZE / 2;
		uint64_t value;

		ASSERT_EQ(0, touch_read(at, &value));
		ASSERT_EQ(0, touch_read(half, &value));
		ASSERT_EQ(0, munmap(at, SIZE / 2));
		ASSERT_EQ(0, touch_read(half, &value));
		ASSERT_EQ(0, munmap(half, SIZE / 2));
	}
	kill(viewer, SIGKILL);
	waitpid(viewer, NULL, 0);
	EXPECT_LT(0, churn_end(source, stage));
	source_end(source);
}

#define SOURCES 100

TEST_F(lifetime, a_hundred_sources_at_once)
{
	struct source *sources[SOURCES];
	struct mirror mirrors[SOURCES];
	uint64_t memory, value;
	int i;

	for (i = 0; i < SOURCES; i++) {
		sources[i] = source_start();
		memory = source_anon(sources[i], PAGE_SIZE, 0);
		source_store(sources[i], memory, 1000 + i);
		mirrors[i] = mirror_open(sources[i]->pid, memory, PAGE_SIZE,
					 PROT_READ | PROT_WRITE, 0);
	}
	for (i = 0; i < SOURCES; i++) {
		ASSERT_EQ(0, touch_read(mirrors[i].at, &value));
		ASSERT_EQ(1000 + i, value);
		ASSERT_EQ(0, touch_write(mirrors[i].at, 2000 + i));
	}
	/* Each for itself, also in its end */
	for (i = 0; i < SOURCES; i += 2)
		source_kill(sources[i]);
	for (i = 0; i < SOURCES; i++) {
		ASSERT_EQ(i % 2 ? 0 : SIGBUS,
			  touch_read(mirrors[i].at, &value));
		ASSERT_EQ(i % 2, !counter(mirrors[i].map, "ended"));
		if (i % 2) {
			ASSERT_EQ(2000 + i,
				  source_load(sources[i], mirrors[i].address));
		}
	}
	for (i = 0; i < SOURCES; i++) {
		mirror_close(&mirrors[i]);
		source_end(sources[i]);
	}
	WAIT_FOR(!module_references());
}

/* Open contexts of the source until it is gone: 0, or a wrong error */
static int open_until_gone(pid_t pid, int ready)
{
	int ctrl, map, error, turn = 0;
	char byte = 0;

	for (;;) {
		error = context_open(pid, O_RDWR, 0, &ctrl, &map);
		if (error)
			break;
		error = view_add(ctrl, 0, 0, 1UL << 40, 0);
		close(ctrl);
		close(map);
		if (error)
			break;
		if (turn++ == 3 && write(ready, &byte, 1) != 1)
			return EIO;
	}
	/* ENOENT: no /proc/PID any more */
	return error == -ESRCH || error == -ENOENT ? 0 : -error;
}

TEST_F(lifetime, source_ends_while_contexts_are_opened)
{
	int ready[2], i, status;
	pid_t openers[4];
	char byte;

	ASSERT_EQ(0, pipe(ready));
	for (i = 0; i < 4; i++) {
		openers[i] = fork();
		if (!openers[i])
			_exit(open_until_gone(self->source->pid, ready[1]));
	}
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(1, read(ready[0], &byte, 1));
	}
	source_kill(self->source);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(openers[i], waitpid(openers[i], &status, 0));
		EXPECT_EQ(0, WEXITSTATUS(status));
	}
	WAIT_FOR(!module_references());
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "progress.h"

#define REDRAW_NS 200000000LL

static struct {
	const char *what;
	uint64_t total;
	uint64_t done;
	int64_t begin, drawn; /* ns of the monotonic clock */
	bool shown; /* something is on the line */
	bool on;
} bar;

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

/* "3:07", or with hours "1:03:07" */
static void time_print(char *text, size_t size, uint64_t seconds)
{
	if (seconds >= 3600)
		snprintf(text, size, "%" PRIu64 ":%02u:%02u", seconds / 3600,
			 (unsigned int)(seconds / 60 % 60),
			 (unsigned int)(seconds % 60));
	else
		snprintf(text, size, "%u:%02u", (unsigned int)(seconds / 60),
			 (unsigned int)(seconds % 60));
}

/* What stands after the bar: done, of how much, rate, time left */
static int figures(char *text, size_t size, double seconds)
{
	double rate = seconds > 0 ? (double)bar.done / seconds : 0;
	char left[32] = "";
	uint64_t rest;

	if (!bar.total)
		return snprintf(text, size, "%s  %s/s", size_text(bar.done),
				size_text((uint64_t)rate));
	rest = bar.done < bar.total ? bar.total - bar.done : 0;
	if (rate >= 1)
		time_print(left, sizeof(left), (uint64_t)((double)rest / rate));
	return snprintf(text, size, "%s of %s  %s/s  %s left",
			size_text(bar.done), size_text(bar.total),
			size_text((uint64_t)rate), *left ? left : "-:--");
}

static void draw(int64_t time)
{
	char text[160], cells[256];
	int columns = width();
	int room, full;

	figures(text, sizeof(text), (double)(time - bar.begin) / 1e9);
	room = columns - 1 - (int)strlen(bar.what) - (int)strlen(text) - 5;
	if (room > 60)
		room = 60;
	if (room < 5 || !bar.total) {
		fprintf(stderr, "\r%.*s\033[K", columns - 1,
			room < 0 ? text : "");
		if (room >= 0)
			fprintf(stderr, "%s  %s", bar.what, text);
	} else {
		full = bar.done >= bar.total ? room :
			(int)((double)bar.done / (double)bar.total * room);
		memset(cells, '#', (size_t)full);
		memset(cells + full, '.', (size_t)(room - full));
		fprintf(stderr, "\r%s [%.*s]  %s\033[K", bar.what, room, cells,
			text);
	}
	fflush(stderr);
	bar.shown = true;
	bar.drawn = time;
}

void progress_begin(const char *what, uint64_t total)
{
	bar.what = what;
	bar.total = total;
	bar.done = 0;
	bar.begin = bar.drawn = now();
	bar.on = isatty(STDERR_FILENO);
}

void progress_add(uint64_t bytes)
{
	int64_t time;

	bar.done += bytes;
	if (!bar.on)
		return;
	time = now();
	if (time - bar.drawn >= REDRAW_NS)
		draw(time);
}

void progress_hide(void)
{
	if (bar.shown) {
		fprintf(stderr, "\r\033[K");
		fflush(stderr);
	}
	bar.shown = false;
}

void progress_end(void)
{
	progress_hide();
	bar.on = false;
}

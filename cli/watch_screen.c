// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap watch on a terminal.
 *
 * The terminal is as it was before once watch_screen() returns, and it returns for
 * every signal that can be caught and would end the command. What is shown is the
 * last picture; once the source has ended that is the last one there was.
 */
#define NCURSES_WIDECHAR 1
#include <errno.h>
#include <inttypes.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "signals.h"
#include "watch.h"

#define FADING 4 /* pictures for which a change can be seen */
#define HEAD 2	 /* lines above */
#define FOOT 1	 /* and below */
#define VALUE_ROOM 24

enum { PAIR_NEW = 1, PAIR_RECENT, PAIR_ENDED };

/* Are there colours, and are they wanted? */
static bool coloured;

struct screen {
	struct watch *watch;
	size_t top;	/* the first byte that is shown */
	size_t row;	/* bytes a line */
	uint64_t changes;
	bool paused, ended, quit;
};

/* SIGQUIT, which common signals leave alone, would leave the terminal as it is. */
static volatile sig_atomic_t quit_caught;

static void on_quit(int number)
{
	(void)number;
	quit_caught = 1;
}

/* ---- layout ---------------------------------------------------------------- */

static size_t lines_shown(void)
{
	return LINES > HEAD + FOOT ? (size_t)(LINES - HEAD - FOOT) : 1;
}

/* "7f0012340000  " and for each byte "xx " and a character; gaps each 8 bytes */
static size_t columns_taken(size_t row)
{
	return 14 + 3 * row + (row - 1) / 8 + 1 + row;
}

static void row_choose(struct screen *screen)
{
	const struct value_type *type = screen->watch->type;

	if (type) {
		screen->row = value_size(type) ?: screen->watch->picture.length;
		return;
	}
	screen->row = 1;
	while (screen->row < 32 &&
	       columns_taken(2 * screen->row) <= (size_t)COLS)
		screen->row *= 2;
	screen->top -= screen->top % screen->row;
}

static size_t rows(const struct screen *screen)
{
	size_t length = screen->watch->picture.length;

	/* What is left at the end is no value. */
	if (screen->watch->type)
		return length / screen->row;
	return (length + screen->row - 1) / screen->row;
}

static void scroll_to(struct screen *screen, int64_t row)
{
	int64_t last = (int64_t)rows(screen) - (int64_t)lines_shown();

	if (row > last)
		row = last;
	if (row < 0)
		row = 0;
	screen->top = (size_t)row * screen->row;
}

/* ---- drawing --------------------------------------------------------------- */

static attr_t age_look(unsigned int age)
{
	if (age == 0)
		return A_BOLD | (coloured ? COLOR_PAIR(PAIR_NEW) : A_REVERSE);
	if (age < FADING)
		return coloured ? COLOR_PAIR(PAIR_RECENT) : A_UNDERLINE;
	return A_NORMAL;
}

static unsigned int youngest(const struct picture *picture, size_t at,
			     size_t count)
{
	unsigned int age = AGE_MAX;

	for (size_t i = 0; i < count; i++)
		if (picture->age[at + i] < age)
			age = picture->age[at + i];
	return age;
}

static void hex_draw(const struct screen *screen, size_t at, size_t count)
{
	const struct picture *picture = &screen->watch->picture;

	for (size_t i = 0; i < screen->row; i++) {
		if (i && i % 8 == 0)
			addch(' ');
		if (i >= count) {
			addstr("   ");
			continue;
		}
		attrset(age_look(picture->age[at + i]));
		if (picture->there[at + i])
			printw("%02x", picture->bytes[at + i]);
		else
			addstr("--");
		attrset(A_NORMAL);
		addch(' ');
	}
	addch(' ');
	for (size_t i = 0; i < count; i++) {
		uint8_t byte = picture->bytes[at + i];

		attrset(age_look(picture->age[at + i]));
		if (!picture->there[at + i])
			addch(' ');
		else
			addch(byte >= 0x20 && byte < 0x7f ? byte : '.');
	}
	attrset(A_NORMAL);
}

static void value_draw(const struct screen *screen, size_t at)
{
	const struct watch *watch = screen->watch;
	const struct picture *picture = &watch->picture;
	char text[1024] = "--", *shown = text;
	int room = COLS - 16;

	if (picture_there(picture, at, screen->row))
		value_text(watch->type, picture->bytes + at, screen->row, text,
			   sizeof(text));
	attrset(age_look(youngest(picture, at, screen->row)));
	if (value_size(watch->type))
		printw("%*s", VALUE_ROOM, shown);
	else
		printw("%.*s", room > 0 ? room : 0, shown);
	attrset(A_NORMAL);
}

static void body_draw(const struct screen *screen)
{
	const struct picture *picture = &screen->watch->picture;
	size_t at = screen->top;

	for (size_t line = 0; line < lines_shown(); line++) {
		size_t count = picture->length - at;

		if (at >= picture->length ||
		    (screen->watch->type && count < screen->row))
			break;
		if (count > screen->row)
			count = screen->row;
		mvprintw(HEAD + (int)line, 0, "%012" PRIx64 "  ",
			 picture->address + at);
		if (screen->watch->type)
			value_draw(screen, at);
		else
			hex_draw(screen, at, count);
		at += screen->row;
	}
}

static void head_draw(const struct screen *screen)
{
	const struct watch *watch = screen->watch;
	const char *state = screen->ended ? "ended" :
		screen->paused ? "paused" : "live";
	char text[160];

	snprintf(text, sizeof(text), "%s  0x%" PRIx64 "+%zu  %s%severy %g s",
		 watch->title, watch->picture.address, watch->picture.length,
		 watch->type ? value_type_name(watch->type) : "",
		 watch->type ? "  " : "", (double)watch->interval_ms / 1000);
	attrset(A_BOLD);
	mvaddnstr(0, 0, text, COLS > 8 ? COLS - 8 : 0);
	if (screen->ended)
		attron(coloured ? COLOR_PAIR(PAIR_ENDED) : A_REVERSE);
	if (COLS > 8)
		mvaddstr(0, COLS - (int)strlen(state), state);
	attrset(A_NORMAL);
}

static void foot_draw(const struct screen *screen)
{
	const struct picture *picture = &screen->watch->picture;
	size_t end = screen->top + lines_shown() * screen->row;
	char text[200];

	if (end > picture->length)
		end = picture->length;
	snprintf(text, sizeof(text),
		 "%s  bytes %zu-%zu of %zu  %" PRIu64 " changed",
		 screen->ended ? "the source has ended: q quit" :
				 "q quit  p pause  arrows PgUp PgDn Home End",
		 screen->top, end ? end - 1 : 0, picture->length,
		 screen->changes);
	attrset(A_DIM);
	mvaddnstr(LINES - 1, 0, text, COLS - 1);
	attrset(A_NORMAL);
}

static void draw(struct screen *screen)
{
	row_choose(screen);
	scroll_to(screen, (int64_t)(screen->top / screen->row));
	erase();
	head_draw(screen);
	body_draw(screen);
	foot_draw(screen);
	refresh();
}

/* ---- what happens ---------------------------------------------------------- */

static void key_take(struct screen *screen, int key)
{
	int64_t row = (int64_t)(screen->top / screen->row);
	int64_t page = (int64_t)lines_shown();

	switch (key) {
	case 'q':
	case 'Q':
		screen->quit = true;
		break;
	case 'p':
	case 'P':
		screen->paused = !screen->paused;
		break;
	case KEY_UP:
		scroll_to(screen, row - 1);
		break;
	case KEY_DOWN:
		scroll_to(screen, row + 1);
		break;
	case KEY_PPAGE:
		scroll_to(screen, row - page);
		break;
	case KEY_NPAGE:
	case ' ':
		scroll_to(screen, row + page);
		break;
	case KEY_HOME:
		scroll_to(screen, 0);
		break;
	case KEY_END:
		scroll_to(screen, (int64_t)rows(screen));
		break;
	default: /* KEY_RESIZE: it is drawn anew */
		break;
	}
}

static int picture_renew(struct screen *screen)
{
	struct picture *picture = &screen->watch->picture;
	int error = picture_take(picture);

	if (error == -ESRCH) {
		screen->ended = true;
		screen->quit = screen->watch->exit;
		return 0;
	}
	for (size_t i = 0; !error && i < picture->length; i++)
		screen->changes += !picture->age[i];
	return error;
}

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static bool over(const struct screen *screen)
{
	return screen->quit || quit_caught || signals_caught();
}

/* Waits until that time, a key, the source's end or a signal. */
static void wait_until(struct screen *screen, int64_t due)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = signals_fd(), .events = POLLIN },
		/* Once it has ended, that is nothing new. */
		{ .fd = screen->ended ? -1 :
			remotemap_map_fd(screen->watch->source.handle) },
	};
	int64_t left = due - now_ms();
	int key;

	if (screen->ended)
		left = -1;
	else if (left < 0)
		left = 0;
	/* A signal ends it, too: it may be the one of a new size. */
	if (poll(fds, 3, (int)left) < 0)
		fds[0].revents = 0;
	while ((key = getch()) != ERR)
		key_take(screen, key);
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		screen->quit = true;
}

static int screen_run(struct screen *screen)
{
	int64_t due = now_ms();
	int error = 0;

	while (!over(screen) && !error) {
		bool gone = !screen->ended &&
			remotemap_wait(screen->watch->source.handle, 0) == 1;

		if (!screen->ended && (gone || now_ms() >= due)) {
			if (!screen->paused || gone)
				error = picture_renew(screen);
			due = now_ms() + (int64_t)screen->watch->interval_ms;
		}
		draw(screen);
		if (!over(screen) && !error)
			wait_until(screen, due);
	}
	return error;
}

/* ---- the terminal ---------------------------------------------------------- */

static void look_choose(const struct watch *watch)
{
	if (!color_wanted(watch->common.color, STDOUT_FILENO))
		return;
	if (start_color() == ERR || !has_colors())
		return;
	coloured = true;
	use_default_colors();
	init_pair(PAIR_NEW, COLOR_RED, -1);
	init_pair(PAIR_RECENT, COLOR_YELLOW, -1);
	init_pair(PAIR_ENDED, COLOR_RED, -1);
}

static enum status status_of(const struct screen *screen, int error)
{
	if (quit_caught)
		return (enum status)(STATUS_SIGNAL + SIGQUIT);
	if (signals_caught())
		return (enum status)signals_status();
	if (error)
		return fail_source(screen->watch->title, error);
	if (screen->ended)
		return fail_source(screen->watch->title, -ESRCH);
	return STATUS_OK;
}

enum status watch_screen(struct watch *watch)
{
	struct screen screen = { .watch = watch, .row = 16 };
	struct sigaction old, action = { .sa_handler = on_quit };
	SCREEN *terminal = newterm(NULL, stdout, stdin);
	int error;

	if (!terminal)
		return fail(STATUS_USAGE,
			    "this terminal is not known: set TERM, or pipe it through cat");
	sigaction(SIGQUIT, &action, &old);
	look_choose(watch);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	error = screen_run(&screen);
	endwin();
	delscreen(terminal);
	sigaction(SIGQUIT, &old, NULL);
	return status_of(&screen, error);
}

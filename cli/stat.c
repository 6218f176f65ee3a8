// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap stat: what can be seen is shown, and how much could not be seen is
 * told. The terminal is as it was when --follow ends, however that ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "signals.h"
#include "source.h"
#include "table.h"
#include "viewers.h"

struct stat_command {
	struct common_options common;
	bool follow;
	int interval_ms;
	struct words words;
};

enum { KEY_FOLLOW = 'f', KEY_INTERVAL = 'i' };

static int interval_parse(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.1 && seconds <= 3600))
		return -1;
	return (int)(seconds * 1000);
}

static error_t stat_option(int key, char *arg, struct argp_state *state)
{
	struct stat_command *command = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &command->common;
		return 0;
	case KEY_FOLLOW:
		command->follow = true;
		return 0;
	case KEY_INTERVAL:
		command->interval_ms = interval_parse(arg);
		if (command->interval_ms < 0)
			argp_error(state,
				   "--interval is seconds, 0.1 to 3600, not '%s'",
				   arg);
		return 0;
	case ARGP_KEY_ARGS:
		words_take(&command->words, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "follow", KEY_FOLLOW, NULL, 0,
	  "Show it again and again, until q is typed", 0 },
	{ "interval", KEY_INTERVAL, "SECONDS", 0, "How often (1)", 0 },
	{ 0 },
};

static const struct argp_child children[] = { { .argp = &json_argp }, { 0 } };

static const struct argp argp = {
	.options = options,
	.parser = stat_option,
	.children = children,
	.doc =
		"Show who maps whose memory on this machine, and what the kernel counts of it.\v"
		"Processes of other users can be looked at by root only; how many could not be is told.\n\n"
		"Example:\n"
		"  sudo remotemap stat --follow",
};

/* ---- JSON ------------------------------------------------------------------ */

static json_t *stat_json(const struct remotemap_stat *stat)
{
	return json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "ended", stat->ended, "locked", stat->locked, "views",
			 (json_int_t)stat->views, "faults",
			 (json_int_t)stat->faults, "pages_mapped",
			 (json_int_t)stat->pages_mapped, "huge_pages_mapped",
			 (json_int_t)stat->huge_pages_mapped, "invalidations",
			 (json_int_t)stat->invalidations, "invalidations_hit",
			 (json_int_t)stat->invalidations_hit, "retries",
			 (json_int_t)stat->retries);
}

static json_t *viewer_json(const struct viewer *viewer)
{
	json_t *json = json_pack(
		"{s:i, s:o, s:i, s:i, s:I}", "viewer", viewer->pid,
		"viewer_command", json_text(viewer->command), "map_files",
		viewer->maps, "ctrl_files", viewer->ctrls, "mirrored",
		(json_int_t)viewer->mirrored);

	if (!json || !viewer->counted)
		return json;
	if (viewer->stat.pid > 0)
		json_object_set_new(json, "source",
				    json_integer(viewer->stat.pid));
	if (*viewer->source_command)
		json_object_set_new(json, "source_command",
				    json_text(viewer->source_command));
	json_object_update_new(json, stat_json(&viewer->stat));
	return json;
}

static enum status print_json(const struct viewers *viewers, bool one_line)
{
	json_t *array = json_array();

	for (size_t i = 0; i < viewers->count; i++)
		if (json_array_append_new(array,
					  viewer_json(&viewers->viewers[i])))
			return fail(STATUS_SYSTEM, "out of memory");
	return json_print(json_pack("{s:o, s:i}", "viewers", array, "unseen",
				    viewers->unseen),
			  one_line);
}

/* ---- table ----------------------------------------------------------------- */

/* "map", "ctrl", "map,ctrl", or "mirror" where all files are closed */
static const char *holds_text(const struct viewer *viewer)
{
	if (viewer->maps)
		return viewer->ctrls ? "map,ctrl" : "map";
	return viewer->ctrls ? "ctrl" : "mirror";
}

static const char *state_text(const struct viewer *viewer)
{
	if (!viewer->counted)
		return "";
	if (viewer->stat.ended)
		return "ended";
	return viewer->stat.locked ? "locked" : "";
}

static void print_head(int columns)
{
	struct line line = { 0 };

	line_add(&line,
		 "%7s %-12s %7s %-12s %10s %9s %8s %7s  %-8s %6s %6s %7s %s",
		 "VIEWER", "COMMAND", "SOURCE", "COMMAND", "MIRRORED", "PAGES",
		 "FAULTS", "TAKEN", "HOLDS", "VIEWS", "HUGE", "RETRIES",
		 "STATE");
	line_print(&line, columns);
}

static void print_viewer(const struct viewer *viewer, int columns)
{
	const struct remotemap_stat *stat = &viewer->stat;
	struct line line = { 0 };
	char source[16] = "?";

	if (viewer->counted && stat->pid > 0)
		snprintf(source, sizeof(source), "%d", stat->pid);
	line_add(&line, "%7d %-12.12s %7s %-12.12s %10s ", viewer->pid,
		 text_printable(viewer->command), source,
		 text_printable(viewer->source_command),
		 size_text(viewer->mirrored));
	if (!viewer->counted)
		line_add(&line, "%9s %8s %7s  %-8s", "?", "?", "?",
			 holds_text(viewer));
	else
		line_add(&line,
			 "%9" PRIu64 " %8" PRIu64 " %7" PRIu64 "  %-8s %6" PRIu64
			 " %6" PRIu64 " %7" PRIu64 " %s",
			 stat->pages_mapped, stat->faults,
			 stat->invalidations_hit, holds_text(viewer),
			 stat->views, stat->huge_pages_mapped, stat->retries,
			 state_text(viewer));
	line_print(&line, columns);
}

static void unseen_tell(const struct viewers *viewers, struct line *line)
{
	line_add(line,
		 "%u processes are not yours to look at: be root (sudo) to see them",
		 viewers->unseen);
}

static enum status print_once(const struct stat_command *command,
			      const struct viewers *viewers)
{
	enum status status = STATUS_OK, end;
	struct line unseen = { 0 };

	if (command->common.json) {
		status = print_json(viewers, command->follow);
	} else {
		int columns = table_columns();

		print_head(columns);
		putchar('\n');
		for (size_t i = 0; i < viewers->count; i++) {
			print_viewer(&viewers->viewers[i], columns);
			putchar('\n');
		}
	}
	end = output_finish();
	if (viewers->unseen && !command->common.json && !command->follow) {
		unseen_tell(viewers, &unseen);
		complain("%s", unseen.text);
	}
	return status ? status : end;
}

/* ---- again and again ------------------------------------------------------- */

/* The cursor goes to the next line, of which nothing is left. To clear what is
 * behind a line would take the last character of one that is as long as the screen.
 */
#define NEXT_LINE "\r\n\033[K"

static void print_screen(const struct viewers *viewers, int interval_ms)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct line title = { 0 }, unseen = { 0 };
	char clock[16];
	time_t now = time(NULL);
	struct tm broken;
	size_t rows;

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	strftime(clock, sizeof(clock), "%H:%M:%S",
		 localtime_r(&now, &broken));
	line_add(&title,
		 "remotemap stat  %s  every %g s  %zu viewers  q quits", clock,
		 interval_ms / 1000.0, viewers->count);
	printf("\033[H\033[K");
	line_print(&title, size.ws_col);
	printf(NEXT_LINE);
	if (viewers->unseen)
		unseen_tell(viewers, &unseen);
	line_print(&unseen, size.ws_col);
	printf(NEXT_LINE "\033[7m");
	print_head(size.ws_col);
	printf("\033[0m");
	rows = size.ws_row > 4 ? size.ws_row - 4U : 0;
	for (size_t i = 0; i < viewers->count && i < rows; i++) {
		printf(NEXT_LINE);
		print_viewer(&viewers->viewers[i], size.ws_col);
	}
	printf(NEXT_LINE);
	if (viewers->count > rows)
		printf("%zu more", viewers->count - rows);
	printf("\033[J");
}

static bool terminal_begin(struct termios *before)
{
	struct termios now;

	if (tcgetattr(STDIN_FILENO, before))
		return false;
	now = *before;
	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &now);
	return true;
}

/* Until the next turn: true: q was typed */
static bool pause_turn(int interval_ms, bool keys)
{
	struct pollfd wait[] = {
		{ .fd = signals_fd(), .events = POLLIN },
		{ .fd = keys ? STDIN_FILENO : -1, .events = POLLIN },
	};
	char key;

	if (poll(wait, 2, interval_ms) <= 0 || !wait[1].revents)
		return false;
	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

static enum status stat_once(const struct stat_command *command, bool screen)
{
	struct viewers viewers = { 0 };
	enum status status;
	int error = viewers_find(&viewers);

	if (error == -ENOMEM)
		status = fail(STATUS_SYSTEM, "out of memory");
	else if (error)
		status = fail(STATUS_REFUSED, "/proc: %s", strerror(-error));
	else if (screen) {
		print_screen(&viewers, command->interval_ms);
		status = output_finish();
	} else {
		status = print_once(command, &viewers);
	}
	viewers_free(&viewers);
	return status;
}

static enum status stat_follow(const struct stat_command *command)
{
	bool screen = isatty(STDOUT_FILENO) && !command->common.json;
	struct termios before;
	enum status status;
	bool keys;

	signals_catch();
	keys = screen && terminal_begin(&before);
	if (screen)
		printf("\033[?1049h\033[?25l");
	do {
		status = stat_once(command, screen);
	} while (!status && !signals_caught() &&
		 !pause_turn(command->interval_ms, keys) && !signals_caught());
	if (screen) {
		printf("\033[?25h\033[?1049l");
		fflush(stdout);
	}
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return status ? status : (enum status)signals_status();
}

int command_stat(int argc, char **argv)
{
	struct stat_command command = { .interval_ms = 1000 };

	if (command_parse(&argp, argc, argv, &command) ||
	    words_check(&command.words, 0, 0, "no word"))
		return STATUS_USAGE;
	if (access("/dev/mirror-proc", F_OK))
		return fail_open(0, -ENODEV);
	return command.follow ? stat_follow(&command) :
				stat_once(&command, false);
}

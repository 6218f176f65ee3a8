// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common.h"
#include "table.h"

void line_add(struct line *line, const char *format, ...)
{
	int room = (int)sizeof(line->text) - line->used, n;
	va_list list;

	va_start(list, format);
	n = vsnprintf(line->text + line->used, (size_t)room, format, list);
	va_end(list);
	if (n > 0)
		line->used += n < room ? n : room - 1;
}

void line_add_until(struct line *line, int column, const char *text)
{
	int width = column - line->used - 1;

	line_add(line, " %*s", width > 0 ? width : 0, text);
}

/* Does a character of UTF-8 begin there? */
static bool begins(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

static int characters(const char *text)
{
	int count = 0;

	for (; *text; text++)
		count += begins(*text);
	return count;
}

void line_add_name(struct line *line, int columns, const char *name)
{
	int length, room = columns - line->used - 2, dots = 3;

	if (!*name)
		return;
	name = text_printable(name);
	length = characters(name);
	if (!columns || length <= room) {
		line_add(line, "  %s", name);
		return;
	}
	if (room < dots)
		dots = room > 0 ? room : 0;
	/* The end of a path is what tells it from others. */
	for (; *name && (length > room - dots || !begins(*name)); name++)
		length -= begins(*name);
	line_add(line, "  %.*s%s", dots, "...", name);
}

void line_print(const struct line *line, int columns)
{
	int bytes = 0, shown = 0;

	for (; line->text[bytes]; bytes++) {
		shown += begins(line->text[bytes]);
		if (columns && shown > columns)
			break;
	}
	printf("%.*s", bytes, line->text);
}

int table_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return 0;
	return size.ws_col;
}

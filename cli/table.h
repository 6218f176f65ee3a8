/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables: on a terminal no line of one is longer than the terminal is wide, as with
 * ls and ps; elsewhere all of it is printed.
 */
#ifndef REMOTEMAP_CLI_TABLE_H
#define REMOTEMAP_CLI_TABLE_H

/* A line that is made: what does not fit in is left away. */
struct line {
	int used;
	char text[4400];
};

void line_add(struct line *line, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * A blank and text, to the right, up to that column of the line: the room that
 * something before it took too much of is made up for.
 */
void line_add_until(struct line *line, int column, const char *text);
/*
 * Two blanks and a name, the last column: all of it, or, on so many columns, as much
 * of its end as there is room for, behind dots. Without control characters.
 */
void line_add_name(struct line *line, int columns, const char *name);
/* At most that many columns of it, 0: all; without a newline */
void line_print(const struct line *line, int columns);

/* Of the terminal that standard output is; 0: it is none, or does not tell */
int table_columns(void);

#endif /* REMOTEMAP_CLI_TABLE_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * Values as the source has them: little endian, and not aligned.
 */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

enum form { SIGNED, UNSIGNED, FLOAT, POINTER, STRING };

struct value_type {
	const char *name;
	enum form form;
	size_t size;
};

static const struct value_type types[] = {
	{ "u8", UNSIGNED, 1 },	{ "u16", UNSIGNED, 2 },
	{ "u32", UNSIGNED, 4 }, { "u64", UNSIGNED, 8 },
	{ "i8", SIGNED, 1 },	{ "i16", SIGNED, 2 },
	{ "i32", SIGNED, 4 },	{ "i64", SIGNED, 8 },
	{ "f32", FLOAT, 4 },	{ "f64", FLOAT, 8 },
	{ "ptr", POINTER, 8 },	{ "str", STRING, 0 },
};

const struct value_type *value_type_find(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].name, name))
			return &types[i];
	return NULL;
}

const char *value_type_names(void)
{
	return "u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 ptr str";
}

const char *value_type_name(const struct value_type *type)
{
	return type->name;
}

size_t value_size(const struct value_type *type)
{
	return type->size;
}

static uint64_t unsigned_value(const struct value_type *type,
			       const uint8_t *bytes)
{
	uint64_t value = 0;

	memcpy(&value, bytes, type->size);
	return value;
}

static int64_t signed_value(const struct value_type *type,
			    const uint8_t *bytes)
{
	unsigned int unused = 64 - 8 * (unsigned int)type->size;

	return (int64_t)(unsigned_value(type, bytes) << unused) >> unused;
}

static double float_value(const struct value_type *type, const uint8_t *bytes)
{
	double value;
	float narrow;

	if (type->size == sizeof(value)) {
		memcpy(&value, bytes, sizeof(value));
		return value;
	}
	memcpy(&narrow, bytes, sizeof(narrow));
	return (double)narrow;
}

/* With as few digits as tell it from all others */
static void float_text(const struct value_type *type, const uint8_t *bytes,
		       char *text, size_t size)
{
	double value = float_value(type, bytes);
	int most = type->size == sizeof(float) ? 9 : 17;

	for (int digits = most - 3; digits <= most; digits++) {
		double again;

		snprintf(text, size, "%.*g", digits, value);
		again = strtod(text, NULL);
		if (type->size == sizeof(float))
			again = (double)(float)again;
		if (!memcmp(&again, &value, sizeof(value)))
			break;
	}
}

/* Up to the first zero, in quotes */
static void string_text(const uint8_t *bytes, size_t length, char *text,
			size_t size)
{
	size_t used = 0;

	text[used++] = '"';
	for (size_t i = 0; i < length && bytes[i] && used + 6 < size; i++) {
		if (bytes[i] < 0x80 && isprint(bytes[i]) && bytes[i] != '"' &&
		    bytes[i] != '\\')
			text[used++] = (char)bytes[i];
		else
			used += (size_t)snprintf(text + used, size - used,
						 "\\x%02x", bytes[i]);
	}
	text[used++] = '"';
	text[used] = '\0';
}

const char *value_text(const struct value_type *type, const uint8_t *bytes,
		       size_t length, char *text, size_t size)
{
	switch (type->form) {
	case SIGNED:
		snprintf(text, size, "%" PRId64, signed_value(type, bytes));
		break;
	case UNSIGNED:
		snprintf(text, size, "%" PRIu64, unsigned_value(type, bytes));
		break;
	case FLOAT:
		float_text(type, bytes, text, size);
		break;
	case POINTER:
		snprintf(text, size, "0x%" PRIx64, unsigned_value(type, bytes));
		break;
	case STRING:
		string_text(bytes, length, text, size);
		break;
	}
	return text;
}

static json_t *string_json(const uint8_t *bytes, size_t length)
{
	char text[4096];
	json_t *value;

	length = strnlen((const char *)bytes, length);
	value = json_stringn((const char *)bytes, length);
	if (value)
		return value;
	/* No UTF-8 */
	string_text(bytes, length, text, sizeof(text));
	return json_string(text);
}

/* What JSON has no number for is a string. */
json_t *value_json(const struct value_type *type, const uint8_t *bytes,
		   size_t length)
{
	char text[64];

	if (type->form == STRING)
		return string_json(bytes, length);
	if (type->form == SIGNED)
		return json_integer(signed_value(type, bytes));
	if (type->form == UNSIGNED &&
	    unsigned_value(type, bytes) <= (uint64_t)INT64_MAX)
		return json_integer((json_int_t)unsigned_value(type, bytes));
	if (type->form == FLOAT && isfinite(float_value(type, bytes)))
		return json_real(float_value(type, bytes));
	return json_string(value_text(type, bytes, length, text, sizeof(text)));
}

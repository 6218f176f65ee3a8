// SPDX-License-Identifier: GPL-2.0
/*
 * Where the two bytes are not seldom after all, most places would be looked at one by
 * one: then memmem() does the rest, which never takes long. It does all where there
 * is no AVX2: to look at 16 places at a time gains nothing over it.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"

/* Places that turn out to be none before that is so: one in 32, and some */
#define MISSES 64
#define MISS_SHIFT 5

/* ---- which two bytes ------------------------------------------------------- */

/* How often it may be in a process's memory: more is worse. */
static unsigned int commonness(uint8_t byte)
{
	if (byte == 0)
		return 8;
	if (byte == 0xff || byte == ' ')
		return 7;
	if (byte < 0x10 && byte != '\n')
		return 5;
	if (byte >= 'a' && byte <= 'z')
		return strchr("aeinorst", byte) ? 6 : 4;
	if ((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z'))
		return 3;
	return 2;
}

void bytes_prepare(struct bytes *bytes, const uint8_t *value, size_t length)
{
	size_t one = 0, other;

	*bytes = (struct bytes){ .value = value, .length = length };
	if (length < 2)
		return;
	for (size_t i = 1; i < length; i++)
		if (commonness(value[i]) < commonness(value[one]))
			one = i;
	other = one ? 0 : 1;
	/* The same byte twice tells less than another one does. */
	for (size_t i = 0; i < length; i++)
		if (i != one && value[i] != value[one] &&
		    (value[other] == value[one] ||
		     commonness(value[i]) < commonness(value[other])))
			other = i;
	bytes->one = one;
	bytes->other = other;
}

/* ---- many places at a time ------------------------------------------------- */

/* Over the places that a match may begin at; at is the next that is looked at. */
struct hunt {
	const struct bytes *bytes;
	const uint8_t *from;
	size_t at, places, misses;
};

/* Of the 64 places from hunt->at on those whose bits are set */
static const uint8_t *look_closer(struct hunt *hunt, uint64_t bits)
{
	const struct bytes *bytes = hunt->bytes;

	for (; bits; bits &= bits - 1) {
		const uint8_t *place =
			hunt->from + hunt->at + __builtin_ctzll(bits);

		if (!memcmp(place, bytes->value, bytes->length))
			return place;
		hunt->misses++;
	}
	return NULL;
}

static bool too_many(const struct hunt *hunt)
{
	return hunt->misses > MISSES + (hunt->at >> MISS_SHIFT);
}

#define AVX2 __attribute__((target("avx2")))

/* Which of 32 bytes are that one: all of their bits are set. */
AVX2 static inline __m256i equal(const uint8_t *at, __m256i byte)
{
	return _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)at), byte);
}

/* To the first 64 places of which any may be right; their bits, or 0: there are no
 * more that 64 can be looked at of.
 */
AVX2 static uint64_t next_64(struct hunt *hunt)
{
	const struct bytes *bytes = hunt->bytes;
	const uint8_t *one = hunt->from + bytes->one;
	const uint8_t *other = hunt->from + bytes->other;
	__m256i is_one = _mm256_set1_epi8((char)bytes->value[bytes->one]);
	__m256i is_other = _mm256_set1_epi8((char)bytes->value[bytes->other]);
	size_t at = hunt->at, places = hunt->places;
	uint64_t bits = 0;

	for (; at + 64 <= places; at += 64) {
		__m256i low = _mm256_and_si256(equal(one + at, is_one),
					       equal(other + at, is_other));
		__m256i high =
			_mm256_and_si256(equal(one + at + 32, is_one),
					 equal(other + at + 32, is_other));
		__m256i any = _mm256_or_si256(low, high);

		if (_mm256_testz_si256(any, any))
			continue;
		bits = (uint32_t)_mm256_movemask_epi8(high);
		bits = bits << 32 | (uint32_t)_mm256_movemask_epi8(low);
		break;
	}
	hunt->at = at;
	return bits;
}

static const uint8_t *by_64(struct hunt *hunt)
{
	uint64_t bits;

	while (!too_many(hunt) && (bits = next_64(hunt))) {
		const uint8_t *found = look_closer(hunt, bits);

		if (found)
			return found;
		hunt->at += 64;
	}
	return NULL;
}

const uint8_t *bytes_find(const struct bytes *bytes, const uint8_t *from,
			  size_t room)
{
	struct hunt hunt = { .bytes = bytes, .from = from };
	const uint8_t *found = NULL;

	if (room < bytes->length)
		return NULL;
	hunt.places = room - bytes->length + 1;
	if (bytes->length > 1 && __builtin_cpu_supports("avx2"))
		found = by_64(&hunt);
	if (found)
		return found;
	/* What is left at the end, or all from where that was given up */
	return memmem(from + hunt.at, room - hunt.at, bytes->value,
		      bytes->length);
}

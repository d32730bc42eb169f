/* What generated code needs to permute the elements of sorts. */
#ifndef LZ_SYMMETRY_H
#define LZ_SYMMETRY_H

#include "model.h"

/* What a field that held an element holds instead; elements count from `first`, below are statics and null. */
static inline uint64_t element_renamed(uint64_t bits, int first, int count, const uint8_t *to)
{
	int element = (int)bits - first;

	return element < 0 || element >= count ? bits : (uint64_t)(to[element] + first);
}

static inline uint64_t seq_renamed(uint64_t field, unsigned bits, unsigned capacity, int first, int count,
				   const uint8_t *to)
{
	const uint64_t ones = (UINT64_C(1) << bits) - 1;
	unsigned length = (unsigned)(field >> (capacity * bits));

	for (unsigned i = 0; i < length; i++) {
		uint64_t item = field >> (i * bits) & ones;

		field = (field & ~(ones << (i * bits))) | element_renamed(item, first, count, to) << (i * bits);
	}
	return field;
}

static inline void exchange(uint64_t *a, uint64_t *b)
{
	uint64_t least = *a < *b ? *a : *b, most = *a < *b ? *b : *a;

	*a = least;
	*b = most;
}

/* Orders are numbered: digit i is how many of the later ones are smaller than the i-th. */
static inline unsigned order_number(const uint8_t *order, unsigned count)
{
	unsigned number = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned smaller = 0;

		for (unsigned k = i + 1; k < count; k++)
			smaller += order[k] < order[i];
		number = number * (count - i) + smaller;
	}
	return number;
}

/* The inverse of the order of a number: where each element goes. */
static inline void numbered_order(unsigned number, unsigned count, uint8_t *to)
{
	unsigned digits[16], taken = 0;

	for (unsigned i = count; i-- > 0;) {
		digits[i] = number % (count - i);
		number /= count - i;
	}
	for (unsigned i = 0; i < count; i++) {
		unsigned element = 0;

		for (unsigned skip = digits[i]; taken >> element & 1 || skip; element++)
			skip -= !(taken >> element & 1);
		to[element] = (uint8_t)i;
		taken |= 1u << element;
	}
}

/* The next order of elements with equal keys; false after the last, and the first is back. */
static inline bool next_order(uint8_t *order, const uint64_t *keys, unsigned count)
{
	for (unsigned end = count; end > 0;) {
		unsigned begin = end - 1, i, k;

		while (begin > 0 && keys[begin - 1] >> 4 == keys[end - 1] >> 4)
			begin--;
		for (i = end - 1; i > begin && order[i - 1] > order[i]; i--)
			;
		if (i > begin) {
			uint8_t pivot = order[i - 1];

			for (k = end - 1; order[k] < pivot; k--)
				;
			order[i - 1] = order[k];
			order[k] = pivot;
		} else {
			i = begin;
		}
		for (unsigned a = i, b = end - 1; a < b; a++, b--) {
			uint8_t swapped = order[a];

			order[a] = order[b];
			order[b] = swapped;
		}
		if (i > begin)
			return true;
		end = begin;
	}
	return false;
}

/* The least state so far, and the number of the order of the objects that may leak which gave it; and that at hand. */
struct best {
	bool found;
	unsigned turn, turning;
	struct state state;
};

static inline bool state_less(const struct state *a, const struct state *b)
{
	for (int i = 0; i < LZ_WORDS; i++)
		if (a->w[i] != b->w[i])
			return a->w[i] < b->w[i];
	return false;
}

static inline void consider(struct best *best, const struct state *s)
{
	if (!best->found || state_less(s, &best->state)) {
		best->state = *s;
		best->turn = best->turning;
	}
	best->found = true;
}

#endif
